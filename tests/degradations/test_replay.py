"""One row is enough to see its image again, to the last bit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from degradations.replay import find_row, replay, replay_file
from degradations.simulate import SimulateConfig, write_dataset
from degradations.streaming import Stream
from kie_hvqa.data.dataset import load_rows
from kie_hvqa.data.files import read_json, write_json
from kie_hvqa.errors import InputError, WorkError

ROOT = Path(__file__).parents[2]
CONFIG = SimulateConfig(
    seed=11,
    count=8,
    splits={"train": 0.5, "test": 0.5},
    values={"natural": 0.5, "random": 0.5},
    questions_per_document=2,
    operators_per_image={1: 0.5, 2: 0.5},
)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    out = tmp_path_factory.mktemp("replay") / "data"
    write_dataset(CONFIG, out)
    return out


def pixels(path: Path) -> np.ndarray:
    return cv2.imread(str(path))[:, :, ::-1]


def test_every_row_replays_bit_for_bit(written):
    rows = load_rows(written)
    assert len({row.template for row in rows}) > 1 and {row.page["values"] for row in rows} == {"natural", "random"}
    for row in rows:
        assert np.array_equal(replay(row), pixels(written / row.file_name)), row.id


def test_a_row_of_a_stream_replays_too():
    row, image = Stream(CONFIG, "test", 3).sample(1)
    assert np.array_equal(replay(row), image)


def test_a_row_far_from_its_dataset(written, tmp_path):
    line = (written / "metadata.jsonl").read_text().splitlines()[5]
    (tmp_path / "row.json").write_text(json.dumps(json.loads(line), indent=2))
    found = replay_file(str(tmp_path / "row.json"), tmp_path / "again.png")
    assert found.original is None and found.row.id == json.loads(line)["id"]
    assert np.array_equal(pixels(tmp_path / "again.png"), pixels(written / found.row.file_name))


def test_a_row_cannot_name_a_picture_elsewhere(written, tmp_path):
    row = load_rows(written)[0]
    (tmp_path / "private.png").write_bytes((written / row.file_name).read_bytes())
    (tmp_path / "in").mkdir()
    for name in ("../private.png", str(tmp_path / "private.png")):
        (tmp_path / "in" / "row.json").write_text(json.dumps(row.to_json() | {"file_name": name}))
        with pytest.raises(InputError, match="leaves"):
            replay_file(str(tmp_path / "in" / "row.json"), tmp_path / "again.png")
        assert not (tmp_path / "again.png").exists()


@pytest.mark.parametrize("place", ["", "/metadata.jsonl"])
def test_a_row_of_a_dataset_is_compared_with_its_image(written, tmp_path, place):
    found = replay_file(f"{written}{place}#s11-d000003-q1", tmp_path / "again.png")
    assert found.original == written / found.row.file_name


def test_other_pixels_are_said_and_so_are_other_versions(tmp_path):
    out = tmp_path / "data"
    write_dataset(CONFIG.model_copy(update={"count": 1}), out)
    row = load_rows(out)[0]
    cv2.imwrite(str(out / row.file_name), pixels(out / row.file_name)[:, ::-1])
    manifest = read_json(out / "dataset.json")
    write_json(out / "dataset.json", {**manifest, "versions": {**manifest["versions"], "numpy": "0.9"}})
    with pytest.raises(WorkError, match=r"other pixels than .*numpy 0\.9 there"):
        replay_file(f"{out}#{row.id}", tmp_path / "again.png")
    assert (tmp_path / "again.png").exists()


def changed(written: Path, tmp_path: Path, **changes) -> str:
    row = json.loads((written / "metadata.jsonl").read_text().splitlines()[4])
    (tmp_path / "row.json").write_text(json.dumps({**row, **changes}))
    return str(tmp_path / "row.json")


@pytest.mark.parametrize(
    ("changes", "field", "says"),
    [
        ({"page": None}, "page", "scan"),
        ({"page": {"seed": 1}}, "page", "lacks scale, values"),
        ({"page": {"seed": "1", "scale": "tiny", "values": "natural"}}, "page", "lacks seed"),
        ({"template": None}, "page", "lacks a template"),
        ({"template": "us_licenze"}, None, "us_licence"),
        ({"recipe": None}, "recipe", "no recipe"),
        ({"recipe": [{"operator": "jpegg", "parameters": "{}"}]}, "recipe[0].operator", "jpeg"),
        ({"severity": 9}, "severity", "not a severity"),
    ],
)
def test_what_is_wrong_with_a_row_is_said(written, tmp_path, changes, field, says):
    spec = changed(written, tmp_path, **changes)
    with pytest.raises(InputError) as caught:
        replay_file(spec, tmp_path / "again.png")
    assert says in str(caught.value) and caught.value.field == field and caught.value.file == spec
    assert not (tmp_path / "again.png").exists()


def test_what_names_no_row(written, tmp_path):
    (tmp_path / "list.json").write_text("[1]")
    for spec, says in (
        (f"{written}#nobody", "no row 'nobody'"),
        (str(written), "directory"),
        (str(written / "metadata.jsonl"), "more than one row"),
        (str(tmp_path / "nowhere.json"), "no such file"),
        (str(written / "dataset.json"), "required"),
        (str(tmp_path / "list.json"), "JSON object"),
    ):
        with pytest.raises(InputError, match=says):
            find_row(spec)
    with pytest.raises(InputError, match=r"\.png"):
        replay_file(f"{written}#s11-d000003-q1", tmp_path / "again.jpg")


def test_on_the_command_line(written, tmp_path):
    command = [sys.executable, "-m", "kie_hvqa", "simulate", "--replay", f"{written}#s11-d000000-q0"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "a.png")], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and "the same pixels as" in done.stdout, done.stderr
    assert np.array_equal(pixels(tmp_path / "a.png"), pixels(next(written.glob("images/s11-d000000-i0.*"))))
