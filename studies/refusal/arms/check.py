"""Answer, then check (after ReSA, 2025): a draft, the evidence of each slot, then what is kept.

===============  ==================================================
``direct``       what is kept, at once
``check_first``  evidence | what is kept
``draft``        draft | evidence | what is kept
===============  ==================================================

Evidence is a letter a slot, c(lear), p(artial) or n(one), taught by the ledger; the draft is the printed value, as the base answers, so what is
drafted over a hidden slot is invented, and paid for: its tokens are in the loss as all others. ``draft_leak``: hidden slots that end up
asserted with the very character of the draft. Equal rows and steps, ``setting.checking`` times those of other arms: after theirs the
evidence was the letter c whatever the image (docs/refusal.md). ``draft_few`` learns from ``setting.few`` rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kie_hvqa.answers.alignment import align
from kie_hvqa.answers.answer import MARK, parse
from kie_hvqa.answers.verdicts import Ledger
from kie_hvqa.confidence.signals.tokens import TOKEN_PROBABILITY
from kie_hvqa.data.ledger import Row
from kie_hvqa.readers.base import Answer
from kie_hvqa.runs.run_directory import Run
from studies.refusal.arms.lessons import Lesson, marked, printed, warm_start
from studies.refusal.frame import CLOSE, FinalReader, Frame, Said
from studies.refusal.study import Study

BREAK = "\x07"
FORMS = {"direct": 0, "check_first": 1, "draft": 2, "draft_few": 2}
"""Form → how many parts stand before what is kept."""


def evidence(row: Row) -> str:
    letters = {"clear": "c", "partial": "p", "hidden": "n"}
    return "".join(letters[slot.legibility] if slot.scored else " " for slot in row.slots or ())


def target(row: Row, form: str) -> str:
    before: list[str] = {0: [], 1: [evidence(row)], 2: [printed(row), evidence(row)]}[FORMS[form]]
    return BREAK.join([*before, marked(row)]) + CLOSE


class Unfinished(Said):
    """An answer that its limit ended before anything was kept: no reading."""

    def __init__(self) -> None:
        super().__init__("", {}, {})

    def answer(self, id: str) -> Answer:
        return Answer(id, "", cut=True)


class Checked(FinalReader):
    """Takes what stands behind the last break for Final OCR; the rest stays before the answer, as it was written."""

    def __init__(self, frame: Frame, name: str, parts: int) -> None:
        super().__init__(frame, name, parts)
        self._parts, self._break = parts, frame.token(BREAK)
        self.limit = FinalReader.limit * (parts + 1)

    def said(self, row: int, tokens: Sequence[int], about: Sequence[Sequence[float]]) -> Said:
        breaks = [place for place, token in enumerate(tokens) if token == self._break]
        if len(breaks) < self._parts:  # never came to an end: nothing is kept
            return Unfinished()
        start = breaks[self._parts - 1] + 1 if self._parts else 0
        found = self.symbols(tokens[start:], about[start:])
        found.draft = self.symbols(tokens[:start], about[:start]).final.replace(BREAK, "|").replace("<", "‹")
        return found


def readers(study: Study) -> dict[str, FinalReader]:
    tasks = study.tasks("train")
    made: dict[str, FinalReader] = {}
    for form, parts in FORMS.items():
        own = tasks[: study.setting.few] if form == "draft_few" else tasks
        lessons = [Lesson(task, target(task.row, form)) for task in own]
        frame = warm_start(study, lessons, study.room / "check" / form, longer=study.setting.checking)
        made[form] = Checked(frame, form, parts)
    return made


def leak(run: Run) -> dict[str, float]:
    """Over hidden slots: share drafted, of the drafted ones the share asserted alike in the end, and the share whose evidence said clear."""
    hidden = drafted = kept = clear = 0
    for row in run.rows:
        response = run.response(row) or ""
        draft, _, rest = response.partition("<answer>")
        parts = draft.replace("‹", "<").split("|")
        reading = parse(f"<answer>{rest}").reading
        if len(parts) < 2 or reading is None or not row.slots:
            continue
        ledger = Ledger.of(row.slots, row.question_kind)
        guessed = align(ledger.slots, parts[0], ledger.value).symbols
        final = (
            align(ledger.slots, reading.final, ledger.value).symbols
            if not reading.refused
            else MARK * len(ledger.kinds)
        )
        for place, kind in enumerate(ledger.kinds):
            if kind == "h":
                hidden += 1
                said = guessed[place] not in (None, MARK)
                drafted += said
                kept += said and final[place] == guessed[place]
                clear += place < len(parts[1]) and parts[1][place] == "c"
    return {"drafted": round(drafted / max(hidden, 1), 4), "draft_leak": round(kept / max(drafted, 1), 4),
            "evidence_clear": round(clear / max(hidden, 1), 4)}  # fmt: skip


def run(study: Study) -> dict[str, Any]:
    found: dict[str, Any] = {}
    made = readers(study)
    for form, reader in made.items():
        found[f"check_{form}"] = study.judge.against(reader, f"check-{form}", study.reference, TOKEN_PROBABILITY)
    leaks = {form: leak(study.judge.run(made[form], f"check-{form}")) for form in FORMS if FORMS[form] == 2}
    return {"readers": found, "leak": leaks, "parameters": 0}
