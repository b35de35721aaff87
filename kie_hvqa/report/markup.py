"""HTML comes out of the templates beside this file and nowhere else.

Whatever is put into a template is escaped, unless it came out of one: a name, an answer, a log may hold what it likes, and
the page keeps its shape. A name that a template asks for and nobody gave is an error.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from importlib import resources
from typing import Any

from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

RUN_COLOURS = 8  # classes r0 … r7 of the style sheet; runs beyond begin again
ARROWS = {"higher": " ↑", "lower": " ↓", "neither": ""}


def fill(template: str, **values: Any) -> Markup:
    """The HTML of ``templates/<template>`` with ``values`` in it, every string among them escaped but ``Markup``."""
    return Markup(environment(__package__).get_template(template).render(values))


def colour(run: int) -> str:
    """The class that gives run number ``run`` its colour, the same everywhere in a report."""
    return f"r{run % RUN_COLOURS}"


def _shortened(text: str) -> str:
    """The last parts of the path that ``text`` is or ends in."""
    before, space, path = text.rpartition(" ")
    parts = path.split("/")
    return text if len(parts) <= 4 else f"{before}{space}…/{'/'.join(parts[-3:])}"


def _path(points: Sequence[tuple[float, float]]) -> str:
    """The ``d`` of a line through ``points``."""
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


@functools.cache
def environment(package: str) -> Environment:
    """The templates of ``package``, which escape whatever is put into them."""
    folder = resources.files(package).joinpath("templates")
    found = Environment(
        loader=DictLoader({file.name: file.read_text(encoding="utf-8") for file in folder.iterdir()}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals |= {"colour": colour, "path": _path}
    found.filters |= {"count": "{:,}".format, "px": "{:.1f}".format, "plain": "{:g}".format, "shortened": _shortened}
    # `tojson` is for the inside of <script>: no "<", ">", "&" or "'" is left in it.
    found.policies["json.dumps_kwargs"] = {"ensure_ascii": True, "allow_nan": False, "separators": (",", ":")}
    return found
