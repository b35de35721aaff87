"""A dataset made on several machines: each makes one shard, and the merged directory is that of a single machine.

Run: ``kie-hvqa simulate … --shard 2/4 --out PART2`` on the second of four machines, then
``kie-hvqa simulate --merge PART1 PART2 PART3 PART4 --out DIR`` on one that sees them all.

A shard is a run of the documents, so that rows and images only have to be put one behind the other. A merge checks
every file of every shard against its hash, and that the shards belong together and none is missing.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from degradations.storing.journal import Journal, reuse
from degradations.storing.manifest import DATASET, DatasetSummary, Stamp, difference, finish, finished, listed_images
from kie_hvqa.console import Progress
from kie_hvqa.data.dataset import METADATA
from kie_hvqa.data.files import replacing, sha256
from kie_hvqa.data.image_paths import Inside
from kie_hvqa.errors import InputError


@dataclass(frozen=True, slots=True)
class Shard:
    """Part ``index`` (1 … ``of``) of a dataset."""

    index: int = 1
    of: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """``I/N``. Raises InputError for anything else."""
        found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            raise InputError(
                f"{text!r} is not a shard", field="--shard", remedy="Shards are 1/4, 2/4, 3/4 and 4/4, for example."
            )
        return cls(int(found[1]), int(found[2]))

    def documents(self, count: int) -> range:
        """Its share of documents 0 … ``count`` - 1. Raises InputError where some shard would have none."""
        if self.of > count:
            raise InputError(
                f"{self.of} shards of {count} documents: some would be empty", field="--shard", remedy="Use fewer."
            )
        return range(count * (self.index - 1) // self.of, count * self.index // self.of)

    @property
    def label(self) -> str | None:
        """``I/N``, or None for a whole dataset."""
        return None if self.of == 1 else f"{self.index}/{self.of}"


WHOLE = Shard()


def merge_shards(folders: Sequence[Path], out: Path, *, progress: bool = False) -> DatasetSummary:
    """Put the shards in ``folders`` (in any order) together in ``out``, byte for byte what one machine would write.

    Images are linked where that can be done, else copied; the shards stay as they are. Interrupted, the same call goes
    on. Raises InputError for shards that are not whole, not of one dataset or not all there, and for a file that differs
    from its hash; WorkError if the disk is full.
    """
    parts, whole = _in_order(folders)
    if (existing := reuse(out, whole)) is not None:
        return existing
    with Journal(out, whole) as journal:
        here = Inside(out)
        total = sum(summary.images for _, summary in parts)
        with Progress(f"merge {out.name}", total, "images", shown=progress) as bar:
            for folder, _ in parts:
                for name, digest in listed_images(folder):
                    here.check(name)
                    _place(folder / name, out / name, digest)
                    bar.advance()
        images = (image for folder, _ in parts for image in listed_images(folder))
        summary = finish(out, whole, _lines(folder for folder, _ in parts), images)
        journal.done()
    return summary


def _in_order(folders: Sequence[Path]) -> tuple[list[tuple[Path, DatasetSummary]], Stamp]:
    """The shards from the first to the last, and the stamp of the whole."""
    found: dict[int, tuple[Path, DatasetSummary]] = {}
    whole: Stamp | None = None
    of = 0
    for folder in folders:
        if not (folder / DATASET).is_file():
            raise InputError(
                "this is no finished shard", file=folder, remedy="Run its `kie-hvqa simulate --shard` to the end first."
            )
        stamp, summary = finished(folder)
        if stamp["shard"] is None:
            raise InputError("this is a whole dataset, not a shard", file=folder, remedy="Name shards only.")
        shard = Shard.parse(stamp["shard"])
        mine = {**stamp, "shard": None}
        whole, of = whole or mine, of or shard.of
        if mine != whole or shard.of != of:
            why = difference(whole, mine) if mine != whole else f"it is one of {shard.of} shards, not of {of}"
            raise InputError(
                f"this shard belongs to another dataset than {folders[0]} ({why})",
                file=folder,
                remedy="Merge shards of one recipe, made with the same versions.",
            )
        if shard.index in found:
            raise InputError(
                f"{found[shard.index][0]} is shard {shard.label} too", file=folder, remedy="Name every shard once."
            )
        found[shard.index] = (folder, summary)
    missing = [f"{index}/{of}" for index in range(1, of + 1) if index not in found]
    if whole is None or missing:
        raise InputError(
            f"shards are missing: {', '.join(missing[:8]) or 'all of them'}", field="--merge", remedy="Name them too."
        )
    return [found[index] for index in sorted(found)], whole


def _place(source: Path, target: Path, digest: str) -> None:
    if not source.is_file() or sha256(source) != digest:
        raise InputError("this image is missing or differs from its hash", file=source, remedy="Make that shard again.")
    if target.is_file() and (target.samefile(source) or sha256(target) == digest):
        return  # an interrupted merge put it there
    target.unlink(missing_ok=True)
    with suppress(OSError):
        os.link(source, target)
        return
    with source.open("rb") as original, replacing(target, "wb", durable=False) as stream:
        shutil.copyfileobj(original, stream)


def _lines(folders: Iterator[Path]) -> Iterator[str]:
    for folder in folders:
        with (folder / METADATA).open(encoding="utf-8") as stream:
            yield from stream
