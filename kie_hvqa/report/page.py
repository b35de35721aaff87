"""The whole document around the sections, style and script inlined."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from markupsafe import Markup

from kie_hvqa import __version__
from kie_hvqa.report.markup import fill
from kie_hvqa.report.sources import Sources

_SCRIPTS = ("theme.js", "pointing.js", "samples.js", "gallery.js")


def assemble(
    sources: Sources, sections: Sequence[tuple[str, str, Markup]], tiles: Markup, data: Mapping[str, Any] | None
) -> str:
    """One HTML file. ``sections`` are (id, short title, HTML) in order, ``tiles`` stands above them, and ``data`` is what the
    gallery's script draws from, None where there is no gallery."""
    script = "\n".join(_asset(name) for name in (_SCRIPTS if data is not None else _SCRIPTS[:2]))
    return fill(
        "page.html",
        digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
        names=sources.names,
        runs=sources.runs,
        sections=[(name, title, body) for name, title, body in sections if body],
        tiles=tiles,
        data=data,
        versions=sorted({(run.record.versions or {}).get("kie_hvqa", "?") for run in sources.runs}) or [__version__],
        # The project's own files: in these two elements a browser undoes no escaping.
        style=Markup(_asset("report.css")),
        script=Markup(script),
    )


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath("assets", name).read_text(encoding="utf-8")
