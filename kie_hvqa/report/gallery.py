"""The gallery: every sample with its ledger, its rivals and what each run read over every slot.

Python lays the answers over the slots and writes one JSON block; the page's script draws a few samples at a time from it, so
ten thousand open at once. All of it is data and the script writes text nodes only: nothing that a model wrote is ever
markup. Samples come in an order in which every kind of error of every run at every severity is early; the first ones carry
their pictures.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from kie_hvqa.answers.answer import MARK, parse
from kie_hvqa.answers.prompt import question
from kie_hvqa.answers.verdicts import OUTCOMES
from kie_hvqa.data.ledger import Row, Slot
from kie_hvqa.errors import InputError
from kie_hvqa.report.confidence import Shown as Confidence
from kie_hvqa.report.confidence import shown as shown_of
from kie_hvqa.report.marking import ERRORS, Marked, mark_up
from kie_hvqa.report.markup import fill
from kie_hvqa.report.pictures import Album
from kie_hvqa.runs.run_directory import Run
from kie_hvqa.scoring.scores import operators
from kie_hvqa.scoring.strata import STRATA
from kie_hvqa.suites.rows import twin_of

LONGEST, SHORT = 4000, 400  # characters of a response that the page keeps, with and without its picture inlined
DRAWN = 8  # different readings among sampled answers that are told apart


def gallery(
    runs: Sequence[Run], rows: Sequence[Row], strata: Sequence[str | None], most: int, pictures: int, beside: Path
) -> tuple[Markup, dict[str, Any]]:
    """(HTML of the section, what the script draws from) about ``rows``, which all runs share, and ``strata``, theirs.

    ``most`` bounds the samples, ``pictures`` the inlined pictures; the report will lie in the directory ``beside``.
    """
    marked = {
        row.id: [mark_up(row, run.response(row), failed=run.error(row) is not None) for run in runs] for row in rows
    }
    chosen = select(rows, marked, most)
    place = {row.id: number for number, row in enumerate(rows)}
    kinds = [kind for kind in (*ERRORS, "free") if any(kind in m.kinds for row in chosen for m in marked[row.id])]
    album = Album(beside)
    sure = [
        dict(zip((row.id for row in rows), shown_of([run.confidence(row) for row in rows]), strict=True))
        for run in runs
    ]
    samples = []
    for number, row in enumerate(chosen):
        samples.append(
            _sample(
                runs, row, marked[row.id], kinds, album, [of_run[row.id] for of_run in sure], inline=number < pictures
            )
            | {"n": place[row.id], "j": strata[place[row.id]]}
        )
    labels = {**ERRORS, "free": "hallucination-free"}
    data = {
        "runs": [run.name for run in runs],
        "kinds": [[kind, labels[kind][0].upper() + labels[kind][1:]] for kind in kinds],
        "outcomes": {outcome.code: [outcome.word, outcome.title, outcome.fault] for outcome in OUTCOMES},
        "strata": {name: title.partition(":")[0] for name, title in STRATA.items()},
        "pictures": album.pictures,
        "samples": samples,
    }
    shown = len(chosen)
    section = fill("gallery.html", total=len(rows), shown=shown, pictures=min(pictures, shown), keys=_KEYS)
    return section, data


def select(rows: Sequence[Row], marked: Mapping[str, Sequence[Marked]], most: int) -> list[Row]:
    """At most ``most`` rows: every kind of (error, severity, run) in turn, worst first, so that each is there early."""
    kinds: dict[str, dict[tuple[int, int], list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        for number, reading in enumerate(marked[row.id]):
            for kind in reading.kinds:
                kinds[kind][-1 if row.severity is None else row.severity, number].append(row)
    known = [kind for kind in (*ERRORS, "free") if kind in kinds]
    # One queue a kind, which takes a severity and a run after the other; then one row of each queue in turn.
    queues = [_in_turn([kinds[kind][key] for key in sorted(kinds[kind])]) for kind in known]
    chosen: dict[str, Row] = {}
    for row in _in_turn(queues):
        if len(chosen) >= most:
            break
        chosen.setdefault(row.id, row)
    if len(chosen) < most:  # rows of no kind: no run's answer could be laid over a ledger
        left = [row for row in rows if row.id not in chosen]
        chosen.update({row.id: row for row in left[: most - len(chosen)]})
    return list(chosen.values())


def _in_turn(queues: Sequence[Sequence[Row]]) -> list[Row]:
    """The first of each, the second of each, …"""
    return [row for turn in itertools.zip_longest(*queues) for row in turn if row is not None]


def _sample(
    runs: Sequence[Run],
    row: Row,
    marked: Sequence[Marked],
    kinds: Sequence[str],
    album: Album,
    sure: Sequence[Confidence | None],
    *,
    inline: bool,
) -> dict[str, Any]:
    """One sample for the script; keys are short because there may be ten thousand."""
    slots = row.slots or ()
    sample: dict[str, Any] = {
        "i": row.id,
        "d": row.document_id,
        "t": row.document_type.replace("_", " "),
        "k": row.question_kind,
        "f": row.field,
        "m": row.template or "",
        "q": question(row),
        "R": [
            _reading(run, row, reading, kinds, confidence, LONGEST if inline else SHORT)
            for run, reading, confidence in zip(runs, marked, sure, strict=True)
        ],
    }
    if row.severity is not None:
        sample["s"] = row.severity
    if names := operators(row):
        sample["o"] = [name.replace("_", " ") for name in names]
    if twin := twin_of(row):
        sample["w"] = twin
    if row.slots is None:
        sample["a"] = row.answer
    else:
        sample |= _ledger(slots)
    try:
        sample |= album.place(runs[0].image(row), slots, inline=inline)
    except InputError as error:
        sample["x"] = error.what
    return sample


def _ledger(slots: Sequence[Slot]) -> dict[str, Any]:
    """``v`` the printed characters, ``l`` a letter of legibility each, ``e`` evidence in hundredths, ``r`` rivals by slot."""
    found: dict[str, Any] = {
        "v": "".join(slot.char for slot in slots),
        "l": "".join(slot.legibility[0] if slot.scored else "_" for slot in slots),
        "e": [round(100 * slot.evidence) for slot in slots],
    }
    if rivals := {str(number): slot.rivals for number, slot in enumerate(slots) if slot.rivals}:
        found["r"] = rivals
    return found


def _reading(
    run: Run, row: Row, marked: Marked, kinds: Sequence[str], confidence: Confidence | None, longest: int
) -> list[Any]:
    """[symbols, outcomes (a code each), what was inserted, kinds of error, label, [share less sure, words] of its confidence, what was written], and where the reader
    failed or drew several answers also [why it failed, [reading, how often it was drawn] …]."""
    response = run.response(row)
    written = None if response is None else response[:longest]
    if response is not None and len(response) > longest:
        written = f"{written}… ({len(response):,} characters)"
    found: list[Any] = [
        "".join(symbol if symbol is not None else "-" for symbol in marked.symbols),
        marked.outcomes,
        marked.inserted[:80],
        [kinds.index(kind) for kind in marked.kinds],
        marked.label,
        None if confidence is None else list(confidence),
        written,
    ]
    error, drawn = run.error(row), run.drawn(row)
    if error is not None or drawn:
        found += [None if error is None else error[:SHORT], _drawn(drawn)]
    return found


def _drawn(samples: Sequence[str]) -> list[list[Any]]:
    """[Final OCR with its marks (null: unparsable), how often it was drawn], the most frequent first."""
    readings = [parse(sample).reading for sample in samples]
    counts = Counter(None if reading is None else reading.final.replace(MARK, "·")[:80] for reading in readings)
    return [[final, count] for final, count in counts.most_common(DRAWN)]


_KEYS = (
    ("clear", "a", "clear"),
    ("partial", "a", "partial"),
    ("hidden", "a", "hidden"),
    ("v-invented", "x", "invented"),
    ("v-lucky", "a", "lucky: invented, but right"),
    ("v-misread", "x", "misread"),
    ("v-marked", "·", "marked"),
    ("v-over_refused", "·", "over-refused"),
    ("v-dropped", "–", "dropped without a mark"),
    ("v-inserted", "x", "inserted"),
)
