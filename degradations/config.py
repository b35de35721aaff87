"""The recipes of ``configs/simulate/``: what to draw, how often, and how badly to damage it.

``SimulateConfig`` is for rendered documents (``kie-hvqa simulate``), ``DegradeConfig`` for real annotated ones
(``kie-hvqa degrade``). Weights need not sum to 1.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from degradations.capture import Kind
from degradations.operators import OPERATORS
from kie_hvqa.config import Config, nearest
from kie_hvqa.data.ledger import MAX_SEVERITY, QuestionKind

Split = Literal["train", "validation", "test"]
View = Literal["page", "field"]
TwinChange = Literal["name", "date", "check_digit", "total"]
Nothing = Literal["blank", "black", "torn", "other", "instruction"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Weights = dict[str, Weight]
DatasetSeed = Annotated[int, Field(ge=0, lt=2**63)]

EVEN_SEVERITIES: dict[int, float] = dict.fromkeys(range(MAX_SEVERITY + 1), 1.0)
ALL_OPERATORS: dict[str, float] = dict.fromkeys(sorted(OPERATORS), 1.0)


def known(names: list[str], allowed: list[str], what: str) -> None:
    for name in names:
        if name not in allowed:
            raise ValueError(f"unknown {what} {name!r}: {nearest(name, allowed)}")


class DamageConfig(Config):
    """What both kinds of recipe share.

    ``severities``: severity (0..6) to weight. ``operators``: name to weight. ``operators_per_image``: how many
    operators to weight; the first has the image's severity, any other at most half of it. ``view``: what a row's image shows,
    the whole ``page`` or a crop around the asked ``field`` (``degradations/field_view.py``).
    """

    seed: DatasetSeed = 0
    severities: dict[int, Weight] = EVEN_SEVERITIES
    operators: Weights = ALL_OPERATORS
    operators_per_image: dict[int, Weight] = {1: 0.75, 2: 0.25}
    view: View = "page"

    @field_validator("severities")
    @classmethod
    def _severities(cls, value: dict[int, float]) -> dict[int, float]:
        for severity in value:
            if not 0 <= severity <= MAX_SEVERITY:
                raise ValueError(f"a severity lies between 0 and {MAX_SEVERITY}, not {severity}")
        return _some_weight(value)

    @field_validator("operators")
    @classmethod
    def _operators(cls, value: dict[str, float]) -> dict[str, float]:
        known(list(value), list(OPERATORS), "operator")
        return _some_weight(value)

    @field_validator("operators_per_image")
    @classmethod
    def _operators_per_image(cls, value: dict[int, float]) -> dict[int, float]:
        if min(value, default=1) < 1:
            raise ValueError("an image has at least one operator; severity 0 is what leaves it clean")
        return _some_weight(value)


class SimulateConfig(DamageConfig):
    """A dataset of rendered documents.

    ``count``: documents. ``splits``: split to share of the documents. ``templates``: name, or path of a template file
    of one's own, to weight (all shipped ones alike if left out). ``scale``: ``tiny`` or ``full`` pages. ``values``: weight of ``natural`` (names, dates, sums) and of ``random``
    (character strings, so that nothing but pixels helps). ``shuffled_rows``: split to the share of its documents whose
    rows stand in an order that no issuer has (a stress). ``held_out_operators``: split to the operators that it
    never draws. ``question_kinds``: planned shares; a field that ends wholly hidden is ``unreadable`` whatever
    was planned. ``questions_per_document`` samples come from each document; every ``questions_per_image`` of them
    share one damaged image. ``false_premises`` is the share of absent questions that take for granted what the page
    does not say (a second holder, a discount). ``hide_other_prints`` is the share of the fields planned to be unreadable
    of which everything else on the page that gives their characters is covered too. ``absent_beside``: split to how many absent
    fields every image of a written dataset is asked for besides, at no further image. ``twins`` makes pairs instead of single
    questions: what is changed (``degradations/twins.py``) to its weight. ``nothing`` makes pages on which nothing that is asked for stands instead (``degradations/asked/nothing.py``): which kind to its weight. ``captures`` weighs how documents are seen
    (``photo``, ``flatbed``, ``feeder``, ``fax``, ``screenshot``); left out, each as often as its material is.
    """

    count: Annotated[int, Field(ge=1)]
    splits: dict[Split, Weight] = {"train": 1.0}
    templates: Weights = {}
    scale: Literal["tiny", "full"] = "tiny"
    values: dict[Literal["natural", "random"], Weight] = {"natural": 1.0}
    shuffled_rows: dict[Split, Annotated[float, Field(ge=0, le=1)]] = {}
    held_out_operators: dict[Split, list[str]] = {}
    question_kinds: dict[QuestionKind, Weight] = {"answerable": 0.84, "unreadable": 0.08, "absent": 0.08}
    questions_per_document: Annotated[int, Field(ge=1, le=1000)] = 4
    questions_per_image: Annotated[int, Field(ge=1)] = 1
    false_premises: Annotated[float, Field(ge=0, le=1)] = 0.0
    hide_other_prints: Annotated[float, Field(ge=0, le=1)] = 0.0
    absent_beside: dict[Split, Annotated[int, Field(ge=0, le=20)]] = {}
    twins: dict[TwinChange, Weight] = {}
    captures: dict[Kind, Weight] = {}
    nothing: dict[Nothing, Weight] = {}

    @field_validator("templates")
    @classmethod
    def _templates(cls, value: dict[str, float]) -> dict[str, float]:
        from degradations.documents import names, template
        from degradations.documents.template import is_path

        for name in value:
            if is_path(name):
                template(name)  # says what is wrong with the file
            else:
                known([name], list(names()), "template")
        return _some_weight(value) if value else value

    @field_validator("splits", "values", "question_kinds")
    @classmethod
    def _weights(cls, value: dict) -> dict:
        return _some_weight(value)

    @field_validator("twins", "captures", "nothing")
    @classmethod
    def _some_or_none(cls, value: dict) -> dict:
        return _some_weight(value) if value else value

    @model_validator(mode="after")
    def _possible(self) -> Self:
        from degradations.documents import template, templates

        for name, weight in self.templates.items():
            if weight > 0 and self.scale not in template(name).layouts:
                drawn = ", ".join(templates(self.scale))
                raise ValueError(f"template {name!r} is not drawn at scale {self.scale!r}; these are: {drawn}")
        if self.twins and (self.questions_per_document % 2 or self.questions_per_image != 1):
            raise ValueError("twins need an even questions_per_document and questions_per_image of 1")
        if self.twins and self.nothing:
            raise ValueError("a dataset has twins or pages with nothing on them, not both")
        if self.twins and self.view != "page":
            raise ValueError("twins are compared on whole pages: leave view at page")
        if self.questions_per_document % self.questions_per_image:
            raise ValueError("questions_per_document must be a multiple of questions_per_image")
        if self.question_kinds.get("unreadable", 0) > 0 and not any(w > 0 for s, w in self.severities.items() if s):
            raise ValueError("unreadable questions need a severity above 0: give one a weight, or unreadable none")
        for split, names in self.held_out_operators.items():
            known(names, list(OPERATORS), "operator")
            if self.splits.get(split, 0) > 0 and not self.operators_for(split):
                raise ValueError(f"held_out_operators leaves split {split} without any operator")
        for name in [n for n, w in self.templates.items() if w > 0] or templates(self.scale):
            material = template(name).material
            for split in [s for s, share in self.splits.items() if share > 0]:
                if any(w > 0 for s, w in self.severities.items() if s) and not self.operators_for(split, material):
                    raise ValueError(
                        f"no operator of split {split} can happen to {name!r}, which is of {material}: "
                        "give one that can a weight, or leave the template out"
                    )
        return self

    def operators_for(self, split: str, material: str | None = None) -> dict[str, float]:
        """Operator weights of a split, those held out from it left out, and those that cannot happen to a ``material``."""
        held = self.held_out_operators.get(split, [])  # type: ignore[call-overload]
        return {
            name: weight
            for name, weight in self.operators.items()
            if weight > 0 and name not in held and (material is None or material in OPERATORS[name].applies_to)
        }

    @property
    def rows(self) -> int:
        return self.count * self.questions_per_document


class DegradeConfig(DamageConfig):
    """A dataset of real documents, each annotated field damaged ``samples_per_field`` times.

    ``private`` keeps its values and pictures out of all that is written about it (docs/privacy.md).
    ``max_pixels``: larger scans are reduced to this area first. ``fields``: annotated key to what a question calls it;
    null asks for everything that is annotated, under the name that its format gives it.
    ``exclude``: document to field to the reason why it is not asked for: a value that stands on the page a second time in
    print or a hand that nobody annotated.
    ``min_similarity``: how near (1 is equal) a printed text must come to the annotated value to be taken for it.
    """

    private: bool = False
    samples_per_field: Annotated[int, Field(ge=1, le=1000)] = 2
    max_pixels: Annotated[int, Field(ge=10_000)] = 1_500_000
    split: Split = "test"
    exclude: dict[str, dict[str, str]] = {}
    fields: dict[str, str] | None = {"company": "company name", "date": "date", "address": "address", "total": "total"}
    min_similarity: Annotated[float, Field(gt=0, le=1)] = 0.75
    unreadable: Annotated[float, Field(ge=0, le=1)] = 0.08

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.unreadable > 0 and not any(w > 0 for s, w in self.severities.items() if s):
            raise ValueError("unreadable questions need a severity above 0: give one a weight, or set unreadable to 0")
        if self.fields is not None and not self.fields:
            raise ValueError("fields names nothing to ask about")
        return self


def _some_weight(value: dict) -> dict:
    if not any(weight > 0 for weight in value.values()):
        raise ValueError("at least one weight must be above 0")
    return value
