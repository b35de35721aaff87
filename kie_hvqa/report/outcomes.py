"""The report's part by stratum: who is right about which kind of field, and what became of their characters.

The table is the terminal's (``tables.strata_lines``), beside reference readers and each run's ceiling. The bars are shares of the
character slots of a stratum, one bar a run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from markupsafe import Markup

from kie_hvqa.answers.verdicts import OUTCOMES, Counts
from kie_hvqa.report.markup import fill
from kie_hvqa.runs.run_directory import Run
from kie_hvqa.scoring.scores import SampleScore
from kie_hvqa.scoring.strata import STRATA, strata_of
from kie_hvqa.scoring.tables import strata_lines

WORDS: dict[str, str] = {
    "right": "right",
    "marked": "marked",
    "over_refused": "over-refused",
    "dropped": "dropped without a mark",
    "misread": "misread",
    "lucky": "lucky: invented, but right",
    "invented": "invented",
}
"""What becomes of a slot → what a person reads, from good to bad."""
_NAMED = 7  # percent of a bar from which on a number fits into its piece


def shares(counts: Counts) -> tuple[dict[str, int], int]:
    """(slots by word of ``WORDS``, their sum) of counted answers."""
    found = dict.fromkeys(WORDS, 0)
    for outcome in OUTCOMES:
        if outcome.legibility != "space":
            found[outcome.word] += counts[outcome.name]
    return found, sum(found.values())


def outcomes_section(runs: Sequence[Run], scores: Sequence[Sequence[SampleScore]]) -> Markup:
    """``scores`` are those of the rows that all runs share, a list a run; empty without a ledger."""
    lines = strata_lines({run.name: run.metrics for run in runs})
    if not lines:
        return Markup()
    own = strata_of([sample.counts for sample in scores[0]])  # the rows are the same in all runs, and so their strata
    strata = [_stratum(name, own, runs, scores) for name in STRATA]
    return fill(
        "outcomes.html",
        head=lines[0],
        rows=lines[1:],
        strata=[stratum for stratum in strata if stratum["questions"]],
        words=WORDS,
    )


def _stratum(
    name: str, strata: Sequence[str | None], runs: Sequence[Run], scores: Sequence[Sequence[SampleScore]]
) -> dict[str, Any]:
    own = [
        [s.counts for s, there in zip(of_run, strata, strict=True) if s.counts and there == name] for of_run in scores
    ]
    bars = []
    for number, (run, counted) in enumerate(zip(runs, own, strict=True)):
        found, total = shares(Counts.total(counted))
        pieces = [_piece(name, number, run, word, count, total) for word, count in found.items() if count]
        bars.append({"run": number, "name": run.name, "pieces": pieces})
    slots = shares(Counts.total(own[0]))[1]
    return {"title": STRATA[name], "questions": len(own[0]), "slots": slots, "bars": bars}


def _piece(stratum: str, number: int, run: Run, word: str, count: int, total: int) -> dict[str, Any]:
    percent = 100 * count / total
    kind = {} if word in ("right", "marked") else {"kind": word}
    return {
        "word": word,
        "percent": percent,
        "label": f"{percent:.0f}" if percent >= _NAMED else "",
        "said": f"{run.name}, {STRATA[stratum].partition(':')[0]}: {WORDS[word]} {percent:.1f}, {count:,} of {total:,} slots",
        "to": urlencode({"run": number, "stratum": stratum, **kind}),
    }
