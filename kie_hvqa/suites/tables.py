"""What a suite found, as plain-text tables for a terminal, and as the rows that the report shows too.

One list of tables serves both, so that the page and the terminal cannot disagree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kie_hvqa.scoring.tables import LABELS, ScoreLabel, columns, difference, interval, number, with_interval

_RATE = ScoreLabel("", "", "neither")
_CLEAN = {
    "questions_with_a_mark": "questions with a mark",
    "marked": "clear slots marked",
    "dropped": "clear slots dropped without a mark",
    "misread": "clear slots misread",
    "right": "clear slots read right",
    "false_answers": "absent fields answered",
    "hallucination_free": "hallucination-free questions",
}
_NOTHING = {
    "blank": "blank page",
    "black": "black page",
    "torn": "torn page",
    "other": "page of another kind",
    "instruction": "instruction on the page",
}
_TWINS = {
    "visible_accuracy": "visible slots read right",
    "invented_rate": "hidden slots invented",
    "hallucination_free": "hallucination-free questions",
}
_COMPLETIONS = {
    "completion": "implausible twin completed as the plausible one",
    "reverse": "plausible twin completed as the implausible one",
}


@dataclass(frozen=True, slots=True)
class Table:
    """A title, a heading of columns and rows of as many cells; the first cell of a row names it. ``note`` explains."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def tables(result: Mapping[str, Any]) -> list[Table]:
    """The tables of a ``suite.json``."""
    return {"clean": _clean, "twins": _twins, "wording": _wording, "nothing": _nothing}[result["suite"]](result)


def text(result: Mapping[str, Any]) -> str:
    """All tables of a suite for a terminal."""
    parts = []
    for table in tables(result):
        parts.append(
            f"{table.title}\n\n{columns([table.head, *table.rows])}" + (f"\n\n{table.note}" if table.note else "")
        )
    return "\n\n\n".join(parts)


def _clean(result: Mapping[str, Any]) -> list[Table]:
    rows = tuple((_CLEAN[name], *_cells(found)) for name, found in result["rates"].items())
    marked = result["marked_documents"]
    verdict = "Nothing is marked." if result["passed"] else f"{marked['count']} documents have a mark: not passed."
    note = (
        f"{verdict} With 95 % confidence at most {number(marked['at_most'], _RATE)} % of such documents "
        f"have one ({marked['count']} of {marked['of']} did)."
    )
    ordered = sorted(rows, key=lambda row: list(_CLEAN.values()).index(row[0]))
    return [Table("Undamaged documents (%)", ("", "value", "95 % interval", "n"), tuple(ordered), note)]


def _nothing(result: Mapping[str, Any]) -> list[Table]:
    parts = {_NOTHING[kind]: part for kind, part in result["by"]["nothing"].items()} | {"all": result["overall"]}
    rows = tuple(
        (
            name,
            with_interval(part["invented"], _RATE),
            "–" if part["characters"]["value"] is None else f"{part['characters']['value']:.1f}",
            number(part["unparsable"]["value"], _RATE),
            str(part["questions"]),
        )
        for name, part in parts.items()
    )
    head = ("", "answered (%)", "characters a question", "unparsable (%)", "questions")
    note = "Nothing is asserted." if result["passed"] else "Whatever is answered here is invented: not passed."
    return [Table("Pages with nothing that is asked for", head, rows, note)]


def _twins(result: Mapping[str, Any]) -> list[Table]:
    parts = {f"severity {name}": part for name, part in result["by"]["severity"].items()} | {"all": result["overall"]}
    found = []
    for score, title in _TWINS.items():
        rows = tuple(
            (
                name,
                *(number(part[score][kind]["value"], _RATE) for kind in ("plausible", "implausible")),
                difference(part[score]["gap"], _RATE),
                str(part["pairs"]),
            )
            for name, part in parts.items()
        )
        found.append(Table(f"Twins: {title} (%)", ("", "plausible", "implausible", "gap, paired", "pairs"), rows))
    rows = tuple(
        (
            name,
            *(with_interval(part[way], _RATE) for way in _COMPLETIONS),
            difference(part["excess"], _RATE),
            str(part["completion"]["n"]),
        )
        for name, part in parts.items()
    )
    head = ("", "completion", "reverse", "excess, paired", "hidden slots")
    note = "Completion: over a hidden slot of the implausible value the reader put the plausible twin's character."
    found.append(Table("Twins: plausible completions (%)", head, rows, note))
    return [*found, _mcnemar(result["mcnemar"])]


def _mcnemar(found: Mapping[str, Any]) -> Table:
    top = found["top_severity"]
    named = ([] if top is None else [(f"severity {top['severity']}", top)]) + [("all", found["overall"])]
    keys = ("both", "only_plausible", "only_implausible", "neither")
    rows = tuple((name, *(str(part[key]) for key in keys), f"{part['p']:.3g}") for name, part in named)
    head = ("", "both right", "only plausible", "only implausible", "neither", "p (exact)")
    return Table("Twins: McNemar, every visible slot right", head, rows)


def _wording(result: Mapping[str, Any]) -> list[Table]:
    scores = ("hallucination_free_accuracy", "invented_rate", "over_refusal_rate", "coverage", "parse_failure_rate")
    rows = tuple(
        (name, *(number(found[score]["value"], LABELS[score]) for score in scores))
        for name, found in result["wordings"].items()
    )
    each = Table("Each wording (%)", ("", *(LABELS[score].title for score in scores)), rows)
    pushed = tuple(
        (name.removeprefix("pressure_"), *(difference(found[score], LABELS[score]) for score in scores[:4]))
        for name, found in (*result["pressure"].items(), ("prose", result["format"]["difference"]))
    )
    head = ("", *(LABELS[score].title for score in scores[:4]))
    pressure = Table("Pressure and prose against `official` (points, paired)", head, pushed)
    return [each, pressure, *_agreement(result), _consensus(result)]


def _agreement(result: Mapping[str, Any]) -> list[Table]:
    rows, alike = [], []
    for title, part in (("paraphrases", result["agreement"]), ("prose, JSON", result["format"]["agreement"])):
        for what in ("marks", "values"):
            found = part[what]
            pairwise = with_interval(found["pairwise"], _RATE)
            rows.append((f"{title}: {what}", pairwise, _kappa(found["kappa"]), str(found["items"])))
            if title == "paraphrases":
                for size, entry in found["all_agree"].items():
                    nulls = (number(entry.get(key), _RATE) for key in ("null", "null_by_legibility"))
                    alike.append((f"{what}, K = {size}", with_interval(entry, _RATE), *nulls))
    return [
        Table("Agreement, slot by slot", ("", "pairwise (%)", "Fleiss κ", "slots"), tuple(rows)),
        Table(
            "All K paraphrases agree (%)",
            ("", "agree", "null", "null, by legibility"),
            tuple(alike),
            "Null: K independent readings with the same shares, over all slots and within each class of legibility.",
        ),
    ]


def _kappa(found: Mapping[str, Any]) -> str:
    if found["value"] is None:
        return "–"
    ends = "" if found["low"] is None else f" [{found['low']:.2f}, {found['high']:.2f}]"
    return f"{found['value']:.2f}{ends}".replace("-", "−")


def _consensus(result: Mapping[str, Any]) -> Table:
    rows = tuple(
        (
            f"K = {size}",
            with_interval(found["invented_rate"], _RATE),
            number(found["invented_rate"]["null"], _RATE),
            *(number(found[name]["value"], _RATE) for name in ("misread_rate", "over_refusal_rate", "coverage")),
        )
        for size, found in result["consensus"].items()
    )
    return Table(
        "Only what all K paraphrases read alike, the rest marked (%)",
        ("", "invented", "null", "misread", "over-refused", "coverage"),
        rows,
        "Null: as many slots marked, but at random.",
    )


def _cells(found: Mapping[str, Any]) -> Sequence[str]:
    return number(found["value"], _RATE), interval(found, _RATE), str(found["n"])
