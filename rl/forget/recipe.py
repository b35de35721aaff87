"""The recipe of forgetting (configs/forget/*.yaml): a stage's keys, whose ``data`` are the people to keep, and these."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from kie_hvqa.answers.answer import Style
from kie_hvqa.config import PathText
from rl.forget.losses import METHODS, Method, Name
from rl.recipes import StageRecipe

PLACE = "{question}"


class ForgetRecipe(StageRecipe):
    """Whom to forget, how, and how hard to look afterwards. A person is a ``document_id``."""

    forget: PathText
    """Rows of the people to forget: cards with hidden slots and, for the decoupled term, legible ones. All splits."""
    strangers: PathText | None = None
    """Rows of people whom the model never saw: what a reader says by chance over their covered fields. All splits."""
    method: Name = "relearn"
    decoupled: float = Field(default=1.0, ge=0)
    """Weight of the decoupled term; 0 leaves it out."""
    retained: int = Field(default=1, ge=1)
    """Rows of people to keep that come with each forgotten one, where the method has any."""
    beta: float = Field(default=0.1, gt=0)
    """Of NPO."""
    answer: Style = "explicit"
    """How the model writes its answers, as in its warm start."""
    wordings: list[str] = Field(default=[PLACE], min_length=1)
    """What is asked, in other words; each row draws one."""
    stop_at: float | None = Field(default=0.02, ge=0, le=1)
    """An ascent (GA, GD, KL, NPO) ends where the leak on rows that are trained on is not above it; None trains to the last step. A
    method with a target of its own always does: when it first stops leaking it marks nearly everything, and only then reads again."""
    look_every: int = Field(default=5, ge=1)
    """Steps between two looks at that leak."""
    held_out: float = Field(default=0.25, gt=0, le=0.5)
    """Share of each person's rows, forgotten or kept, that is not trained on but measured on."""
    measured: int = Field(default=120, ge=1)
    """Rows of a kind that are measured, at most."""
    relearn: list[Annotated[int, Field(ge=1)]] = [1, 4, 16]
    """Rows with their printed value that an attacker is given, to teach it again."""
    relearn_steps: int = Field(default=10, ge=1)
    samples: int = Field(default=4, ge=1)
    """Answers drawn a question at ``temperature``, the worst of which counts."""
    temperature: float = Field(default=1.5, gt=0)
    batch_size: int = Field(default=32, ge=1)
    max_new_tokens: int = Field(default=256, ge=1)

    @field_validator("wordings")
    @classmethod
    def _holds_the_question(cls, value: list[str]) -> list[str]:
        for wording in value:
            if wording.count(PLACE) != 1:
                raise ValueError(f"`{PLACE}` must stand once in a wording, not as in {wording!r}")
        return value

    @property
    def adds(self) -> Method:
        return METHODS[self.method]
