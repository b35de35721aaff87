"""What the check found, as one table to read."""

from __future__ import annotations

from typing import Any

GIB = 1 << 30
_HEAD = (
    "part",
    "how it ended",
    "s a step, plain TRL",
    "ours",
    "planned",
    "times",
    "loss and entropy differ by",
    "gradient by",
    "peak, plain",
    "ours",
    "planned",
)


def table(report: dict[str, Any]) -> str:
    """Markdown: a row for each part of ``report`` (gpu_check.json)."""
    rows = [_HEAD, tuple("---" for _ in _HEAD), *(_row(name, part) for name, part in report["parts"].items())]
    head = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    devices = {part["device"] for part in report["parts"].values() if "device" in part} or {"device not told"}
    lines = [f"{', '.join(devices)}; {head}; {report['seconds']:.0f} s", ""]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _row(name: str, part: dict[str, Any]) -> tuple[str, ...]:
    plain, ours = part.get("plain", {}), part.get("ours", {})
    return (
        name,
        _ended(part),
        _mean(plain),
        _mean(ours),
        _number(part.get("planned_seconds"), "{:.2f}"),
        _number(part.get("ratio"), "{:.2f}"),
        _number(part.get("loss_difference"), "{:.1e}"),
        _number(part.get("gradient_difference"), "{:.1e}"),
        _gib(plain.get("peak")),
        _gib(ours.get("peak")),
        _gib(part.get("planned")),
    )


def _ended(part: dict[str, Any]) -> str:
    said = part["status"]
    wrong = part.get("skipped") or part.get("ours", {}).get("error") or part.get("plain", {}).get("error")
    if wrong or part.get("message"):
        said += f": {wrong or part['message']}"
    if part.get("scores"):
        said += "; hallucination-free " + ", ".join(f"{k} {v:.1%}" for k, v in part["scores"].items())
        said += "; " + ", ".join(f"{k} {part['steps'][k]} steps in {v:.0f} s" for k, v in part["seconds"].items())
    if part.get("ours", {}).get("gap"):
        said += f"; gap {max(part['ours']['gap']):.1e} nats a token"
    if part.get("agree") is False:
        said += "; MORE THAN ROUNDING"
    return said


def _mean(trainer: dict[str, Any]) -> str:
    timed = trainer.get("seconds", [])[1:]
    return f"{sum(timed) / len(timed):.2f} ({len(timed)})" if timed else "—"


def _number(value: float | None, form: str) -> str:
    return "—" if value is None else form.format(value)


def _gib(size: int | None) -> str:
    return "—" if size is None else f"{size / GIB:.1f} GiB"
