"""Scores in words: what each is called, which way is better, and plain-text tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from kie_hvqa.scoring.strata import STRATA

Better = Literal["higher", "lower", "neither"]


@dataclass(frozen=True, slots=True)
class ScoreLabel:
    """How a score is shown: ``scale`` turns its value into percent."""

    title: str
    meaning: str
    better: Better
    scale: float = 100.0


LEDGER: dict[str, ScoreLabel] = {
    "balanced": ScoreLabel(
        "balanced hallucination-free accuracy",
        "the mean over whole, mixed and nothing-to-read fields: a third for whoever refuses, or prints, everything",
        "higher",
    ),
    "hallucination_free_accuracy": ScoreLabel(
        "hallucination-free accuracy",
        "answers with every clear slot right, every hidden one marked, nothing wrong, dropped or inserted",
        "higher",
    ),
    "informedness": ScoreLabel(
        "informedness", "the next two together, less one: 0 for whoever always does the same", "higher"
    ),
    "reading_recall": ScoreLabel("clear slots right", "clear slots read as printed", "higher"),
    "refusal_recall": ScoreLabel("hidden slots marked", "hidden slots in a gap that is marked as one", "higher"),
    "refusal_precision": ScoreLabel("marks that are due", "marked slots, hidden or clear, that are hidden", "higher"),
    "invented_rate": ScoreLabel("invented", "hidden slots over which a character was asserted", "lower"),
    "lucky_rate": ScoreLabel("of which lucky", "hidden slots guessed right: still not read", "neither"),
    "dropped_rate": ScoreLabel(
        "dropped", "slots left out without a mark: silence passed off as the whole value", "lower"
    ),
    "misread_rate": ScoreLabel("misread", "asserted clear and partial slots that are wrong", "lower"),
    "over_refusal_rate": ScoreLabel("over-refused", "clear slots that were marked as not legible", "lower"),
    "inserted": ScoreLabel("inserted, in 100 answers", "characters over no slot, or in a list alone", "lower"),
    "surplus_marks": ScoreLabel("surplus marks, in 100 answers", "marks where nothing is missing", "lower"),
    "flag_rate": ScoreLabel("flagged", "right partial slots that the not-clear list has", "higher"),
    "missing_f1": ScoreLabel(
        "something is missing, F1", "fields said to miss something, against those that do", "higher"
    ),
    "missing_recall": ScoreLabel(
        "something is missing, recall", "fields that miss something and are said to", "higher"
    ),
    "missing_precision": ScoreLabel(
        "something is missing, precision", "fields said to miss something that do", "higher"
    ),
    "coverage": ScoreLabel("coverage", "slots over which anything was asserted", "neither"),
    "false_answer_rate": ScoreLabel(
        "absent field answered", "questions about absent fields that got an answer", "lower"
    ),
    "parse_failure_rate": ScoreLabel("unparsable", "answers that hold no reading, or are missing", "lower"),
    "box_overlap": ScoreLabel(
        "boxes over their field", "answered fields whose box overlaps them by half or more (IoU)", "higher"
    ),
    "aurc": ScoreLabel("risk over coverage", "mean risk over all coverages, surest answers first (AURC)", "lower"),
    "augrc": ScoreLabel(
        "silent failures over coverage", "mean share of answers kept and wrong, over all coverages (AUGRC)", "lower"
    ),
    "failure_auroc": ScoreLabel("failures told apart", "a right answer is surer than a wrong one (AUROC)", "higher"),
}

FILLED = ("clear", "not_clear", "final", "char_accuracy_clear", "char_accuracy_not_clear", "char_accuracy_final")
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

OFFICIAL |= {
    f"{name}_filled": ScoreLabel(
        f"{OFFICIAL[name].title}, not empty", "over the rows whose truth is not empty", "higher", 1.0
    )
    for name in FILLED
}
LABELS: dict[str, ScoreLabel] = {**LEDGER, **OFFICIAL}

READERS: dict[str, str] = {"refuses_all": "refuses all", "prints_all": "prints all", "drops_all": "drops all"}
"""Reference reader → what a person reads (``kie_hvqa.scoring.references``)."""

_BRIEF = (
    *("balanced", "hallucination_free_accuracy", "informedness", "reading_recall", "refusal_recall"),
    *("refusal_precision", "invented_rate", "dropped_rate", "misread_rate", "over_refusal_rate", "inserted"),
    *("surplus_marks", "flag_rate", "missing_f1", "coverage", "false_answer_rate", "parse_failure_rate"),
    *("box_overlap", "aurc", "augrc", "failure_auroc"),
    *(name for name in OFFICIAL if not name.endswith("_filled") or "not_clear" in name),
)
_FREE = LABELS["hallucination_free_accuracy"]


def metrics_table(metrics: Mapping[str, Any]) -> str:
    """The scores of one run, percent: by stratum beside the reference readers, then all of them with 95 % intervals and what
    the references and the run's own ceiling have; what the data cannot say is a dash."""
    overall, beside = metrics["overall"], _beside(metrics)
    lines = [("score (%)", "value", "95 % interval", "n", *beside)]
    for name in _BRIEF:
        if name not in overall:  # scored by an earlier version
            continue
        if name == "box_overlap" and overall[name]["value"] is None:  # few readers give boxes
            continue
        score, label = overall[name], LABELS[name]
        others = (number(part["overall"].get(name), label) for part in beside.values())
        lines.append((title_of(name), number(score["value"], label), interval(score, label), str(score["n"]), *others))
    return (
        f"{strata_table({'this run': metrics})}\n\n{columns(lines)}\n"
        f"{metrics['samples']} questions about {metrics['documents']} documents"
    )


def strata_table(runs: Mapping[str, Mapping[str, Any]]) -> str:
    """Hallucination-free accuracy by stratum of runs over the same rows (name → ``metrics.json``), each with its ceiling, and
    of the reference readers; empty without a ledger."""
    lines = strata_lines(runs)
    return columns(lines) if lines else ""


def strata_lines(runs: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """The cells of ``strata_table``, the head first; a ceiling's name begins with two spaces."""
    first = next(iter(runs.values()))
    kept = first["by"].get("stratum", {})
    if not kept:
        return []
    rows: dict[str, Mapping[str, Any]] = {}
    for name, metrics in runs.items():
        rows[name] = _values(metrics)
        if "ceiling" in metrics:
            rows["  with perfect marks" + " " * len(rows)] = metrics["ceiling"]  # a key of its own
    rows |= {READERS[name]: part for name, part in first.get("references", {}).items()}
    head = ("hallucination-free (%)", "balanced", "plain", *(STRATA.get(name, name).partition(":")[0] for name in kept))
    lines = [
        head,
        (
            "questions",
            "",
            str(first["samples"]),
            *(str(part["hallucination_free_accuracy"]["n"]) for part in kept.values()),
        ),
    ]
    for name, part in rows.items():
        plain = [part["overall"]["balanced"], part["overall"]["hallucination_free_accuracy"]]
        by = [part["by"]["stratum"].get(stratum, {}).get("hallucination_free_accuracy") for stratum in kept]
        lines.append((name.rstrip(), *(number(value, _FREE) for value in (*plain, *by))))
    return lines


def comparison_table(comparison: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> str:
    """Values of the runs ``names`` and their paired differences, percent and percentage points."""
    return columns(comparison_lines(comparison, names))


def comparison_lines(comparison: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> list[tuple[str, ...]]:
    """The cells of ``comparison_table``, the head first."""
    differences = [key for key in next(iter(comparison.values())) if key not in names]
    lines = [("score (%)", *names, *differences)]
    for name in _BRIEF:
        label, row = LABELS[name], comparison[name]
        values = [number(row[run], label) for run in names]
        lines.append((title_of(name), *values, *(difference(row[key], label) for key in differences)))
    return lines


def title_of(name: str) -> str:
    """The title of a score where ledger and official ones stand together."""
    return LABELS[name].title if name in LEDGER else f"official: {LABELS[name].title}"


def _beside(metrics: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    found = {"ceiling": metrics["ceiling"]} if "ceiling" in metrics else {}
    return found | {READERS[name]: part for name, part in metrics.get("references", {}).items()}


def _values(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """A run's own scores as its references have theirs: values alone."""

    def alone(part: Mapping[str, Any]) -> dict[str, Any]:
        return {name: score["value"] for name, score in part.items()}

    by = {name: alone(part) for name, part in metrics["by"]["stratum"].items()}
    return {"overall": alone(metrics["overall"]), "by": {"stratum": by}}


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
