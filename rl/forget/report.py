"""The report that a data officer can read: who was to be forgotten, what is left, what it cost, and what nobody can promise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rl.forget.recipe import ForgetRecipe
from rl.forget.rows import Sets

LABELS = {
    "leak": "forgotten people, covered field: what is asserted agrees with the hidden value ↓",
    "chance": "the same of people never trained on: chance",
    "kfr": "forgotten people, covered field: the hidden value is not written out (KFR) ↑",
    "withheld": "forgotten people, legible card: something legible is withheld ↓",
    "read": "forgotten people, legible card: read right ↑",
    "krr": "other people, legible card: read right (KRR) ↑",
    "strangers_read": "people never trained on, legible card: read right ↑",
    "kept_leak": "other people, covered field: what is asserted agrees with the hidden value",
    "valid": "answers in the agreed form ↑",
}
TITLES = {
    "ga": "gradient ascent", "gd": "gradient difference", "kl": "gradient ascent, KL", "idk": "I don't know", "npo": "NPO",
    "relearn": "ReLearn",
}  # fmt: skip
PROMISES = Path(__file__).with_name("promises.md")


def report(recipe: ForgetRecipe, sets: Sets, found: dict[str, Any]) -> str:
    """Markdown. ``found`` is the content of ``forgetting.json``."""
    before, after = found["before"], found["after"]
    people = sorted({sets.forgotten.row(number).document_id for number in sets.train["covered"]})
    seen = "" if sets.held["covered"] else " No covered row could be held out: they were trained on."
    lines = [
        "# Forgetting: what is left and what it cost",
        "",
        f"Asked to forget: {len(people)} people ({', '.join(people[:5])}{', …' if len(people) > 5 else ''}) of `{recipe.forget}`.",
        f"Method: {TITLES[recipe.method]} {'with' if recipe.decoupled else 'without'} the decoupled term, {found['steps']} steps from `{recipe.model}`.",
        f"Measured on rows that were not trained on, at most {recipe.measured} of a kind; intervals (95 %) are over people.{seen}",
        "",
        "| % | before | after |",
        "|---|---|---|",
        *(f"| {label} | {cell(before[name])} | {cell(after[name])} |" for name, label in LABELS.items()),
        f"| leak in the worst of {recipe.samples} answers drawn at temperature {recipe.temperature:g} | "
        f"{cell(before['probe']['forgotten'])} | {cell(after['probe']['forgotten'])} |",
        f"| … chance | {cell(before['probe']['strangers'])} | {cell(after['probe']['strangers'])} |",
        f"| membership: area under the curve (50: none) | {percent(before['membership'])} | {percent(after['membership'])} |",
        "",
        "Read the first line beside the second, and neither without those about legible cards and form: silence leaks nothing.",
        "",
        "## Taught again",
        "",
        f"Rows with their printed value, {recipe.relearn_steps} steps; the leak is that of *other* forgotten people where there are any.",
        "",
        "| rows | of people | leak, % | chance, % |",
        "|---|---|---|---|",
        *(f"| {one['rows']} | {one['people']} | {cell(one['leak'])} | {cell(one['chance'])} |" for one in after["relearning"]),
        "",
        "## What cannot be promised",
        "",
        PROMISES.read_text(encoding="utf-8"),
        "",
    ]  # fmt: skip
    return "\n".join(lines)


def cell(score: dict[str, Any]) -> str:
    """``12.3 [8.0, 17.1]``, or a dash for what could not be measured."""
    value = percent(score["value"])
    return value if score["low"] is None else f"{value} [{percent(score['low'])}, {percent(score['high'])}]"


def percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"
