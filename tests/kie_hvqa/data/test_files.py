"""Files are whole or absent."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from kie_hvqa.data.files import read_json, replacing, sha256, write_json, write_text
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


def test_others_can_read_what_was_written(tmp_path: Path) -> None:
    write_text(tmp_path / "x", "y")
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o644
    assert sha256(tmp_path / "x") == hashlib.sha256(b"y").hexdigest()


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
