"""A chart of the report as a file of its own: with colours and a legend, so that it stands where the page's style sheet does not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

COLOURS = ("#6b7280", "#c2620a", "#0063a8", "#00795c", "#a8437f", "#6d4fc2", "#8a6d00", "#0e7a86")


def alone(drawn: str, names: Sequence[str], *, left: float = 40.0, top: float = 16.0) -> str:
    """``drawn``, what ``kie_hvqa.report.charts`` gives, as SVG text; ``names`` of its curves, the first one's name at (``left``, ``top``)."""
    style = "text{font:10px sans-serif;fill:#444}.grid{stroke:#ddd}.line{fill:none;stroke-width:1.6}.guide{display:none}circle{stroke:none}"
    style += "".join(f".r{n} .line{{stroke:{colour}}}.r{n} circle{{fill:{colour}}}" for n, colour in enumerate(COLOURS))
    legend = "".join(
        f'<text x="{left:g}" y="{top + 12 * n:g}" style="fill:{COLOURS[n % len(COLOURS)]}">{escape(name)}</text>'
        for n, name in enumerate(names)
    )
    drawn = re.sub(r"<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', drawn, count=1)
    drawn = drawn.replace(" data-chart ", " ", 1)  # in a file of its own every attribute has a value
    return drawn.replace(">", f"><style>{style}</style>{legend}", 1) + "\n"
