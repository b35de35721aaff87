"""A dataset directory while it is being made: claimed by one recipe, and whole again after any kill.

``DIR/unfinished.jsonl`` is there as long as the dataset is not: its first line says which dataset this is to be, every
further line holds a document's rows and the hashes of its images, which are written by then. A line is written
with its newline in one go, so what a kill cut off ends without one and is dropped; the same command then goes on
with the next document. A power failure may cost the last documents, which the same command then makes again; a
dataset that is finished it does not harm. Until ``dataset.json`` is written there is no ``metadata.jsonl``, so nobody takes an unfinished
dataset for a whole one.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from degradations.storing.manifest import DATASET, FOLDER, DatasetSummary, Stamp, difference, finished, listed_images
from kie_hvqa.data.files import make_directory, sha256, sweep, sync
from kie_hvqa.data.lock import lock_file
from kie_hvqa.errors import InputError, WorkError

JOURNAL = "unfinished.jsonl"
_FULL = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "a file would be larger than it may be",
}


def reuse(out: Path, stamp: Stamp) -> DatasetSummary | None:
    """The summary of ``out`` if it holds this very dataset, finished; None if it is free or unfinished.

    Raises InputError if it holds anything else.
    """
    if not out.exists():
        return None
    if not out.is_dir():
        raise InputError("this is a file, not a dataset directory", file=out, remedy="Choose another --out.")
    if not (out / DATASET).exists():
        if any(out.iterdir()) and not (out / JOURNAL).exists():
            raise InputError(
                "this directory already holds something", file=out, remedy="Choose another --out, or empty it."
            )
        return None
    held, summary = finished(out)
    if held != stamp:
        raise InputError(
            f"this directory already holds another dataset ({difference(stamp, held)})",
            file=out,
            remedy="Choose another --out, or remove it.",
        )
    for name, _ in listed_images(out):
        if not (out / name).is_file():
            raise InputError("this image is gone", file=out / name, remedy=f"Remove {out} and make it again.")
    (out / JOURNAL).unlink(missing_ok=True)  # a kill between the last two steps
    return dataclasses.replace(summary, reused=True)


class Journal:
    """The claim on ``out`` and its documents so far, locked against a second process.

    Raises InputError if another dataset is being made there, or by another process; WorkError (with a remedy) for
    whatever the disk refuses inside the block. A block that ends badly before the first document leaves nothing behind.
    """

    def __init__(self, out: Path, stamp: Stamp) -> None:
        self.out, self.path = out, out / JOURNAL
        self._stamp = stamp
        self._made = [folder for folder in (out, *out.parents) if not folder.exists()]
        self._finished = False

    def __enter__(self) -> Journal:
        try:
            make_directory(self.out)
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        except OSError as error:
            raise InputError(
                f"cannot write here ({error.strerror})", file=self.out, remedy="Choose another --out."
            ) from None
        try:
            self._claim()
        except BaseException:
            os.close(self._file)
            raise
        return self

    def _claim(self) -> None:
        mine = lock_file(self._file, self.path)
        if not mine or not self.path.exists() or os.fstat(self._file).st_ino != self.path.stat().st_ino:
            raise InputError(
                "another process is making this dataset now", file=self.out, remedy="Wait for it, or stop it."
            )
        lines = self._lines()
        first = next(lines, None)
        if first is None:
            self._begin()
            self._folder()
            return
        self._start = self._end = first[0]
        try:
            held = json.loads(first[1])["unfinished"]
        except (ValueError, KeyError, TypeError):
            held = {}
        if held != self._stamp:
            raise InputError(
                f"another dataset was begun here and is unfinished ({difference(self._stamp, held)})",
                file=self.out,
                remedy="Finish it with its own recipe, remove it, or choose another --out.",
            )
        self._folder()

    def _folder(self) -> None:
        """``images/``, without what a killed process left half written there."""
        if (self.out / FOLDER).is_symlink():
            raise InputError("this is a symbolic link", file=self.out / FOLDER, remedy="Choose another --out.")
        (self.out / FOLDER).mkdir(exist_ok=True)
        sweep(self.out / FOLDER)
        sweep(self.out)

    def _begin(self) -> None:
        if any(path != self.path for path in self.out.iterdir()):  # all in images/ is ours from here on
            self.path.unlink()
            raise InputError(
                "this directory already holds something", file=self.out, remedy="Choose another --out, or empty it."
            )
        claim = json.dumps({"unfinished": self._stamp}, ensure_ascii=False) + "\n"
        self._cut(0)
        try:
            self._start = self._end = self._append(claim.encode())
            os.fsync(self._file)
            sync(self.out)
        except OSError as error:
            self._withdraw()
            raise _work_error(self.out, error) from error

    def verified(self, documents: range) -> Iterator[int]:
        """Yield the numbers of the documents that are there already, every image checked against its hash.

        What comes after the first that is not as it should be is dropped, and has to be made again.
        """
        for number, (end, raw) in zip(documents, self._lines(self._start), strict=False):
            if not self._sound(raw, number):
                break
            self._end = end
            yield number
        self._cut(self._end)

    def _sound(self, raw: bytes, number: int) -> bool:
        try:
            record = json.loads(raw)
            return record["document"] == number and all(
                sha256(self.out / name) == digest for name, digest in record["images"].items()
            )
        except (ValueError, KeyError, TypeError, OSError):
            return False

    def append(self, line: str) -> None:
        """Add one document's ``record``; after this call no kill loses it."""
        self._end = self._append(line.encode())

    def _append(self, data: bytes) -> int:
        os.lseek(self._file, 0, os.SEEK_END)
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._file, view) :]
        except OSError:
            self._cut(self._end)
            raise
        return os.fstat(self._file).st_size

    def _cut(self, end: int) -> None:
        self._end = end
        if os.fstat(self._file).st_size > end:
            os.ftruncate(self._file, end)

    def _lines(self, start: int = 0) -> Iterator[tuple[int, bytes]]:
        """(offset of its end, line) of every whole line from ``start`` on."""
        with self.path.open("rb") as stream:
            stream.seek(start)
            for raw in stream:
                if not raw.endswith(b"\n"):
                    return
                start += len(raw)
                yield start, raw

    def rows(self) -> Iterator[str]:
        """Every row so far, as its line in ``metadata.jsonl``."""
        for _, raw in self._lines(self._start):
            for row in json.loads(raw)["rows"]:
                yield json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"

    def images(self) -> Iterator[tuple[str, str]]:
        for _, raw in self._lines(self._start):
            yield from json.loads(raw)["images"].items()

    def done(self) -> None:
        """The dataset is whole: the journal goes."""
        self.path.unlink(missing_ok=True)
        self._finished = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if not self._finished and self._end == self._start:
                self._withdraw()
        finally:
            os.close(self._file)
        if isinstance(error, OSError):
            raise _work_error(self.out, error) from error

    def _withdraw(self) -> None:
        """Nothing was finished: leave the place as it was found. All in ``images`` is ours, for the claim was."""
        with suppress(OSError):
            shutil.rmtree(self.out / FOLDER, ignore_errors=True)
            self.path.unlink(missing_ok=True)
            for folder in self._made:
                folder.rmdir()


def _work_error(out: Path, error: OSError) -> WorkError:
    why = _FULL.get(error.errno or 0)
    if why is None:
        return WorkError(f"could not write {out}: {error.strerror or error}")
    return WorkError(
        f"could not write {out}: {why} ({error.strerror}). Make room and run the same command again: "
        "it goes on where this one stopped."
    )


def record(document: int, rows: list[dict[str, Any]], images: dict[str, str]) -> str:
    """A document's line in the journal."""
    return (
        json.dumps({"document": document, "rows": rows, "images": images}, ensure_ascii=False, allow_nan=False) + "\n"
    )
