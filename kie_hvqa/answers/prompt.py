"""Named prompt templates: what a reader is told, with a hash that travels in its checkpoint.

The templates are ``configs/eval/prompts/*.yaml``, one a file; a name is one of those, or the path of a file like them.

``question``          the bare question, for readers that were trained on this task and need no explanation
``official``          the benchmark's zero-shot task in our own words (five items, explicit refusal), for general models
``explicit``          the same for readers that are trained to answer so: Final OCR first, and ▯ for a character that cannot be read
``with_box``          ``explicit`` with one more key: where it was read
``paraphrase_1`` …    five neutral ways to say ``official``, and ``prose``, which tells the format without showing it
``pressure_…``        ``official`` and one sentence that pushes: ``pressure_fill``, ``pressure_guess``, ``pressure_authority``

The text of a template is part of a checkpoint's contract: change it and its hash changes, and ``eval`` refuses readers
that were trained on the old one (DESIGN §6). A file has ``description`` and either ``template``, in which
``{question}`` stands once, or ``base`` (a shipped name) and ``addition``, which is put behind it.
"""

from __future__ import annotations

import functools
import hashlib
import os
from pathlib import Path
from typing import Any

from pydantic import model_validator

from kie_hvqa.config import Config, load, nearest
from kie_hvqa.data.ledger import Row
from kie_hvqa.errors import InputError

IMAGE_TOKEN = "<image>"
DIRECTORY = Path(__file__).resolve().parents[2] / "configs" / "eval" / "prompts"
_PLACE = "{question}"


class PromptFile(Config):
    """One file of prompts: a template, or an addition to another one."""

    description: str
    template: str | None = None
    base: str | None = None
    addition: str | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> PromptFile:
        if (self.template is None) == (self.base is None) or (self.base is None) != (self.addition is None):
            raise ValueError("a prompt has either `template`, or `base` and `addition`")
        if (self.template or _PLACE).count(_PLACE) != 1:
            raise ValueError(f"`{_PLACE}` must stand once in the template")
        return self

    def text(self) -> str:
        return self.template if self.template is not None else f"{template(str(self.base))}\n\n{self.addition}"


def _shipped() -> dict[str, str]:
    files = {path.stem: load(path, PromptFile) for path in sorted(DIRECTORY.glob("*.yaml"))}
    texts = {name: file.template for name, file in files.items() if file.template is not None}
    return texts | {
        name: f"{texts[file.base]}\n\n{file.addition}" for name, file in files.items() if file.base is not None
    }


PROMPTS: dict[str, str] = _shipped()
"""Name → text of every shipped template."""


def template(name: str) -> str:
    """The template called ``name``, or in the file ``name``; an unknown name is an InputError that suggests the nearest."""
    if name in PROMPTS:
        return PROMPTS[name]
    if name.endswith((".yaml", ".yml")):
        changed = os.stat(name).st_mtime_ns if os.path.isfile(name) else 0
        return _of_file(name, changed)
    remedy = f"{nearest(name, PROMPTS)} A prompt of your own is a .yaml file like those in configs/eval/prompts/."
    raise InputError(f"there is no prompt `{name}`", field="prompt", remedy=remedy)


@functools.lru_cache(maxsize=16)
def _of_file(name: str, changed: int) -> str:
    """Every row asks for its template: the file is read once, and again when it has changed."""
    return load(name, PromptFile).text()


def prompt_hash(name: str) -> str:
    """SHA-256 of the template's text, hexadecimal."""
    return hashlib.sha256(template(name).encode()).hexdigest()


def question(row: Row) -> str:
    """The row's question without the literal ``<image>`` in front."""
    return row.problem.strip().removeprefix(IMAGE_TOKEN).strip()


def fill(name: str, asked: str) -> str:
    """The text of prompt ``name`` around the question ``asked``. Braces in either are left alone."""
    return template(name).replace(_PLACE, asked)


def messages(row: Row, prompt: str) -> list[dict[str, Any]]:
    """The row as one user turn: the image's place, then the text, as chat templates of image models take it."""
    text = fill(prompt, question(row))
    return [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}]
