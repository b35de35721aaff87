"""The core alone scores, reports, compares and asks a server; what needs more says the one line that installs it.

No second environment is made here (`make release-check` does that): an import hook hides every installed module that the
core's requirements do not bring.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image

from kie_hvqa import extras

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OF_DISTRIBUTION: dict[str, set[str]] = {}
for module, names in metadata.packages_distributions().items():
    for name in names:
        OF_DISTRIBUTION.setdefault(canonicalize_name(name), set()).add(module)
RUN_TIME = [name for name in PROJECT["optional-dependencies"] if name not in ("all", "docs", "dev")]
ANSWER = '<answer>{"clear Char-level OCR": "A 7", "not clear enough Char-level OCR": "", "Final OCR": "A7"}</answer>'


def _closure(lines: list[str]) -> set[str]:
    """The distributions that ``lines`` bring, as installed here."""
    found: set[str] = set()
    left = [Requirement(line) for line in lines]
    while left:
        requirement = left.pop()
        name = canonicalize_name(requirement.name)
        if name in found or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        found.add(name)
        left += [Requirement(line) for line in metadata.requires(name) or []]
    return found


CORE = _closure(PROJECT["dependencies"])
_CORE_MODULES = {module for name in CORE for module in OF_DISTRIBUTION[name]}
HIDDEN = sorted(
    {module for modules in OF_DISTRIBUTION.values() for module in modules}
    - _CORE_MODULES
    - {"kie_hvqa", "degradations", "rewards", "rl", "studies", "configs"}
)


@pytest.fixture(scope="module")
def core_only(tmp_path_factory):
    """``kie-hvqa`` where only the core is installed; called with arguments, it gives the finished process."""
    place = tmp_path_factory.mktemp("core")
    hook = (
        "import sys\n"
        f"HIDDEN = frozenset({HIDDEN!r})\n"
        "class Hide:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in HIDDEN:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Hide())\n"
        "from importlib import metadata\n"
        "found = metadata.version\n"
        f"CORE = frozenset({sorted(CORE)!r})\n"
        "def version(name):\n"
        "    if name.lower() not in CORE: raise metadata.PackageNotFoundError(name)\n"
        "    return found(name)\n"
        "metadata.version = version\n"
        "from kie_hvqa.cli import main\n"
        "sys.exit(main())\n"
    )
    (place / "kie_hvqa_core.py").write_text(hook)

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, place / "kie_hvqa_core.py", *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            cwd=place,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return run


def test_the_core_is_small():
    assert len(PROJECT["dependencies"]) <= 12
    assert not CORE & {"torch", "transformers", "opencv-python", "faker", "fontpkg", "datasets"}
    assert len(CORE) <= 18, sorted(CORE)


@pytest.mark.parametrize("extra", RUN_TIME)
def test_every_package_of_an_extra_leads_back_to_it(extra):
    for line in PROJECT["optional-dependencies"][extra]:
        name = canonicalize_name(Requirement(line).name)
        # A face is found by fontpkg, and says its own package where it is missing.
        if name == "kie-hvqa" or name.startswith("fontpkg-") or name not in OF_DISTRIBUTION:
            continue
        told = {extras.EXTRA_OF.get(module) for module in OF_DISTRIBUTION[name]}
        assert extra in told, (line, OF_DISTRIBUTION[name])


def test_no_extra_is_told_that_there_is_not():
    assert set(extras.EXTRA_OF.values()) <= set(PROJECT["optional-dependencies"])
    assert {"simulate", "local", "train", "ocr", "serve", "pdf", "vllm", "dev", "all"} <= set(
        PROJECT["optional-dependencies"]
    )


@pytest.fixture
def answers(tmp_path):
    file = tmp_path / "answers.jsonl"
    rows = [{"answer": ANSWER, "response": ANSWER.replace('"A7"', f'"A{k}"')} for k in (7, 1)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test_the_core_scores_compares_and_reports(core_only, answers, tmp_path):
    for name in ("one", "two"):
        done = core_only("score", "--predictions", answers, "--out", tmp_path / name)
        assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "one" / "metrics.json").read_text())["samples"] == 2
    done = core_only("compare", tmp_path / "one", tmp_path / "two")
    assert done.returncode == 0 and "|" in done.stdout, done.stderr
    done = core_only("report", tmp_path / "one", tmp_path / "two", "--out", tmp_path / "report.html")
    assert done.returncode == 0 and (tmp_path / "report.html").stat().st_size > 10_000, done.stderr
    done = core_only("rewards", "check", "faithful")
    assert done.returncode == 0, done.stderr


class AlwaysRight(BaseHTTPRequestHandler):
    """Chat completions that always say ``ANSWER``."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        message = {"role": "assistant", "content": ANSWER}
        body = json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_the_core_evaluates_and_reads_with_a_server(core_only, tmp_path):
    Image.new("RGB", (56, 28), "white").save(tmp_path / "page.png")
    row = {"id": "1", "image": "page.png", "problem": "<image>What is the number in the image?", "answer": ANSWER}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    server = HTTPServer(("127.0.0.1", 0), AlwaysRight)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    reader = f"openai:any@http://127.0.0.1:{server.server_port}/v1"
    try:
        done = core_only("eval", "--data", tmp_path / "rows.jsonl", "--reader", reader, "--out", tmp_path / "run")
        # A template's fields are known without what draws it.
        asked = ("--template", "us_licence", "--reader", reader, "--out", tmp_path / "read")
        read = core_only("read", tmp_path / "page.png", *asked)
    finally:
        server.shutdown()
        server.server_close()
    assert read.returncode == 0 and (tmp_path / "read" / "results.jsonl").is_file(), read.stderr
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["overall"]["average"]["value"] == 100.0


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        ("simulate --config {root}/configs/simulate/tiny.yaml --out {out}", "simulate"),
        ("degrade --annotations {out} --out {out}/x", "simulate"),
        ("sft --config {root}/configs/sft/tiny.yaml", "train"),
        ("grpo --config {root}/configs/grpo/tiny.yaml", "train"),
        ("forget --out {out}", "train"),
        ("demo --out {out}", "train"),
        ("merge {out} --out {out}/x", "train"),
        ("serve embedded --port 0", "local|serve"),
        ("eval --data {rows} --reader embedded --out {out}/run", "local"),
        ("eval --data {rows} --reader owner/name --out {out}/run", "local"),
        ("eval --data {rows} --reader rapidocr --out {out}/run", "ocr"),
    ],
)
def test_a_command_that_lacks_its_extra_says_the_line(core_only, tmp_path, arguments, extra):
    Image.new("RGB", (56, 28), "white").save(tmp_path / "page.png")
    row = {"id": "1", "image": "page.png", "problem": "<image>What is the number in the image?", "answer": ANSWER}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    done = core_only(*arguments.format(root=ROOT, out=tmp_path, rows=tmp_path / "rows.jsonl").split())
    assert done.returncode == 2, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"kie-hvqa {arguments.split()[0]}: "), done.stderr
    assert re.search(rf"`pip install .*\[({extra})\]'`", last), last
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("origin", "line"),
    [
        (None, "pip install 'kie-hvqa[ocr]'"),
        ('{"url": "file:///a%20b/here", "dir_info": {"editable": true}}', "pip install -e '/a b/here[ocr]'"),
        ('{"url": "file:///here.whl", "archive_info": {}}', "pip install '/here.whl[ocr]'"),
        ('{"url": "https://somewhere/x.whl", "archive_info": {}}', "pip install 'kie-hvqa[ocr]'"),
        ("broken", "pip install 'kie-hvqa[ocr]'"),
    ],
)
def test_the_line_is_for_the_installation_at_hand(monkeypatch, origin, line):
    class Installed:
        def read_text(self, name):
            assert name == "direct_url.json"
            return origin

    monkeypatch.setattr(metadata, "distribution", lambda name: Installed())
    assert extras.install_line("ocr") == line


def test_a_module_of_no_extra_is_a_bug_and_keeps_its_traceback():
    assert extras.lacking(ModuleNotFoundError("no", name="sympathy")) is None
    assert extras.lacking(ModuleNotFoundError("no")) is None
