"""The command line from outside: it starts at once and without torch, and its exit status says whose fault it was."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kie_hvqa import cli
from kie_hvqa.errors import InputError, WorkError

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"torch", "transformers", "onnxruntime", "trl", "cv2", "scipy"}


def loaded_by(*arguments: str | Path) -> set[str]:
    """The heavy modules that a subcommand imports, in a process of its own."""
    code = (
        "import sys\nfrom kie_hvqa.cli import main\n"
        "try:\n    status = main(sys.argv[1:])\nexcept SystemExit as stop:\n    status = stop.code\n"
        f"print('LOADED', status, *sorted({HEAVY!r} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    status, *heavy = done.stdout.rpartition("LOADED ")[2].split()
    assert status == "0", done.stderr
    return set(heavy)


@pytest.fixture
def predictions(cards, tmp_path):
    rows = [json.loads(line) for line in (cards / "metadata.jsonl").read_text().splitlines()]
    path = tmp_path / "answers.jsonl"
    path.write_text("".join(json.dumps({"id": row["id"], "response": row["answer"]}) + "\n" for row in rows))
    return path


def test_help_starts_without_anything_heavy():
    start = time.monotonic()
    assert loaded_by("--help") == set()
    print(f"kie-hvqa --help: {time.monotonic() - start:.2f} s")


def test_score_and_report_work_without_torch(cards, predictions, tmp_path):
    assert loaded_by("score", "--predictions", predictions, "--data", cards, "--out", tmp_path / "run") <= {"scipy"}
    assert loaded_by("report", tmp_path / "run", "--out", tmp_path / "report.html") <= {"scipy"}
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")


def test_simulate_works_without_torch(tmp_path):
    recipe = tmp_path / "cards.yaml"
    recipe.write_text("seed: 1\ncount: 1\nquestions_per_document: 1\n")
    assert loaded_by("simulate", "--config", recipe, "--out", tmp_path / "data") <= {"cv2"}
    assert len((tmp_path / "data" / "metadata.jsonl").read_text().splitlines()) == 1


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_subcommand_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([command, "--help"])
    assert stop.value.code == 0
    said = capsys.readouterr().out
    assert f"kie-hvqa {command}" in said
    assert "`" not in said
    usage, description, *_ = said.split("\n\n")
    assert usage.startswith("usage:") and description[0].isupper() and not description.startswith("kie-hvqa")


@pytest.mark.parametrize(
    ("raised", "status", "message"),
    [
        (
            InputError("it is wrong", file="a.yaml", line=3, field="key", remedy="Mend it."),
            2,
            "a.yaml:3: key: it is wrong. Mend it.",
        ),
        (WorkError("the disk is full"), 1, "the disk is full"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (OSError(28, "No space left on device", "/out/x"), 1, "No space left on device"),
    ],
)
def test_an_exception_becomes_an_exit_status_and_one_message(monkeypatch, capsys, tmp_path, raised, status, message):
    def fail(*_, **__):
        raise raised

    monkeypatch.setattr("kie_hvqa.report.write_report", fail)
    assert cli.main(["report", str(tmp_path), "--out", str(tmp_path / "r.html")]) == status
    captured = capsys.readouterr()
    assert captured.err == captured.err.strip() + "\n"
    assert message in captured.err
    assert captured.err.startswith("kie-hvqa report: ")


def test_a_bug_keeps_its_traceback(monkeypatch, tmp_path):
    monkeypatch.setattr("kie_hvqa.report.write_report", lambda *_, **__: {}["missing"])
    with pytest.raises(KeyError):
        cli.main(["report", str(tmp_path), "--out", str(tmp_path / "r.html")])


def test_wrong_arguments_are_status_2(kie_hvqa):
    done = kie_hvqa("eval", "--data", "x")
    assert done.returncode == 2
    assert "--reader" in done.stderr


def test_a_reader_of_our_output_may_leave(kie_hvqa):
    command = f"{sys.executable} -m kie_hvqa --help | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stderr == ""


def test_ctrl_c_keeps_what_was_read(cards, tmp_path):
    """An interrupt in the middle of an evaluation: status 130, whole lines kept, no traceback."""
    slow = tmp_path / "slow"
    slow.mkdir()
    # An engine that reads one page a second, in place of the real one.
    (slow / "rapidocr_onnxruntime.py").write_text(
        "import time\nclass RapidOCR:\n    def __init__(self, **_): pass\n"
        "    def __call__(self, *_, **__):\n        time.sleep(1.0)\n        return None, None\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "kie_hvqa", "eval", "--data", cards, "--reader", "rapidocr", "--out", tmp_path / "out"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{slow}:{ROOT}"},
        stderr=subprocess.PIPE,
        text=True,
        # A shell starts what it runs in the background with interrupts ignored, the tests too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    log = tmp_path / "out" / "predictions.jsonl"
    deadline = time.monotonic() + 300
    try:
        while not (log.exists() and log.read_bytes().count(b"\n") >= 1):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 130
    assert stderr.strip().splitlines()[-1] == "kie-hvqa eval: interrupted"
    assert "Traceback" not in stderr
    assert log.read_bytes().endswith(b"\n")


# --- the torch and torchvision pair ---

FITS = "version = '2.13.0'\n"


def check_torch(directory: Path, torch: str | None, torchvision: str | None) -> subprocess.CompletedProcess[str]:
    """``require_torch`` where torch and torchvision are these modules (None: not installed), in a bare interpreter."""
    for name, source, version in (("torch", torch, "2.13.0+cpu"), ("torchvision", torchvision, "0.29.2")):
        if source is None:
            continue
        (directory / name).mkdir(parents=True)
        (directory / name / "__init__.py").write_text(source)
        info = directory / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    code = (
        f"import sys; sys.path = [{str(directory)!r}, {str(ROOT)!r}] + [p for p in sys.path if 'site-packages' not in p]\n"
        "from kie_hvqa.errors import InputError\nfrom kie_hvqa.torch_check import require_torch\n"
        "try:\n    require_torch()\nexcept InputError as error:\n    print(error)\n    sys.exit(error.exit_status)\n"
    )
    return subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("torch", "torchvision", "told"),
    [
        (FITS, "raise RuntimeError('operator torchvision::nms does not exist')", "torchvision::nms does not exist"),
        (
            FITS,
            "raise RuntimeError('Detected that PyTorch and torchvision were compiled with different CUDA major versions.')",
            "CUDA",
        ),
        (FITS, "raise ImportError('_C.so: undefined symbol: _ZN3c10')", "undefined symbol"),
        ("raise OSError('libcudart.so.13: cannot open shared object file')", FITS, "libcudart"),
    ],
)
def test_a_broken_pair_is_one_sentence_with_both_versions_and_the_remedy(tmp_path, torch, torchvision, told):
    done = check_torch(tmp_path, torch, torchvision)
    assert done.returncode == 2, done.stderr
    assert len(done.stdout.splitlines()) == 1
    assert "torch 2.13.0+cpu" in done.stdout and "torchvision 0.29.2" in done.stdout
    assert told in done.stdout
    assert "`pip install --upgrade --force-reinstall torch torchvision`" in done.stdout


@pytest.mark.parametrize(
    ("torch", "torchvision", "missing"),
    [(None, None, "torch not installed"), (FITS, None, "torchvision not installed")],
)
def test_a_missing_package_is_one_sentence_with_the_remedy(tmp_path, torch, torchvision, missing):
    done = check_torch(tmp_path, torch, torchvision)
    assert done.returncode == 2, done.stderr
    assert missing in done.stdout
    assert "`pip install 'kie-hvqa[local]'`" in done.stdout


def test_a_pair_that_fits_is_silent(tmp_path):
    done = check_torch(tmp_path, FITS, FITS)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_torch_itself_misses_keeps_its_traceback(tmp_path):
    done = check_torch(tmp_path, "import sympathy_for_the_devil", FITS)
    assert done.returncode == 1
    assert "ModuleNotFoundError: No module named 'sympathy_for_the_devil'" in done.stderr


@pytest.fixture
def broken_pair(tmp_path):
    """A PYTHONPATH on which torch imports and torchvision does not."""
    broken = "raise RuntimeError('operator torchvision::nms does not exist')"
    for name, source in (("torch", FITS), ("torchvision", broken)):
        (tmp_path / "broken" / name).mkdir(parents=True)
        (tmp_path / "broken" / name / "__init__.py").write_text(source)
    return f"{tmp_path / 'broken'}:{ROOT}"


@pytest.mark.parametrize(
    "command", [["sft", "--config", "x.yaml"], ["grpo", "--config", "x.yaml"], ["forget"], ["demo", "--out", "x"]]
)
def test_training_commands_meet_the_broken_pair_first(kie_hvqa, broken_pair, command):
    done = kie_hvqa(*command, PYTHONPATH=broken_pair)
    assert done.returncode == 2
    assert done.stderr.startswith(f"kie-hvqa {command[0]}: torch and torchvision do not fit")
    assert len(done.stderr.strip().splitlines()) == 1


def test_so_does_a_checkpoint_reader(kie_hvqa, broken_pair, cards, tiny_model, tmp_path):
    arguments = ("eval", "--data", cards, "--reader", tiny_model, "--out", tmp_path / "out")
    done = kie_hvqa(*arguments, PYTHONPATH=broken_pair)
    assert done.returncode == 2
    assert done.stderr.startswith("kie-hvqa eval: torch and torchvision do not fit")
    assert len(done.stderr.strip().splitlines()) == 1


# --- the other rooms' commands ---


def test_degrade_writes_a_dataset_that_loads(kie_hvqa, tmp_path):
    from PIL import Image, ImageDraw, ImageFont

    from kie_hvqa.data.dataset import load_image, load_rows

    page = Image.new("RGB", (460, 300), "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(size=24)
    lines = []
    for number, text in enumerate(("CORNER SHOP", "15/01/2019", "TOTAL 193.00")):
        place = (40, 30 + 80 * number)
        pen.text(place, text, font=font, fill="black")
        lines.append({"text": text, "box": [int(value) for value in pen.textbbox(place, text, font=font)]})
    page.save(tmp_path / "page.png")
    annotation = {
        "file_name": "page.png",
        "document_type": "receipt",
        "size": [460, 300],
        "fields": {"company": "CORNER SHOP", "date": "15/01/2019", "total": "193.00"},
        "lines": lines,
    }
    (tmp_path / "pages.jsonl").write_text(json.dumps(annotation) + "\n")
    where = ("--annotations", tmp_path / "pages.jsonl", "--images", tmp_path, "--out", tmp_path / "data")
    done = kie_hvqa("degrade", *where)
    assert done.returncode == 0, done.stderr
    assert "wrote" in done.stdout
    assert {row.document_type for row in load_rows(tmp_path / "data")} == {"receipt"}
    done = kie_hvqa("degrade", *where[:-1], tmp_path / "crops", "--view", "field")
    assert done.returncode == 0, done.stderr
    crops = {load_image(tmp_path / "crops" / row.file_name).size for row in load_rows(tmp_path / "crops")}
    assert len(crops) > 1 and all(width < 460 and height < 300 for width, height in crops)
    refused = kie_hvqa("degrade", *where, "samples_per_field=3")
    assert refused.returncode == 2
    assert "--config" in refused.stderr


def test_rewards_are_listed_without_torch_and_a_broken_one_fails_its_check(kie_hvqa, tmp_path):
    assert loaded_by("rewards", "list") == set()
    assert "faithful" in kie_hvqa("rewards", "list").stdout
    (tmp_path / "mine.py").write_text("def reward(prompts, completions, **columns):\n    raise ValueError('no')\n")
    done = kie_hvqa("rewards", "check", f"{tmp_path / 'mine.py'}:reward")
    assert done.returncode == 1, done.stderr
    assert "ValueError" in done.stdout
