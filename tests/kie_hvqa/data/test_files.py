"""Files are whole or absent."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from kie_hvqa.data.files import beside, building, put, read_json, replacing, sha256, sweep, write_json, write_text
from kie_hvqa.errors import InputError


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "x.json"
    write_json(path, {"a": "é"})
    with pytest.raises(RuntimeError), replacing(path) as stream:
        stream.write("half")
        raise RuntimeError
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(path, {"a": float("nan")})
    assert read_json(path) == {"a": "é"}
    assert [p.name for p in path.parent.iterdir()] == ["x.json"]


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o027])
def test_a_new_file_has_what_the_umask_leaves_and_an_old_one_keeps_what_it_had(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        write_text(tmp_path / "x", "y")
        assert (tmp_path / "x").stat().st_mode & 0o777 == 0o666 & ~umask
        for mode in (0o600, 0o640, 0o666):
            (tmp_path / "x").chmod(mode)
            write_text(tmp_path / "x", "z")
            assert (tmp_path / "x").stat().st_mode & 0o777 == mode
    finally:
        os.umask(before)
    assert sha256(tmp_path / "x") == hashlib.sha256(b"z").hexdigest()


def test_only_what_was_left_half_written_is_swept_away(tmp_path: Path) -> None:
    mine = [tmp_path / name for name in (".x.json.backup", ".git", ".unfinished", ".model", ".x.part")]
    for path in mine:
        path.mkdir()
        (path / "keep").write_text("mine")
    half, folder = beside(tmp_path / "x.json"), beside(tmp_path / ("ü" * 120))
    half.write_text("{")
    folder.mkdir()
    link = beside(tmp_path / "link")
    link.symlink_to(mine[0])
    sweep(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(mine) and all((path / "keep").exists() for path in mine)


def test_a_directory_is_whole_or_absent(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), building(tmp_path / "deep" / "new") as part:
        (part / "half").write_text("half")
        raise RuntimeError
    assert list((tmp_path / "deep").iterdir()) == []
    with building(tmp_path / "deep" / "new") as part:
        (part / "whole").write_text("1")
    with pytest.raises(InputError, match="exists"), building(tmp_path / "deep" / "new") as part:
        (part / "whole").write_text("2")
    assert (tmp_path / "deep" / "new" / "whole").read_text() == "1"
    part = beside(tmp_path / "deep" / "new")
    part.mkdir()
    (part / "whole").write_text("3")
    put(part, tmp_path / "deep" / "new")
    assert (tmp_path / "deep" / "new" / "whole").read_text() == "3"
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["new"]


@pytest.mark.parametrize(
    ("content", "line"), [(b'{"a":\n 1,}', 2), (b"", 1), (b'"\xff"', None), (b"[" * 200_000, None)]
)
def test_json_that_cannot_be_read_is_named(tmp_path: Path, content: bytes, line: int | None) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_json(path)
    assert (caught.value.file, caught.value.line) == (str(path), line)
    for missing in (tmp_path / "none.json", tmp_path):
        with pytest.raises(InputError):
            read_json(missing)
