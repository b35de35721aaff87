"""Many machines make what one would have made, and a merge believes nothing that it has not checked."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from degradations.simulate import SimulateConfig, write_dataset
from degradations.storing import shards
from degradations.storing.shards import Shard, merge_shards
from degradations.storing.writer import write_pieces
from kie_hvqa.errors import InputError
from tests.degradations.storing.pieces import digests, piece

ROOT = Path(__file__).parents[3]
write = partial(write_pieces, kind="simulate", config={"seed": 0})


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """A whole dataset of eleven documents, and the same in four shards."""
    root = tmp_path_factory.mktemp("parts")
    write(piece, 11, root / "whole")
    folders = [root / f"part{i}" for i in range(1, 5)]
    for index, folder in enumerate(folders, 1):
        write(piece, 11, folder, shard=Shard(index, 4))
    return root / "whole", folders


@given(st.integers(1, 40), st.integers(0, 200))
def test_shards_share_the_documents_out(of, more):
    count = of + more
    ranges = [Shard(index, of).documents(count) for index in range(1, of + 1)]
    assert ranges[0].start == 0 and ranges[-1].stop == count
    assert all(a.stop == b.start for a, b in pairwise(ranges))
    assert max(map(len, ranges)) - min(map(len, ranges)) <= 1 and min(map(len, ranges)) >= 1


def test_merged_shards_are_the_whole_dataset(parts, tmp_path):
    whole, folders = parts
    summary = merge_shards([folders[2], folders[0], folders[3], folders[1]], tmp_path / "merged")
    assert digests(tmp_path / "merged") == digests(whole)
    assert summary.rows == 22 and merge_shards(folders, tmp_path / "merged").reused
    assert all((folder / "dataset.json").exists() for folder in folders)


def test_merged_shards_of_rendered_documents(tmp_path):
    config = SimulateConfig(seed=3, count=4, questions_per_document=1, templates={"us_licence": 1.0})
    write_dataset(config, tmp_path / "whole")
    folders = [tmp_path / f"part{i}" for i in (1, 2)]
    for index, folder in enumerate(folders, 1):
        write_dataset(config, folder, shard=Shard(index, 2))
    merge_shards(folders, tmp_path / "merged")
    assert digests(tmp_path / "merged") == digests(tmp_path / "whole")


def test_images_are_copied_where_they_cannot_be_linked(parts, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(shards.os, "link", refuse)
    merge_shards(parts[1], tmp_path / "merged")
    assert digests(tmp_path / "merged") == digests(parts[0])


def test_an_interrupted_merge_goes_on(parts, tmp_path, monkeypatch):
    place, done = shards._place, []

    def interrupted(source, target, digest):
        if len(done) == 5:
            os.kill(os.getpid(), 0)
            raise KeyboardInterrupt
        done.append(target)
        place(source, target, digest)

    with monkeypatch.context() as patched:
        patched.setattr(shards, "_place", interrupted)
        with pytest.raises(KeyboardInterrupt):
            merge_shards(parts[1], tmp_path / "merged")
    merge_shards(parts[1], tmp_path / "merged")
    assert digests(tmp_path / "merged") == digests(parts[0])


def copied(parts, tmp_path) -> list[Path]:
    folders = [tmp_path / folder.name for folder in parts[1]]
    for source, target in zip(parts[1], folders, strict=True):
        shutil.copytree(source, target)
    return folders


def test_every_image_and_row_is_checked(parts, tmp_path):
    folders = copied(parts, tmp_path)
    image = folders[1] / "images" / "d3.png"
    data = image.read_bytes()
    image.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(InputError, match="differs from its hash") as caught:
        merge_shards(folders, tmp_path / "merged")
    assert caught.value.file == str(image) and not (tmp_path / "merged").exists()
    image.unlink()
    with pytest.raises(InputError, match="missing"):
        merge_shards(folders, tmp_path / "merged")
    image.write_bytes(data)
    with (folders[2] / "metadata.jsonl").open("a") as stream:
        stream.write("\n")
    with pytest.raises(InputError, match=r"metadata\.jsonl: it differs"):
        merge_shards(folders, tmp_path / "merged")


def test_what_does_not_belong_together_is_not_merged(parts, tmp_path):
    whole, folders = parts
    merge = partial(merge_shards, out=tmp_path / "merged")
    with pytest.raises(InputError, match="shards are missing: 2/4, 4/4"):
        merge([folders[0], folders[2]])
    with pytest.raises(InputError, match="is shard 1/4 too"):
        merge([*folders, folders[0]])
    with pytest.raises(InputError, match="not a shard"):
        merge([whole])
    with pytest.raises(InputError, match="no finished shard"):
        merge([*folders, tmp_path])
    write_pieces(piece, 11, tmp_path / "other", kind="simulate", config={"seed": 1}, shard=Shard(2, 4))
    with pytest.raises(InputError, match=r"config\.seed is 1 there and 0 here"):
        merge([folders[0], tmp_path / "other"])
    write(piece, 11, tmp_path / "third", shard=Shard(2, 3))
    with pytest.raises(InputError, match="one of 3 shards, not of 4"):
        merge([folders[0], tmp_path / "third"])
    with pytest.raises(InputError, match="all of them"):
        merge([])
    assert not (tmp_path / "merged").exists()


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "1/0", "-1/4", "a/b", "1/4/2", ""])
def test_what_is_not_a_shard(text):
    with pytest.raises(InputError, match="not a shard"):
        Shard.parse(text)


def test_more_shards_than_documents():
    with pytest.raises(InputError, match="some would be empty"):
        Shard(1, 4).documents(3)


def test_on_the_command_line(tmp_path):
    def simulate(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "kie_hvqa", "simulate", *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    recipe = ["--config", "configs/simulate/tiny.yaml", "--count", "2", "questions_per_document=1", "absent_beside={}"]
    for index in ("1/2", "2/2"):
        done = simulate(*recipe, "--shard", index, "--out", str(tmp_path / index[0]))
        assert done.returncode == 0, done.stderr
    merged = simulate("--merge", str(tmp_path / "1"), str(tmp_path / "2"), "--out", str(tmp_path / "merged"))
    assert merged.returncode == 0 and "2 questions" in merged.stdout
    assert json.loads((tmp_path / "merged" / "dataset.json").read_text())["shard"] is None
    wrong = simulate("--merge", str(tmp_path / "1"), "--out", str(tmp_path / "m"))
    assert wrong.returncode == 2 and "2/2" in wrong.stderr
    wrong = simulate("--merge", str(tmp_path / "1"), "--out", str(tmp_path / "m"), "--seed", "0")
    assert wrong.returncode == 2 and "seed" in wrong.stderr
