"""A dataset directory and a random tiny model, small enough to be made anew for every test run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from kie_hvqa.answers.answer import render, truth
from kie_hvqa.data.ledger import Row, Slot

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("Marta Quist", "Johan Berg", "Lucia Fontana", "Peter Novak", "Irene Salo", "Hugo Weiss")
LABELS = {"name": "Name", "number": "No"}


def draw_card(
    values: dict[str, str], hidden: dict[str, range], size: tuple[int, int]
) -> tuple[Image.Image, dict[str, list[Slot]]]:
    """A card with one labelled line a field, black over the ``hidden`` slots, and its ledger."""
    scale = size[0] / 192
    font = ImageFont.load_default(size=round(14 * scale))
    image = Image.new("RGB", size, (250, 248, 240))
    pen = ImageDraw.Draw(image)
    ledger: dict[str, list[Slot]] = {}
    for line, (field, value) in enumerate(values.items()):
        label = f"{LABELS[field]}: "
        x, y = 8 * scale, (16 + 34 * line) * scale
        pen.text((x, y), label + value, font=font, fill=(20, 20, 30))
        x += pen.textlength(label, font=font)
        slots = []
        for index, char in enumerate(value):
            left = x + pen.textlength(value[:index], font=font)
            box = (left, y, x + pen.textlength(value[: index + 1], font=font), y + 18 * scale)
            covered = index in hidden.get(field, ()) and char != " "
            if covered:
                pen.rectangle(box, fill=(10, 10, 10))
            slots.append(Slot(char, "hidden" if covered else "clear", 0.0 if covered else 1.0, box))
        ledger[field] = slots
    return image, ledger


def write_cards(directory: Path, documents: int = 4, size: tuple[int, int] = (192, 96)) -> Path:
    """``documents`` cards of three questions each (a damaged name, a clean number, an absent field)."""
    (directory / "images").mkdir(parents=True)
    rows = []
    for number in range(documents):
        values = {"name": NAMES[number % len(NAMES)], "number": f"{4711 * (number + 3) % 100000:05d}"}
        # Odd cards are a little larger, so that readers meet more than one size.
        own = size if number % 2 == 0 else (size[0] + 32, size[1])
        image, ledger = draw_card(values, {"name": range(2 + number % 3, 4 + number % 3)}, own)
        file_name = f"images/card_{number}.png"
        image.save(directory / file_name)
        for field, kind in (("name", "answerable"), ("number", "answerable"), ("height", "absent")):
            slots = tuple(ledger.get(field, ()))
            rows.append(
                Row(
                    id=f"card_{number}_{field}",
                    file_name=file_name,
                    document_id=f"card_{number}",
                    document_type="id_card" if number % 2 == 0 else "invoice",
                    split="test",
                    field=field,
                    question_kind=kind,  # type: ignore[arg-type]
                    problem=f"<image>What is the {field} in the image?",
                    answer=render(truth(slots)),
                    slots=slots,
                    severity=number % 7,
                    recipe=[],
                )
            )
    lines = "".join(json.dumps(row.to_json()) + "\n" for row in rows)
    (directory / "metadata.jsonl").write_text(lines, encoding="utf-8")
    return directory


@pytest.fixture(scope="session")
def make_cards() -> Callable[..., Path]:
    return write_cards


@pytest.fixture
def cards(tmp_path: Path) -> Path:
    return write_cards(tmp_path / "cards")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Qwen2.5-VL of one layer a tower, with its processor and reading.json. Do not write into it."""
    from rl.tiny.build import TinyArchitecture, build_config, build_model, build_processor, save_model

    directory = tmp_path_factory.mktemp("tiny") / "model"
    small = TinyArchitecture(
        vision_depth=1, text_layers=1, vision_hidden=64, text_hidden=96, text_heads=3, text_kv_heads=1
    )
    processor = build_processor(small, [f"What is the {field} in the image?" for field in ("name", "number", "height")])
    save_model(build_model(build_config(small, processor), seed=3), processor, small, directory)
    return directory


@pytest.fixture(scope="session")
def kie_hvqa() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the command line as a user does: a process of its own, exit status and messages as they come out."""

    def run(*arguments: str | Path, timeout: float = 300, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "kie_hvqa", *map(str, arguments)],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **environment},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of ``kie-hvqa serve embedded``, as a user starts it. What fails there shows at the end."""
    errors = tmp_path_factory.mktemp("serve") / "stderr"
    with errors.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "kie_hvqa", "serve", "embedded", "--port", "0", "--device", "cpu"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("serving embedded at http://127.0.0.1:"), errors.read_text()
        yield line.split()[-1]
        assert process.poll() is None, errors.read_text()
        assert "Traceback" not in errors.read_text(), errors.read_text()
    finally:
        process.kill()
        process.wait()
