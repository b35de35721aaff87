"""The results section of docs/rewards-measured.md, written from ``ablation.json`` and from nothing else.

The page holds, for each plan, a pair of comments between which this writes; the results themselves are kept beside the page,
so that a test can hold the two together (``tests/studies/test_ablation.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kie_hvqa.data.files import write_json, write_text
from kie_hvqa.errors import InputError
from kie_hvqa.scoring.tables import LABELS, ScoreLabel, difference, interval, number
from studies.curves import curves_svg

NOT_RUN = "*Not run yet: there are no results.*"

_SCORES = (
    "balanced",
    "hallucination_free_accuracy",
    "clean",
    "mixed",
    "informedness",
    "invented_rate",
    "dropped_rate",
    "misread_rate",
    "over_refusal_rate",
    "false_answer_rate",
    "parse_failure_rate",
    "average",
)
_PARTS = {"clean": "undamaged alone ↑", "mixed": "mixed fields alone ↑"}
"""Hallucination-free accuracy on some of the questions."""
_BY_SEED = ("balanced", "hallucination_free_accuracy", "invented_rate", "over_refusal_rate")
_COMPARED = (
    "balanced",
    "informedness",
    "hallucination_free_accuracy",
    "invented_rate",
    "over_refusal_rate",
    "misread_rate",
)
_ARROWS = {"higher": " ↑", "lower": " ↓", "neither": ""}
_NAMES = {"base": "*base reader*", "no_rl": "*no RL (warm start)*"}


def write_page(results: Mapping[str, Any], page: Path) -> list[Path]:
    """Put the results into ``page``, between the comments of their section, and their files beside it.

    Returns what was written. Raises InputError for a page without such a section.
    """
    try:
        text = page.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"no such page ({error})", file=page, remedy="Name a Markdown file.") from None
    section = str(results["section"])
    written = [page, page.with_name(f"{section}.json"), page.with_name(f"{section}.svg")]
    whole = replaced(text, section, rendered(results), page)
    write_json(written[1], results)
    write_text(written[2], curves_svg(results["attack"]))
    write_text(page, whole)
    return written


def replaced(text: str, section: str, body: str, page: Path) -> str:
    """``text`` with ``body`` between the comments of ``section``."""
    begin, end = f"<!-- {section}: begin -->", f"<!-- {section}: end -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise InputError(
            f"the page has no section `{section}`", file=page, remedy=f"Put `{begin}` and `{end}` where it belongs."
        )
    return f"{before}{begin}\n{body}\n{end}{after}"


def rendered(results: Mapping[str, Any]) -> str:
    """The section as Markdown."""
    seeds = "one seed" if len(results["seeds"]) == 1 else f"{len(results['seeds'])} seeds"
    parts = [
        f"*{results['title']}: {seeds}, {results['questions']:,} questions about "
        f"{results['documents']:,} held-out documents, {results['hours']:.1f} hours. Scores over all seeds, in %, with 95 % "
        "intervals over documents.*",
        _scores(results),
        "Each seed by itself:",
        _seeds(results),
        "Paired differences, percentage points:",
        _differences(results),
        *_matched(results),
        *_ladder(results),
        "Reward against truth while training (rollouts, last tenth of the steps less the first tenth, paid at the prices that "
        "the run ended with; the last column is measured on the held-out documents, against no RL):",
        _attack(results),
        f"![Reward and truth over steps]({results['section']}.svg)",
    ]
    return "\n\n".join(parts)


def _scores(results: Mapping[str, Any]) -> str:
    names = _held(results["scores"].values(), _SCORES)
    heads = [_PARTS.get(name) or _label(name).title + _ARROWS[_label(name).better] for name in names]
    lines = [
        [_NAMES.get(reader, f"`{reader}`"), *(_value(scores[name], _label(name)) for name in names)]
        for reader, scores in results["scores"].items()
    ]
    return _table(["", *heads[:-1], f"official {heads[-1]}"], lines)


def _held(parts: Iterable[Mapping[str, Any]], names: Sequence[str]) -> list[str]:
    """The ``names`` that results have: those of an older run lack some."""
    return [name for name in names if all(name in part for part in parts)]


def _label(name: str) -> ScoreLabel:
    return LABELS["hallucination_free_accuracy" if name in _PARTS else name]


def _value(score: Mapping[str, Any] | None, label: ScoreLabel) -> str:
    return (
        "–" if score is None or score["value"] is None else f"{number(score['value'], label)} {interval(score, label)}"
    )


def _seeds(results: Mapping[str, Any]) -> str:
    names = _held(results["scores"].values(), _BY_SEED)
    lines = [
        [f"`{name}`", *(", ".join(number(value, LABELS[key]) for value in scores[key]["seeds"]) for key in names)]
        for name, scores in results["scores"].items()
        if name in results["rewards"]
    ]
    return _table(["", *(LABELS[key].title for key in names)], lines)


def _differences(results: Mapping[str, Any]) -> str:
    names = _held(results["differences"].values(), _COMPARED)
    lines = [
        [_pair(pair), *(difference(found[name], LABELS[name]) for name in names)]
        for pair, found in results["differences"].items()
    ]
    return _table(["", *(LABELS[name].title for name in names)], lines)


def _pair(pair: str) -> str:
    later, earlier = (_NAMES.get(name, f"`{name}`") for name in pair.split("-"))
    return f"{later} − {earlier}"


def _matched(results: Mapping[str, Any]) -> list[str]:
    reference, matched = results["reference"], results["matched"]
    if not matched["withdrawal"]:
        return []
    family = matched["mixture"]
    if family is None:
        first = (
            f"**At equal over-refusal.** No mixture of the cells refuses as often as `{reference}` does, so the two cannot be "
            "compared without moving the reference."
        )
    else:
        first = (
            f"**At equal over-refusal** ({100 * family['over_refusal']:.1f} % of the clear slots marked or left out, as by `{reference}`; {family['note']}): "
            f"invented {_rates(family)}, {_interval(family)}: {_verdict(family)}"
        )
    lines = [
        [f"`{name}`", f"{100 * found['over_refusal']:.1f}", _rates(found), _interval(found), found["note"]]
        for name, found in matched["withdrawal"].items()
        if found is not None
    ]
    if not lines:
        return [first]
    heads = ["", "marked or left out, both", f"invented, against `{reference}`", "difference", "how"]
    return [first, "By withdrawal, cell by cell:", _table(heads, lines)]


def _rates(found: Mapping[str, Any]) -> str:
    ours, theirs = found["invented"]
    return f"{100 * ours:.1f} against {100 * theirs:.1f}"


def _interval(found: Mapping[str, Any]) -> str:
    return difference({"mean": found["difference"], **found}, LABELS["invented_rate"])


def _verdict(found: Mapping[str, Any]) -> str:
    if found["high"] < 0:
        return "fewer inventions, and the interval excludes 0."
    return "more inventions, and the interval excludes 0." if found["low"] > 0 else "the interval does not exclude 0."


def _ladder(results: Mapping[str, Any]) -> list[str]:
    ladder = results["ladder"]
    if ladder is None:
        return []
    label = LABELS["invented_rate"]
    rungs = ", ".join(
        f"`{name}` {number(rate, label)}" for name, rate in zip(ladder["cells"], ladder["invented_rate"], strict=True)
    )
    falls = {True: "It falls at every step.", False: "It does not fall at every step.", None: ""}[ladder["falls"]]
    return [f"**Invented, from the boldest target to the most careful**: {rungs}. {falls}".rstrip()]


def _attack(results: Mapping[str, Any]) -> str:
    heads = ["", "reward", "hallucination-free", "over-refused", "invented", "held out", "rose together"]
    lines = []
    for name, found in results["attack"].items():
        change = found["change"]
        points = [_points(change[key]) for key in ("hallucination_free_accuracy", "over_refusal_rate", "invented_rate")]
        reward = "–" if change["reward"] is None else f"{change['reward']:+.3f}"
        together = {True: "yes", False: "**no**", None: "–"}[found["together"]]
        lines.append([f"`{name}`", reward, *points, _points(found["held_out"]), together])
    return _table(heads, lines)


def _points(change: float | None) -> str:
    return "–" if change is None else f"{100 * change:+.1f}".replace("-", "−")


def _table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [heads, ["---"] * len(heads), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
