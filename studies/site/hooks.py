"""What the site has beside docs/: reference pages from ``--help`` and docstrings, and every file that a page links to.

Pages link to sources as on any code host, ``../kie_hvqa/cli.py``. The site is read offline, so such a file becomes a page of
its own, and a link to a file that there is not stays as it is and fails the build (``mkdocs build --strict``).

Run: make docs
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
# What a program of somebody else would import, room by room.
REFERENCE = {
    "answers": ("kie_hvqa.answers.answer", "kie_hvqa.answers.verdicts", "kie_hvqa.answers.prompt"),
    "data": ("kie_hvqa.data.ledger", "kie_hvqa.data.dataset", "kie_hvqa.data.pixels"),
    "readers": ("kie_hvqa.readers", "kie_hvqa.readers.base"),
    "runs": ("kie_hvqa.runs.evaluator", "kie_hvqa.runs.run_directory"),
    "scoring": ("kie_hvqa.scoring.metrics", "kie_hvqa.scoring.intervals", "kie_hvqa.confidence.operating_point"),
    "simulate": ("degradations.simulate", "degradations.config", "degradations.operators.base"),
    "rewards": ("rewards.contract", "rewards.faithful", "rewards.kie_hvqa_paper", "rewards.plugins.sandbox"),
}
_LINK = re.compile(r"(?<=\]\()(?P<target>[^)\s#:]+)(?P<anchor>#[^)\s]*)?(?=\))")
_LANGUAGES = {".py": "python", ".yaml": "yaml", ".json": "json", ".sh": "bash", ".toml": "toml", ".md": "markdown"}
_MOST = 200_000  # bytes of a source that is shown


def on_config(config: Any) -> Any:
    """A page that the menu forgot stands under More."""
    listed = set(re.findall(r"[\w/-]+\.md", str(config.nav)))
    more = sorted(
        str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md") if str(page.relative_to(DOCS)) not in listed
    )
    config.nav += [{"More": more}] if more else []
    config.nav.append({"Reference": ["reference/commands.md", *(f"reference/{room}.md" for room in REFERENCE)]})
    return config


def on_files(files: Files, config: Any) -> Files:
    files.append(File.generated(config, "reference/commands.md", content=commands_page()))
    for room, modules in REFERENCE.items():
        files.append(File.generated(config, f"reference/{room}.md", content=module_page(room, modules)))
    found: set[str] = set()
    for file in files.documentation_pages():
        if file.generated_by is None:
            found |= linked_sources(file.src_uri, file.content_string)
    for source in sorted(found):
        files.append(File.generated(config, f"source/{source}.md", content=source_page(source)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Links to sources lead to their pages; a source's own text is left alone."""
    if page.file.src_uri.startswith("source/"):
        return markdown
    return _LINK.sub(lambda link: _towards(page.file.src_uri, link), markdown)


def linked_sources(page: str, markdown: str) -> set[str]:
    """The files outside docs/ that ``page`` (relative to docs/) links to, relative to the project, where they exist."""
    found = (_source(page, link["target"]) for link in _LINK.finditer(markdown))
    return {source for source in found if source is not None}


def _source(page: str, target: str) -> str | None:
    here = PurePosixPath("docs", page).parent
    path = PurePosixPath(os.path.normpath(here / target))
    if path.parts[:1] in ((), ("docs",), ("..",)) or not (ROOT / path).is_file():
        return None
    return str(path)


def _towards(page: str, link: re.Match[str]) -> str:
    source = _source(page, link["target"])
    if source is None:
        return link[0]
    return os.path.relpath(f"source/{source}.md", PurePosixPath(page).parent)


def source_page(source: str) -> str:
    path = ROOT / source
    text = path.read_text(encoding="utf-8")[:_MOST]
    return f"---\nsearch: {{exclude: true}}\n---\n\n# {source}\n\n{_fenced(text, path)}"


def _fenced(text: str, path: Path) -> str:
    return f"````````{_LANGUAGES.get(path.suffix, 'text')}\n{text}\n````````\n"


def module_page(room: str, modules: tuple[str, ...]) -> str:
    return "\n\n".join([f"# {room.capitalize()}", *(f"::: {module}" for module in modules)]) + "\n"


def commands_page() -> str:
    """``--help`` of every command and of its verbs."""
    import argparse

    from kie_hvqa.cli import build_parser

    parts = ["# Commands", "What `kie-hvqa COMMAND --help` prints."]

    def add(parser: argparse.ArgumentParser, depth: int) -> None:
        parts.append(f"{'#' * depth} {parser.prog}\n\n```text\n{_help(parser)}\n```")
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for child in action.choices.values():
                    add(child, min(depth + 1, 3))

    add(build_parser(), 2)
    return "\n\n".join(parts) + "\n"


def _help(parser: Any) -> str:
    columns, os.environ["COLUMNS"] = os.environ.get("COLUMNS"), "88"  # as wide as a page
    try:
        return str(parser.format_help()).rstrip()
    finally:
        if columns is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = columns
