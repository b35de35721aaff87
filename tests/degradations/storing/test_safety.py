"""A dataset directory takes no name on trust, removes nothing that is not its own, and survives a power failure."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import stat
from functools import partial
from pathlib import Path

import pytest

from degradations.storing.journal import JOURNAL
from degradations.storing.shards import Shard, merge_shards
from degradations.storing.writer import write_pieces
from kie_hvqa.data.files import UNFINISHED
from kie_hvqa.errors import InputError
from tests.degradations.storing.pieces import digests, piece

write = partial(write_pieces, kind="simulate", config={"seed": 0})


class Disk:
    """A disk that forgets everything that was not brought to it: what ``fsync`` was called for, in order."""

    def __init__(self) -> None:
        self.synced: list[int | tuple[int, str]] = []

    def check(self, out: Path, last: str) -> None:
        """Every file and directory of ``out`` was brought to the disk, and before ``last`` got its name."""
        named = self.synced.index((out.stat().st_ino, last))
        for path in [out, *out.rglob("*")]:
            inode = path.stat().st_ino
            when = [index for index, what in enumerate(self.synced) if what == inode]
            assert when, f"{path} would be lost"
            if path.is_file() or path.name == "images":
                assert when[0] < named, f"{path} would be empty"
        assert self.synced.index(out.stat().st_ino, named), "the name of the last file would be lost"
        assert out.parent.stat().st_ino in self.synced, "the directory itself would be lost"


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    found, fsync, replace = Disk(), os.fsync, os.replace

    def synced(descriptor: int) -> None:
        found.synced.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    def replaced(source: str | Path, target: str | Path) -> None:
        replace(source, target)
        assert stat.S_ISREG(os.stat(target).st_mode)
        found.synced.append((Path(target).parent.stat().st_ino, Path(target).name))

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    return found


def shards(root: Path) -> list[Path]:
    folders = [root / "part1", root / "part2"]
    for index, folder in enumerate(folders, 1):
        write(piece, 4, folder, shard=Shard(index, 2))
    return folders


def relist(folder: Path, name: str, data: bytes) -> None:
    """Let ``folder`` name its first image ``name``, and vouch for that as the builder would."""
    lines = (folder / "images.sha256").read_text().splitlines()
    text = "\n".join([f"{hashlib.sha256(data).hexdigest()}  {name}", *lines[1:]]) + "\n"
    (folder / "images.sha256").write_text(text)
    held = json.loads((folder / "dataset.json").read_text())
    held["images_sha256"] = hashlib.sha256(text.encode()).hexdigest()
    (folder / "dataset.json").write_text(json.dumps(held))


@pytest.mark.parametrize("name", ["../victim.txt", "/{}/victim.txt", "images/../../victim.txt", "unfinished.jsonl", ""])
def test_a_shard_cannot_name_a_file_outside_the_images(tmp_path: Path, name: str) -> None:
    folders = shards(tmp_path)
    victim = tmp_path / "victim.txt"
    name = name.replace("{}", str(tmp_path)[1:])
    relist(folders[0], name, b"theirs")
    if name:
        (folders[0] / name).write_text("theirs")  # where the shard lies, so that its hash is right
    victim.write_text("mine")
    with pytest.raises(InputError) as caught:
        merge_shards(folders, tmp_path / "deep" / "out")
    assert "images.sha256" in str(caught.value.file) and caught.value.line == 1
    assert victim.read_text() == "mine" and not (tmp_path / "deep" / "out").exists()


def test_a_shards_image_that_is_a_link_out_of_it_is_refused(tmp_path: Path) -> None:
    folders = shards(tmp_path)
    secret = tmp_path / "id_rsa"
    secret.write_bytes(b"key")
    first = (folders[0] / "images.sha256").read_text().split()[1]
    image = folders[0] / first
    image.unlink()
    image.symlink_to(secret)
    relist(folders[0], first, b"key")
    with pytest.raises(InputError, match="leaves"):
        merge_shards(folders, tmp_path / "out")
    assert not list(tmp_path.glob("out/images/*"))


def test_images_that_lead_elsewhere_are_not_written_through(tmp_path: Path) -> None:
    """Begun, killed, and then somebody put a link where the images were."""

    def stops(index: int) -> list:
        if index == 2:
            raise RuntimeError("killed")
        return piece(index)

    with pytest.raises(RuntimeError):
        write(stops, 4, tmp_path / "out")
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / "out" / "images").rename(elsewhere)
    (tmp_path / "out" / "images").symlink_to(elsewhere)
    before = digests(elsewhere)
    with pytest.raises(InputError, match="symbolic link"):
        write(piece, 4, tmp_path / "out")
    assert digests(elsewhere) == before


def test_what_lies_beside_a_torn_journal_is_not_removed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "images").mkdir(parents=True)
    (out / "images" / "holiday.jpg").write_bytes(b"mine")
    (out / JOURNAL).write_bytes(b"")

    def fails(index: int) -> list:
        raise RuntimeError

    with pytest.raises((RuntimeError, InputError)):
        write(fails, 2, out)
    assert (out / "images" / "holiday.jpg").read_bytes() == b"mine"


def test_half_written_images_of_a_killed_run_go_when_it_goes_on(tmp_path: Path) -> None:
    def stops(index: int) -> list:
        if index == 2:
            raise RuntimeError("killed")
        return piece(index)

    with pytest.raises(RuntimeError):
        write(stops, 4, tmp_path / "out")
    (tmp_path / "out" / "images" / f".d2.png.0123456789ab{UNFINISHED}").write_bytes(b"half")
    write(piece, 4, tmp_path / "out")
    write(piece, 4, tmp_path / "whole")
    assert digests(tmp_path / "out") == digests(tmp_path / "whole")


def test_whatever_a_dataset_vouches_for_is_on_the_disk_first(tmp_path: Path, disk: Disk) -> None:
    write(piece, 3, tmp_path / "out")
    disk.check(tmp_path / "out", last="dataset.json")
    folders = shards(tmp_path)
    merge_shards(folders, tmp_path / "merged")
    disk.check(tmp_path / "merged", last="dataset.json")


def test_a_disk_without_locks_is_warned_about_and_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    assert write(piece, 2, tmp_path / "out").documents == 2
    assert "no locks" in caplog.text
