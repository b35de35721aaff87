"""What an operating point promises, or why it cannot, in sentences."""

from __future__ import annotations

from kie_hvqa.confidence.operating_point import OperatingPoint


def sentence(point: OperatingPoint) -> str:
    """Coverage, bound, documents and what stands against it."""
    said, unit = point.evidence, f"{point.unit}s"
    share = f"{100 * point.risk:g} % of the asserted {unit} wrong or invented"
    least = 100 * said["least_refused"]
    beside = f"Without a threshold {100 * said['error']:.1f} % of them are wrong" + (
        f"; at least {least:.0f} % must be refused whatever the signal." if least >= 0.5 else "."
    )
    if not point.infeasible:
        return (
            f"at most {share}, with {100 * point.confidence:g} % confidence: {point.signal} at least {point.threshold:.8g}.\n"
            f"Coverage {100 * said['coverage']:.1f} % of what it asserts; {100 * said['risk']:.2f} % of that is wrong on the "
            f"{said['documents']} documents that tested it ({said['bound']}, p = {said['p']:.3g}). {beside}"
        )
    lines = [f"infeasible: {share}, with {100 * point.confidence:g} % confidence.", beside]
    if said["documents"] < said["fewest_documents"]:
        lines.append(
            f"{said['documents']} documents tested it; no test can promise that from fewer than {said['fewest_documents']}, "
            "even without a mistake. Evaluate more documents, or ask for a larger risk."
        )
    else:
        lines.append(
            f"{said['documents']} documents tested it, {said['bound']}, p = {said['p']:.3g} at the most promising threshold. "
            "More documents, a better signal (--signal combined, or more --signals in eval) or a larger risk may help."
        )
    return "\n".join(lines)
