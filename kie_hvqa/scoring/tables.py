"""Scores in words: what each is called, which way is better, and plain-text tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Better = Literal["higher", "lower", "neither"]


@dataclass(frozen=True, slots=True)
class ScoreLabel:
    """How a score is shown: ``scale`` turns its value into percent."""

    title: str
    meaning: str
    better: Better
    scale: float = 100.0


LEDGER: dict[str, ScoreLabel] = {
    "hallucination_free_accuracy": ScoreLabel(
        "hallucination-free accuracy",
        "questions with every clear slot right and nothing unsupported asserted",
        "higher",
    ),
    "invented_rate": ScoreLabel("invented", "hidden slots over which a character was asserted", "lower"),
    "lucky_rate": ScoreLabel("of which lucky", "hidden slots guessed right: still not read", "neither"),
    "misread_rate": ScoreLabel("misread", "asserted clear and partial slots that are wrong", "lower"),
    "over_refusal_rate": ScoreLabel("over-refused", "clear slots that were marked as not legible", "lower"),
    "reading_recall": ScoreLabel("clear slots right", "clear slots read as printed", "higher"),
    "dropped_rate": ScoreLabel("left out", "clear slots neither read nor marked", "lower"),
    "coverage": ScoreLabel("coverage", "slots over which anything was asserted", "neither"),
    "false_answer_rate": ScoreLabel(
        "absent field answered", "questions about absent fields that got an answer", "lower"
    ),
    "parse_failure_rate": ScoreLabel("unparsable", "answers that hold no reading, or are missing", "lower"),
    "aurc": ScoreLabel("risk over coverage", "mean risk over all coverages, surest answers first (AURC)", "lower"),
    "augrc": ScoreLabel(
        "silent failures over coverage", "mean share of answers kept and wrong, over all coverages (AUGRC)", "lower"
    ),
    "failure_auroc": ScoreLabel("failures told apart", "a right answer is surer than a wrong one (AUROC)", "higher"),
}

OFFICIAL: dict[str, ScoreLabel] = {
    "average": ScoreLabel("average", "plain mean of the three", "higher", 1.0),
    "clear": ScoreLabel("clear", "similarity of the clear list", "higher", 1.0),
    "not_clear": ScoreLabel("not clear enough", "similarity of the not-clear list", "higher", 1.0),
    "final": ScoreLabel("final", "similarity of Final OCR", "higher", 1.0),
    "char_accuracy_clear": ScoreLabel("characters, clear", "positions that agree", "higher", 1.0),
    "char_accuracy_not_clear": ScoreLabel("characters, not clear", "positions that agree", "higher", 1.0),
    "char_accuracy_final": ScoreLabel("characters, final", "positions that agree", "higher", 1.0),
    "char_accuracy_average": ScoreLabel("characters, average", "plain mean of the three", "higher", 1.0),
}

LABELS: dict[str, ScoreLabel] = {**LEDGER, **OFFICIAL}

_BRIEF = (
    *(
        "hallucination_free_accuracy",
        "invented_rate",
        "misread_rate",
        "over_refusal_rate",
        "coverage",
        "false_answer_rate",
    ),
    *("parse_failure_rate", "aurc", "augrc", "failure_auroc", "average", "clear", "not_clear", "final"),
)


def metrics_table(metrics: Mapping[str, Any]) -> str:
    """The overall scores of one run, percent, with 95 % intervals; what the data cannot say is a dash."""
    overall = metrics["overall"]
    lines = [("score (%)", "value", "95 % interval", "n")]
    for name in _BRIEF:
        if name not in overall:  # scored by an earlier version
            continue
        score, label = overall[name], LABELS[name]
        title = label.title if name in LEDGER else f"official: {label.title}"
        lines.append((title, number(score["value"], label), interval(score, label), str(score["n"])))
    return f"{columns(lines)}\n{metrics['samples']} questions about {metrics['documents']} documents"


def comparison_table(comparison: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> str:
    """Values of the runs ``names`` and their paired differences, percent and percentage points."""
    differences = [key for key in next(iter(comparison.values())) if key not in names]
    lines = [("score (%)", *names, *differences)]
    for name in _BRIEF:
        label, row = LABELS[name], comparison[name]
        title = label.title if name in LEDGER else f"official: {label.title}"
        values = [number(row[run], label) for run in names]
        lines.append((title, *values, *(difference(row[key], label) for key in differences)))
    return columns(lines)


def number(value: float | None, label: ScoreLabel) -> str:
    """A score in percent, one decimal; a dash where it is missing."""
    return "–" if value is None else _decimal(value * label.scale)


def interval(score: Mapping[str, Any], label: ScoreLabel) -> str:
    """The interval; "too few" where there is a score and documents are too few for one (``intervals.FEWEST``)."""
    if score["low"] is None or score["high"] is None:
        return "–" if score.get("value", score.get("mean")) is None else "too few"
    return f"[{_decimal(score['low'] * label.scale)}, {_decimal(score['high'] * label.scale)}]"


def with_interval(score: Mapping[str, Any], label: ScoreLabel) -> str:
    """A score and, where it has one, its interval."""
    parts = (number(score["value"], label), interval(score, label))
    return " ".join(part for index, part in enumerate(parts) if index == 0 or part != "–")


def difference(found: Mapping[str, Any], label: ScoreLabel, *, alone: bool = False) -> str:
    """A paired difference in percentage points with its interval, or ``alone``."""
    if found["mean"] is None:
        return "–"
    return _decimal(found["mean"] * label.scale, plus="+") + ("" if alone else f" {interval(found, label)}")


def verdict(found: Mapping[str, Any], label: ScoreLabel) -> Literal["better", "worse", ""]:
    """Whether the interval of a paired difference excludes 0, and on which side."""
    low, high = found["low"], found["high"]
    if low is None or high is None or low <= 0 <= high or label.better == "neither":
        return ""
    return "better" if (low > 0) == (label.better == "higher") else "worse"


def _decimal(percent: float, plus: str = "") -> str:
    """One decimal and a true minus sign; what rounds to zero has no sign."""
    text = f"{abs(percent):.1f}"
    if text == "0.0":
        return text
    return f"−{text}" if percent < 0 else f"{plus}{text}"


def columns(lines: Sequence[Sequence[str]]) -> str:
    """Left-aligned first column, right-aligned others, a rule under the head."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    text = []
    for line in lines:
        cells = [
            line[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)),
        ]
        text.append("  ".join(cells).rstrip())
    text.insert(1, "  ".join("─" * width for width in widths))
    return "\n".join(text)
