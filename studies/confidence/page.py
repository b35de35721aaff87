"""The measured sections of docs/confidence.md, out of docs/confidence.json and nothing else; a test holds the two together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kie_hvqa.data.files import write_text
from kie_hvqa.scoring.tables import LABELS, difference, with_interval
from studies.ablation.page import replaced
from studies.confidence.guarantee import RISKS

_NAMES = {"trained": "trained reader", "rapidocr": "RapidOCR", "served": "served model"}
_AREA = LABELS["aurc"]


def write_page(found: Mapping[str, Any], page: Path) -> None:
    """Put ``found`` (``results``) between the comments of its sections. InputError for a page without them."""
    text = page.read_text(encoding="utf-8")
    for section, body in rendered(found).items():
        text = replaced(text, section, body, page)
    write_text(page, text)


def rendered(found: Mapping[str, Any]) -> dict[str, str]:
    """Section → Markdown."""
    return {
        "signals": _signals(found),
        "votes": _votes(found["drawn"]) if "drawn" in found else NOT_RUN,
        "promises": _promises(found["readers"]),
        "beyond": _beyond(found["readers"], found["carried"]),
    }


NOT_RUN = "*Not run yet.*"


def _signals(found: Mapping[str, Any]) -> str:
    parts = [_signals_of(found["readers"][name], own) for name, own in found["signals"].items()]
    return "\n\n".join(parts) or NOT_RUN


def _signals_of(run: Mapping[str, Any], own: Mapping[str, Any]) -> str:
    error = run["units"]["character"]["betting"]["error"]
    said = f"{run['reader']}: {run['questions']:,} questions about {run['documents']:,} documents; of the characters that it asserts {_percent(error)} % are wrong or invented."
    return f"{said}\n\n{signals_table(own)}"


def signals_table(found: Mapping[str, Any]) -> str:
    """Markdown, percent: areas of characters and answers with their paired differences, coverage at risks, calibration."""
    first = found["compared_with"].replace("_", " ")
    head = ["signal", "AURC, characters", f"from {first}", "coverage at 1 % risk", "2 %", "5 %"]
    head += ["AURC, answers", f"from {first}", "calibration error", "mapped"]
    lines = []
    for name, own in found["of"].items():
        characters, answers, sure = own["characters"], own["answers"], own["probability"]
        cells = [name.replace("_", " "), *_area(characters)]
        at = characters["coverage_at"] if characters else {}
        cells += [f"{100 * at[risk]['value']:.1f}" if at else "–" for risk in ("0.01", "0.02", "0.05")]
        cells += _area(answers)
        cells += [f"{100 * sure[side]['ece']:.1f}" if sure else "–" for side in ("before", "after")]
        lines.append(cells)
    return _table(head, lines)


def _area(part: Mapping[str, Any] | None) -> list[str]:
    if part is None:
        return ["–", "–"]
    apart = part["aurc"].get("difference")
    return [with_interval(part["aurc"], _AREA), "" if apart is None else difference(apart, _AREA)]


def _votes(drawn: Mapping[str, Any]) -> str:
    alphas = " and ".join(f"{alpha:g}" for alpha in drawn["alphas"])
    lines = [
        f"{drawn['reader']}: {drawn['questions']:,} questions about {drawn['documents']:,} documents, {drawn['samples']} answers drawn for each, "
        f"{drawn['characters']:,} asserted characters."
    ]
    if drawn["regimes"]:
        high, low = drawn["regimes"]
        lines[0] += (
            f" α of the two halves, each chosen by the other: {alphas}; α₁ = {high:.2f}, α₂ = {low:.2f} where only the form of an answer can be checked."
        )
    areas = [[name.replace("_", " "), with_interval(own, _AREA)] for name, own in drawn["aurc"].items()]
    apart = [
        [pair.replace("_", " ").replace(" - ", " − "), difference(own, _AREA)]
        for pair, own in drawn["differences"].items()
    ]
    seen = [
        [own["over"], own["signal"], f"{own['symbols']:,}", f"{own['mean']:.2f}", _percent(own["unanimous"])]
        for own in drawn["votes"]
    ]
    return "\n\n".join([
        *lines,
        _table(["signal", "AURC, characters"], areas),
        _table(["difference, paired", "points of AURC"], apart),
        _table(["asserted over", "signal", "symbols", "mean n / N", "all N agree, %"], seen),
    ])  # fmt: skip


def _promises(readers: Mapping[str, Any]) -> str:
    if not readers:
        return NOT_RUN
    head = [
        "reader",
        "unit",
        "wrong without",
        "risk",
        "test",
        "feasible",
        "broken",
        "p",
        "coverage",
        "best with hindsight",
    ]
    sizes = sorted(
        {int(size) for own in readers.values() for size in own["units"]["character"]["betting"]["of"]["0.1"]["redrawn"]}
    )
    for size in sizes:
        head += [f"broken, {size:,} redrawn", "coverage"]
    lines = []
    for name, own in readers.items():
        for unit, bounds in own["units"].items():
            for risk in RISKS:
                for bound, tried in bounds.items():
                    of = tried["of"][f"{risk:g}"]
                    made = of["splits"]
                    cells = [_NAMES[name], unit, _percent(tried["error"]), f"{100 * risk:g} %", f"`{bound}`"]
                    cells += [str(made["feasible"]), str(made["broken"]), f"{made['p']:.2f}"]
                    cells += [_percent(made["coverage"]), _percent(made["coverage_with_hindsight"])]
                    for size in sizes:
                        again = of["redrawn"].get(str(size))
                        cells += ["", ""] if again is None else [str(again["broken"]), _percent(again["coverage"])]
                    lines.append(cells)
    return _table(head, lines)


def _beyond(readers: Mapping[str, Any], carried: Mapping[str, Any]) -> str:
    head = ["kept out of calibration", ""]
    for name in readers:
        head += [f"{_NAMES[name]}: documents that have it", "mean risk", "coverage", "broken"]
    lines = []
    for kind in ("operator", "template"):
        for value in sorted({value for own in readers.values() for value in own["elsewhere"][kind]}):
            cells = [kind, value.replace("_", " ")]
            for own in readers.values():
                one = own["elsewhere"][kind].get(value)
                known = one is not None and one["risk"] is not None
                cells += [str(one["documents"]) if one else "–"]
                cells += [_percent(one[key]) if known and one else "–" for key in ("risk", "coverage", "broken")]
            lines.append(cells)
    parts = [_table(head, lines)] if lines else [NOT_RUN]
    real = [
        [_NAMES[name], unit, f"{100 * float(risk):g} %", "yes" if one["feasible"] else "no", str(one["documents"]), _percent(one["risk"]), _percent(one["coverage"])]
        for name, units in carried.items()
        for unit, of in units.items()
        for risk, one in of.items()
    ]  # fmt: skip
    if real:
        parts.append("Points made on all of these pages, judged on damaged real receipts:")
        parts.append(
            _table(["reader", "unit", "promised", "feasible", "receipts", "risk there", "coverage there"], real)
        )
    return "\n\n".join(parts)


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (heads, ["---"] * len(heads), *lines))
