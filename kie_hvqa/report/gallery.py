"""The gallery: damaged pictures, what was printed, and what each run read, slot by slot.

Only a selection goes into the file, because pictures are large. It is picked to show every kind of error of every
run at every severity, not at random, and the page says so. Everything a model wrote passes ``html.escape``.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence
from html import escape

from kie_hvqa.errors import InputError
from kie_hvqa.ledger import Row
from kie_hvqa.prompt import question
from kie_hvqa.report.charts import colour
from kie_hvqa.report.marking import ERRORS, Marked, mark_up
from kie_hvqa.report.pictures import picture
from kie_hvqa.runs import Run

_WIDEST = 18  # slots in one line of a strip
_ROOM = 12  # slots that leave room for the verdict beside them
_LONGEST = 4000  # characters of a response that the page keeps; the rest is in predictions.jsonl
_SIGNS = {"mark": "·", "over_refused": "·", "omitted": "–"}


def gallery(runs: Sequence[Run], rows: Sequence[Row], most: int) -> str:
    """HTML of the section; ``rows`` are those that all runs share, ``most`` bounds the samples shown."""
    marked = {row.id: [mark_up(row, run.response(row)) for run in runs] for row in rows}
    chosen = select(rows, marked, most)
    samples = "".join(_sample(runs, row, marked[row.id]) for row in chosen)
    severities = sorted({row.severity for row in chosen if row.severity is not None})
    types = sorted({row.document_type for row in chosen})
    shown = {kind for row in chosen for reading in marked[row.id] for kind in reading.kinds}
    known = {"all": "all", **ERRORS, "free": "hallucination-free"}
    buttons = [(key, label[0].upper() + label[1:]) for key, label in known.items() if key in shown or key == "all"]
    filters = "".join(
        f'<button type="button" data-kind="{key}" aria-pressed="{str(key == "all").lower()}">{escape(label)}<span></span></button>'
        for key, label in buttons
    )
    filters += _select("run", "by", [("any", "any run"), *((str(i), run.name) for i, run in enumerate(runs))])
    filters += _select("severity", "severity", [("any", "any"), *((str(s), str(s)) for s in severities)])
    filters += _select("type", "document", [("any", "any"), *((t, t.replace("_", " ")) for t in types)])
    filters += '<label><input type="checkbox" id="boxes" checked> slot boxes</label><span class="shown" id="shown" role="status"></span>'
    which = f"All {len(rows)} samples."
    if len(chosen) < len(rows):
        which = (
            f"{len(chosen)} of {len(rows)} samples, picked to show every kind of error of every run, at every severity "
            "where there is room: look at them, do not count them."
        )
    return (
        f'<h2 id="gallery">Samples</h2><p class="lead">{which} {_HOW}</p>{_KEY}'
        f'<div class="filters">{filters}</div><div class="gallery">{samples}</div>'
        '<p class="empty" id="empty" hidden>No sample here has that error. Choose another filter.</p>'
    )


_HOW = (
    "The first line of each strip is what was printed, coloured like the boxes by what the damaged pixels still support; "
    "below it, what each run said."
)
_KEYS = (
    ("clear", "a", "clear"),
    ("partial", "a", "partial"),
    ("hidden", "a", "hidden"),
    ("invented", "x", "invented"),
    ("lucky", "a", "lucky (invented, but right)"),
    ("misread", "x", "misread"),
    ("mark", "·", "marked"),
    ("over_refused", "·", "over-refused"),
    ("omitted", "–", "left out"),
    ("inserted", "x", "inserted"),
)
_KEY = (
    '<div class="strip key"><table><tr>'
    + "".join(f'<td class="{name}">{sign}</td><td class="verdict">{meaning}</td>' for name, sign, meaning in _KEYS)
    + "</tr></table></div>"
)


def select(rows: Sequence[Row], marked: dict[str, list[Marked]], most: int) -> list[Row]:
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
        chosen.update({row.id: row for row in rows[: most - len(chosen)] if row.id not in chosen})
    return list(chosen.values())


def _in_turn(queues: Sequence[Sequence[Row]]) -> list[Row]:
    """The first of each, the second of each, …"""
    return [row for turn in itertools.zip_longest(*queues) for row in turn if row is not None]


def _select(name: str, label: str, options: Sequence[tuple[str, str]]) -> str:
    inner = "".join(f'<option value="{escape(value)}">{escape(text)}</option>' for value, text in options)
    return f'<label>{label} <select id="{name}">{inner}</select></label>'


def _sample(runs: Sequence[Run], row: Row, readings: Sequence[Marked]) -> str:
    errors = " ".join(f"{number}:{error}" for number, reading in enumerate(readings) for error in reading.kinds)
    try:
        shown = picture(runs[0].image(row), row.slots or ())
    except InputError as error:
        shown = f'<div class="no-picture">{escape(error.what)}</div>'
    place = [row.document_type.replace("_", " "), row.question_kind]
    if row.severity is not None:
        place.insert(1, f"severity {row.severity}")
    operators = _operators(row)
    if operators:
        place.append(operators)
    responses = "".join(
        f"<div><small>{escape(run.name)}</small><pre>{escape(_shorten(run.response(row)))}</pre></div>" for run in runs
    )
    return (
        f'<article class="sample" data-errors="{errors}" data-severity="{"" if row.severity is None else row.severity}" '
        f'data-type="{escape(row.document_type)}">{shown}<div class="body"><p class="where">{escape(" · ".join(place))} · '
        f"<code>{escape(row.id)}</code></p>"
        f'<p class="question">{escape(question(row))}</p>{_strips(runs, row, readings)}'
        f"<details><summary>What was written</summary>{responses}</details></div></article>"
    )


def _strips(runs: Sequence[Run], row: Row, readings: Sequence[Marked]) -> str:
    """What was printed and what each run read, slot under slot; a long field goes on in further tables."""
    count = len(row.slots or ())
    pieces = 1 if count <= _WIDEST else -(-count // _WIDEST)
    step = -(-count // pieces) if count else 1
    tables = []
    for number in range(pieces):
        part = slice(number * step, (number + 1) * step)
        lines = _lines(runs, row, readings, part, last=number == pieces - 1)
        tables.append(f'<div class="strip"><table>{"".join(lines)}</table></div>')
    if count > _ROOM:
        said = (
            f"{_dot(n)}{escape(run.name)}: {escape(reading.label)}"
            for n, (run, reading) in enumerate(_both(runs, readings))
        )
        tables.append(f'<p class="small">{"&ensp; ".join(said)}</p>')
    return "".join(tables)


def _lines(runs: Sequence[Run], row: Row, readings: Sequence[Marked], part: slice, *, last: bool) -> list[str]:
    """The table lines of the slots in ``part``; what belongs to the whole field stands in the ``last`` table."""
    head = "".join(
        f'<td class="{slot.legibility}" title="{slot.legibility}, evidence {slot.evidence:.2f}">{escape(slot.char)}</td>'
        if slot.scored
        else '<td class="space"></td>'
        for slot in (row.slots or ())[part]
    )
    if not row.slots:
        said = "not in this document" if row.slots is not None else f"no ledger; the answer is {escape(row.answer)}"
        head = f'<td class="verdict" colspan="99">{said}</td>'
    lines = [f"<tr><th>printed</th>{head}</tr>"]
    for number, (run, reading) in enumerate(_both(runs, readings)):
        cells = "".join(
            f'<td class="{kind}" title="{kind.replace("_", "-")}">{escape(_SIGNS.get(kind, symbol or ""))}</td>'
            for symbol, kind in zip(reading.symbols[part], reading.verdicts[part], strict=True)
        )
        if not row.slots:
            cells = f'<td class="verdict" colspan="99">{_without_slots(reading)}</td>'
        elif last:
            cells += "".join(f'<td class="inserted" title="inserted">{escape(c)}</td>' for c in reading.inserted[:60])
            if len(reading.symbols) <= _ROOM:
                cells += f'<td class="verdict">{escape(reading.label)}</td>'
        lines.append(f"<tr><th>{_dot(number)}{escape(run.name)}</th>{cells}</tr>")
    return lines


def _without_slots(reading: Marked) -> str:
    """What was said where there is nothing to lay it over: an absent field, or a row without a ledger."""
    said = f"“<code>{escape(reading.inserted[:200])}</code>”" if reading.inserted else "refused" if reading.free else ""
    return ", ".join(filter(None, (said, escape(reading.label))))


def _dot(number: int) -> str:
    return f'<i style="color:{colour(number)}">●</i> '


def _both(runs: Sequence[Run], readings: Sequence[Marked]) -> list[tuple[Run, Marked]]:
    return list(zip(runs, readings, strict=True))


def _operators(row: Row) -> str:
    """The names of the operators in the row's recipe, if it has any in a form that names them."""
    steps = row.recipe.get("operators") if isinstance(row.recipe, dict) else row.recipe
    names = [step.get("operator") or step.get("name") for step in steps or [] if isinstance(step, dict)]
    return ", ".join(str(name).replace("_", " ") for name in names if name)


def _shorten(response: str | None) -> str:
    if response is None:
        return "(no answer)"
    return response if len(response) <= _LONGEST else f"{response[:_LONGEST]}… ({len(response)} characters)"
