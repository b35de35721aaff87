"""The whole document around the sections, style and script inlined."""

from __future__ import annotations

import base64
import hashlib
from html import escape
from importlib import resources

from kie_hvqa import __version__
from kie_hvqa.report.markup import dot
from kie_hvqa.report.sources import Sources

_SCRIPTS = ("theme.js", "samples.js", "gallery.js")


def assemble(sources: Sources, sections: list[tuple[str, str, str]], tiles: str, data: str | None) -> str:
    """One HTML file. ``sections`` are (id, short title, HTML) in order, ``tiles`` stands above them, and ``data`` is the gallery's
    JSON, None where there is no gallery."""
    script = "\n".join(_asset(name) for name in (_SCRIPTS if data is not None else _SCRIPTS[:1]))
    shown = [(name, title, body) for name, title, body in sections if body]
    links = "".join(f'<a href="#{name}">{escape(title)}</a>' for name, title, _ in shown)
    block = "" if data is None else f'<script type="application/json" id="data">{data}</script>'
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        # Nothing from the network and no script but its own, whatever a model wrote; pictures that are not inlined lie
        # beside the file.
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data: file: 'self'; "
        f"style-src 'unsafe-inline'; script-src 'sha256-{_digest(script)}'; base-uri 'none'; form-action 'none'\">"
        f'<title>KIE-HVQA: {escape(", ".join(sources.names))}</title><link rel="icon" href="data:,">'
        f"<style>{_asset('report.css')}</style></head><body>"
        '<a class="skip" href="#main">To the content</a>'
        f'<header><div class="bar"><nav aria-label="Sections">{links}</nav>'
        '<button type="button" id="theme" hidden>Theme</button></div>'
        f"<div><h1>What was read, and what the pixels support</h1>{_lead(sources)}{_legend(sources)}</div></header>"
        f'<main id="main">{tiles}{"".join(body for _, _, body in shown)}</main>'
        f"<footer><div>kie-hvqa {escape(_versions(sources))}</div></footer>"
        f"{block}<script>{script}</script></body></html>\n"
    )


def _lead(sources: Sources) -> str:
    if not sources.runs:
        return ""
    first = sources.runs[0]
    part = f", split {escape(first.record.split)}" if first.record.split else ""
    part += f", suite {escape(first.record.suite)}" if first.record.suite else ""
    metrics = first.metrics
    return (
        f'<p class="lead">{metrics["samples"]:,} questions about {metrics["documents"]:,} documents, from '
        f"<code>{escape(_short(first.record.data))}</code>{part}.</p>"
    )


def _legend(sources: Sources) -> str:
    keys = "".join(
        f'<li>{dot(index)}<b>{escape(run.name)}</b> <span class="small">{escape(_short(run.record.reader))}</span></li>'
        for index, run in enumerate(sources.runs)
    )
    return f'<ul class="legend" aria-label="Runs">{keys}</ul>' if keys else ""


def _short(text: str) -> str:
    """The last parts of the path that ``text`` is or ends in."""
    before, space, path = text.rpartition(" ")
    parts = path.split("/")
    return text if len(parts) <= 4 else f"{before}{space}…/{'/'.join(parts[-3:])}"


def _versions(sources: Sources) -> str:
    """The versions that made the runs; this one's where there is no run."""
    return ", ".join(sorted({(run.record.versions or {}).get("kie_hvqa", "?") for run in sources.runs})) or __version__


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")


def _asset(name: str) -> str:
    return resources.files("kie_hvqa.report").joinpath(name).read_text(encoding="utf-8")
