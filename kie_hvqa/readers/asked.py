"""Signals that take passes of their own: a reader that reads again, otherwise, and sees whether it still says the same.

``kie-hvqa eval --signals agreement,jitter …`` puts ``Asked`` around the reader. Its answers are the reader's own; beside them

``agreement``       ``samples`` answers drawn at ``temperature``
``jitter``          ``samples`` pages cut and scaled a little otherwise
``crop``            the field alone, enlarged
``refusal_prompt``  told to refuse what it cannot read for certain (the prompt ``certain``)

each become the share of further readings that agree, symbol by symbol (``confidence.agreement``), and ``sharpness`` and ``ink`` look
at the picture alone. ``contrast`` and the margins are the reader's own business: they take its probabilities. Nothing of it is done
unless it is asked for.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol, runtime_checkable

from kie_hvqa.answers.answer import parse
from kie_hvqa.confidence.signals.agreement import AGREEMENT, JITTER, agreement
from kie_hvqa.confidence.signals.contrast import CONTRAST
from kie_hvqa.confidence.signals.gates import GATES, gates, of_field
from kie_hvqa.confidence.signals.tokens import MARK_MARGIN, RIVAL_MARGIN
from kie_hvqa.confidence.signals.views import View, cropped, jittered
from kie_hvqa.confidence.symbols import SymbolConfidence
from kie_hvqa.config import nearest
from kie_hvqa.data.ledger import Row
from kie_hvqa.data.pixels import open_image
from kie_hvqa.errors import InputError
from kie_hvqa.readers.base import Answer, Reader, Task

CROP, REFUSAL_PROMPT, CERTAIN = "crop", "refusal_prompt", "certain"
OWN = {CONTRAST: "contrast", MARK_MARGIN: "margins", RIVAL_MARGIN: "margins"}
"""Signal → the option of a reader that makes it out of its own probabilities."""
AGAIN = (AGREEMENT, JITTER, CROP, REFUSAL_PROMPT)
SAMPLES = 8
_TOGETHER = 128  # tasks whose answers are read before the further passes over them begin


@runtime_checkable
class Drawing(Protocol):
    """A reader that can draw answers, and be told something else."""

    prompt: str

    def drawing(self, samples: int, temperature: float) -> Reader: ...

    def with_prompt(self, prompt: str) -> Reader: ...


@dataclass(frozen=True, slots=True)
class Pass:
    """One signal: who reads again, which ``views`` of the page (None: the page itself), and what it is, as text."""

    reader: Reader
    views: tuple[View | None, ...]
    how: str

    def responses(self, tasks: Sequence[Task]) -> dict[str, list[str]]:
        """What is read now, by row; nothing where there is no such view, or the reader failed."""
        found: dict[str, list[str]] = {}
        for view in self.views:
            with TemporaryDirectory(prefix="kie-hvqa-views-") as folder:
                shown = tasks if view is None else _shown(tasks, view, Path(folder))
                for answer in self.reader.read(shown):
                    if answer.error is None:
                        found.setdefault(answer.id, []).extend(answer.samples or (answer.response,))
        return found


class Asked:
    """``reader`` with further ``asked`` signals of ``AGAIN`` and ``GATES``; InputError for one that it cannot give."""

    def __init__(
        self, reader: Reader, asked: Sequence[str], *, samples: int = SAMPLES, temperature: float = 1.0
    ) -> None:
        self.reader = reader
        self.name, self.identity = reader.name, reader.identity
        self._passes = {name: _pass(reader, name, samples, temperature) for name in AGAIN if name in asked}
        self._gates = tuple(name for name in GATES if name in asked)
        self.signals: tuple[str, ...] = (*reader.signals, *self._passes, *self._gates)

    @property
    def passes(self) -> dict[str, str]:
        return {**passes_of(self.reader), **{name: own.how for name, own in self._passes.items()}}

    def asks(self, row: Row) -> str:
        return self.reader.asks(row)

    def read(self, tasks: Sequence[Task], done: AbstractSet[str] = frozenset()) -> Iterator[Answer]:
        """As the reader itself, a few pages at a time: the groups depend on ``tasks`` alone, not on what is done."""
        by_image = sorted(tasks, key=lambda task: str(task.image))
        for start in range(0, len(by_image), _TOGETHER):
            several = by_image[start : start + _TOGETHER]
            if all(task.row.id in done for task in several):
                continue
            answers = list(self.reader.read(several, done))
            yield from self._with_signals(several, answers)

    def _with_signals(self, tasks: Sequence[Task], answers: Sequence[Answer]) -> Iterator[Answer]:
        by_id = {task.row.id: task for task in tasks}
        readings = {answer.id: parse(answer.response).reading for answer in answers if answer.error is None}
        wanted = [by_id[name] for name, reading in readings.items() if reading is not None]
        read_again = {name: own.responses(wanted) for name, own in self._passes.items()}
        for answer in answers:
            reading = readings.get(answer.id)
            if reading is None:
                yield answer
                continue
            found: dict[str, SymbolConfidence] = dict(answer.signals or {})
            for name, responses in read_again.items():
                if answer.id in responses:
                    found[name] = agreement(reading, responses[answer.id])
            if self._gates:
                task = by_id[answer.id]
                seen = gates(open_image(task.image), task.row)
                found |= {name: of_field(reading, seen[name]) for name in self._gates}
            drawn = read_again.get(AGREEMENT, {}).get(answer.id)
            yield replace(answer, signals=found, samples=answer.samples if drawn is None else tuple(drawn))


def with_signals(opened: Callable[..., Reader], asked: Sequence[str], options: Mapping[str, Any]) -> Reader:
    """The reader that ``opened(**options)`` opens, with the signals ``asked``. InputError for one that it cannot give."""
    known = (*OWN, *AGAIN, *GATES)
    for name in asked:
        if name not in known:
            raise InputError(
                "there is no such signal to ask for", field=f"signals: {name}", remedy=nearest(name, known)
            )
    drawn = {key: options[key] for key in ("samples", "temperature") if key in options}
    rest = {key: value for key, value in options.items() if key not in drawn}
    own = {option: True for name, option in OWN.items() if name in asked}
    try:
        reader = opened(**rest, **own)
    except InputError as error:
        if error.field in own:
            names = ", ".join(name for name in asked if OWN.get(name) == error.field)
            what = f"this reader cannot give {names}: {error.what}"
            raise InputError(what, field="signals", remedy="Leave it out.") from None
        raise
    further = [name for name in asked if name not in OWN]
    return Asked(reader, further, **drawn) if further else reader


def passes_of(reader: Reader) -> Mapping[str, str]:
    """Signals of ``reader`` that take passes of their own, and how each is made; readers of other people need not say."""
    found: Mapping[str, str] = getattr(reader, "passes", {})
    return found


def settings(reader: Reader) -> dict[str, str]:
    """Every signal of ``reader`` → how it is made, as text; "" where it comes with the answer."""
    return {name: passes_of(reader).get(name, "") for name in getattr(reader, "signals", ())}


def _pass(reader: Reader, name: str, samples: int, temperature: float) -> Pass:
    if name == JITTER:
        return Pass(reader, tuple(jittered(number) for number in range(samples)), f"{samples} views")
    if name == CROP:
        return Pass(reader, (cropped,), "twice its size")
    if not isinstance(reader, Drawing):
        raise InputError(
            f"{reader.name} cannot give {name}: it draws no answers and takes no prompt",
            field="signals",
            remedy=f"It gives {', '.join((*reader.signals, JITTER, CROP, *GATES))}.",
        )
    if name == AGREEMENT:
        return Pass(reader.drawing(samples, temperature), (None,), f"{samples} samples at {temperature:g}")
    return Pass(reader.with_prompt(CERTAIN), (None,), f"prompt {CERTAIN}")


def _shown(tasks: Sequence[Task], view: View, folder: Path) -> list[Task]:
    """``tasks`` on the pictures that ``view`` makes of theirs, written into ``folder``."""
    made = []
    for number, task in enumerate(tasks):
        seen = view(open_image(task.image), task.row)
        if seen is not None:
            path = folder / f"{number}.png"
            seen[0].save(path, compress_level=1)
            made.append(Task(seen[1], path))
    return made


def key_of(reader: Reader) -> str:
    """What of a reader's passes is part of an answer's key; "" where it has none."""
    own = dict(passes_of(reader)) | {name: "" for name in GATES if name in getattr(reader, "signals", ())}
    return json.dumps(own, sort_keys=True) if own else ""
