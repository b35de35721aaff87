"""The front door's papers: links lead somewhere, what is said about messages and versions is so, and the site's own pages."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

import kie_hvqa
from studies.site import hooks
from studies.site.docstring_tables import as_markdown

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "hashes" / "README.md"])
LINK = re.compile(r"\]\((?!https?:|mailto:)(?P<file>[^)\s#]*)(?P<anchor>#[^)\s]+)?\)")
ROOMS = ("kie_hvqa", "degradations", "rewards", "rl")


def without_code(text: str) -> str:
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


def anchors(page: Path) -> set[str]:
    """What headings are called, as GitHub and Python-Markdown both do."""
    titles = re.findall(r"^#+ (.+?)\s*$", without_code(page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    for link in LINK.finditer(without_code(page.read_text())):
        file = page.parent / link["file"] if link["file"] else page
        assert file.exists(), link[0]
        assert file.resolve().is_relative_to(ROOT), link[0]
        if link["anchor"] and file.suffix == ".md":
            assert link["anchor"][1:] in anchors(file), link[0]


def test_every_test_that_pages_and_code_name_is_there():
    texts = [*PAGES, ROOT / "Makefile", *(path for room in (*ROOMS, "studies") for path in (ROOT / room).rglob("*.py"))]
    for text in texts:
        for named in re.findall(r"\btests/[\w/]+\.\w+", text.read_text()):
            assert (ROOT / named).exists(), f"{text.relative_to(ROOT)} names {named}"


def test_every_message_that_is_explained_is_one_that_is_said():
    said = "".join(path.read_text() for room in ROOMS for path in (ROOT / room).rglob("*.py"))
    said = re.sub(r'"\s*\n\s*f?"', "", said)  # strings that go over lines
    titles = re.findall(r"^### `(.*)`$", (ROOT / "docs" / "what-goes-wrong.md").read_text(), re.MULTILINE)
    assert len(titles) >= 20
    for title in titles:
        # What stands in a message's places: the ellipsis, and the names of the dataset's files.
        for part in re.split(r"…|metadata\.jsonl|kie_hocr\.jsonl", title):
            assert part.strip(" ,").removesuffix(" nor") in said, title


def test_the_tour_is_eight_files_on_sixty_lines():
    text = (ROOT / "docs" / "tour.md").read_text()
    assert len(text.splitlines()) <= 60
    assert re.findall(r"^(\d)\. \*\*\[", text, re.MULTILINE) == [str(k) for k in range(1, 9)]


def test_one_version():
    assert re.search(rf"^## {re.escape(kie_hvqa.__version__)}\b", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == kie_hvqa.__version__


def test_every_page_is_in_the_sites_menu_and_every_entry_is_a_page():
    entries = re.findall(r"^ {6}- (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    config = type("Config", (), {"nav": [{"Start": list(entries[:-1])}]})
    menu = str(hooks.on_config(config).nav)
    for page in (ROOT / "docs").rglob("*.md"):
        assert str(page.relative_to(ROOT / "docs")) in menu
    assert {"More": [entries[-1]]} in config.nav
    assert all((ROOT / "docs" / entry).is_file() for entry in entries)


def test_sources_that_pages_link_to_become_pages():
    text = "[a](../kie_hvqa/cli.py) [b](tour.md) [c](https://x.org/a.py) [d](../no/such.py) [e](../../etc/passwd)"
    assert hooks.linked_sources("index.md", text) == {"kie_hvqa/cli.py"}
    assert hooks.linked_sources("tutorials/x.md", "[a](../../kie_hvqa/cli.py)") == {"kie_hvqa/cli.py"}
    page = type("Page", (), {"file": type("F", (), {"src_uri": "tutorials/x.md"})})
    moved = hooks.on_page_markdown("[a](../../kie_hvqa/cli.py) [b](../tour.md)", page, None, None)
    assert moved == "[a](../source/kie_hvqa/cli.py.md) [b](../tour.md)"


def test_a_docstrings_table_is_a_table_on_the_page():
    text = (
        "Costs.\n\n=====  ====\nwhat   cost\n=====  ====\na      1|2\nb      a longer\n       cell\n=====  ====\n\nEnd."
    )
    assert as_markdown(text) == "Costs.\n\n\n| what | cost |\n|---|---|\n| a | 1\\|2 |\n| b | a longer cell |\n\n\nEnd."
    assert as_markdown("A = B\n====\nno table") == "A = B\n====\nno table"


def test_the_page_of_commands_has_every_command_and_verb():
    from kie_hvqa.cli import COMMANDS

    page = hooks.commands_page()
    for command in (*COMMANDS, "rewards check"):
        assert f" kie-hvqa {command}\n\n```text\nusage: kie-hvqa {command}" in page


@pytest.mark.parametrize("extras", ["", "simulate,ocr"])
def test_the_image_is_made_by_the_script_that_release_check_runs(extras, tmp_path):
    lines = (ROOT / "Dockerfile").read_text()
    assert "RUN /opt/kie-hvqa/.ci/install /opt/venv /opt/kie-hvqa" in lines
    # An interpreter that only writes down what it is asked for.
    python = tmp_path / "python"
    python.write_text(
        '#!/bin/sh\necho "$@" >> "$LOG"\n'
        'case "$*" in "-m venv "*) mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; cp "$0" "$3/bin/kie-hvqa";; esac\n'
    )
    python.chmod(0o755)
    log = tmp_path / "log"
    subprocess.run(
        [ROOT / ".ci" / "install", tmp_path / "venv", ROOT, extras],
        env={"PATH": "/usr/bin:/bin", "PYTHON": str(python), "LOG": str(log)},
        check=True,
        capture_output=True,
    )
    pip, shown = log.read_text().splitlines()[2:]
    asked = f"kie-hvqa[{extras}]" if extras else "kie-hvqa"
    assert f"-c {ROOT}/constraints.txt" in pip and pip.endswith(f"{asked} @ file://{ROOT}") and shown == "--version"
