"""What a finished dataset directory says about itself, and how it comes to be finished (DESIGN contract 1).

    images/…         the images
    images.sha256    their hashes, as ``sha256sum --check images.sha256`` takes them
    metadata.jsonl   one row a sample
    README.md        what it is, with the hub's head; croissant.json the same for catalogues
    dataset.json     recipe, versions, counts and a hash of either file; written last, so it vouches for a whole dataset

Nothing in these files tells how many processes or machines made them, or how often they were interrupted.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Any

from degradations.storing.card import CARD, CROISSANT, card, croissant
from kie_hvqa import __version__
from kie_hvqa.data.dataset import METADATA
from kie_hvqa.data.files import read_json, replacing, sha256, sync, write_json
from kie_hvqa.data.image_paths import Inside
from kie_hvqa.errors import InputError

FORMAT = 3  # 3: pages no longer hang on the hash seed
DATASET = "dataset.json"
IMAGES = "images.sha256"
FOLDER = "images"

Stamp = dict[str, Any]
"""What makes two datasets the same one: format, kind, recipe, versions and shard, as JSON holds them."""

_COUNTED = ("split", "question_kind", "severity", "template")


@dataclass(frozen=True, slots=True)
class DatasetSummary:
    """A finished dataset. ``reused``: it was there already; ``resumed``: documents that an earlier run had made."""

    path: Path
    rows: int
    images: int
    documents: int
    counts: dict[str, dict[str, int]]
    rows_sha256: str
    images_sha256: str
    notes: tuple[str, ...] = ()
    reused: bool = False
    resumed: int = 0


def make_stamp(kind: str, config: Mapping[str, Any], shard: str | None = None) -> Stamp:
    stamp = {"format": FORMAT, "kind": kind, "config": config, "versions": versions(), "shard": shard}
    return json.loads(json.dumps(stamp))  # mapping keys become text, as they will be when read back


@cache
def versions() -> dict[str, str]:
    """What the bytes depend on besides the recipe. ``fonts`` hashes the versions of every face."""
    names = {"numpy": "numpy", "pillow": "pillow", "faker": "faker", "isal": "isal"}
    faces = sorted({f"{d.name}=={d.version}" for d in metadata.distributions() if d.name.startswith("fontpkg")})
    return {
        "kie_hvqa": __version__,
        **{key: metadata.version(name) for key, name in names.items()},
        "opencv": _opencv(),
        "fonts": hashlib.sha256("\n".join(faces).encode()).hexdigest()[:12],
        "machine": platform.machine(),
    }


def _opencv() -> str:
    import cv2

    return str(cv2.__version__)


class _Tally:
    """Counts over rows, in memory that does not grow with them."""

    def __init__(self) -> None:
        self.rows = self.documents = 0
        self.counts: dict[str, Counter[str]] = {}
        self._document: str | None = None

    def add(self, row: Mapping[str, Any]) -> None:
        self.rows += 1
        if row["document_id"] != self._document:  # the rows of a document follow each other
            self._document = row["document_id"]
            self.documents += 1
        for name in _COUNTED:
            self._count(name, str(row[name]))
        for operator in {step["operator"] for step in row["recipe"]}:
            self._count("operator", operator)
        for slot in row["slots"]:
            if not slot["char"].isspace():
                self._count("legibility", slot["legibility"])

    def _count(self, name: str, value: str) -> None:
        self.counts.setdefault(name, Counter())[value] += 1


def finish(
    out: Path, stamp: Stamp, lines: Iterable[str], images: Iterable[tuple[str, str]], notes: Sequence[str] = ()
) -> DatasetSummary:
    """Write the files beside the images in ``out``: ``lines`` are the rows, ``images`` (file name, hash) in their order."""
    count = 0
    with replacing(out / IMAGES) as stream:
        for name, digest in images:
            sync(out / name)  # before dataset.json vouches for it; most are on the disk by now, and that costs little
            stream.write(f"{digest}  {name}\n")
            count += 1
    sync(out / FOLDER)
    tally = _Tally()
    with replacing(out / METADATA) as stream:
        for line in lines:
            tally.add(json.loads(line))
            stream.write(line)
    summary = DatasetSummary(
        out,
        tally.rows,
        count,
        tally.documents,
        {name: dict(sorted(counter.items())) for name, counter in sorted(tally.counts.items())},
        sha256(out / METADATA),
        sha256(out / IMAGES),
        tuple(notes),
    )
    said = card(stamp, tally.rows, count, tally.documents, summary.counts)
    with replacing(out / CARD) as stream:
        stream.write(said)
    write_json(out / CROISSANT, croissant(stamp, summary.rows_sha256))
    details = {k: v for k, v in asdict(summary).items() if k not in ("path", "reused", "resumed")}
    write_json(out / DATASET, {**stamp, "seed": stamp["config"].get("seed"), **details})
    return summary


def finished(out: Path) -> tuple[Stamp, DatasetSummary]:
    """What a finished dataset says of itself. Raises InputError where its rows or hashes are not what it says."""
    file = out / DATASET
    held = read_json(file)
    try:
        stamp = {key: held[key] for key in ("format", "kind", "config", "versions", "shard")}
        counts = {key: held[key] for key in ("rows", "images", "documents", "counts", "rows_sha256", "images_sha256")}
        summary = DatasetSummary(path=out, **counts, notes=tuple(held["notes"]))
    except (KeyError, TypeError):
        raise InputError(
            "not a dataset of this format", file=file, remedy="Make the dataset again in another directory."
        ) from None
    for name, digest in ((METADATA, summary.rows_sha256), (IMAGES, summary.images_sha256)):
        if not (out / name).is_file() or sha256(out / name) != digest:
            raise InputError(
                f"it differs from what {DATASET} says", file=out / name, remedy="Remove the dataset and make it again."
            )
    return stamp, summary


def listed_images(out: Path) -> Iterator[tuple[str, str]]:
    """(file name, hash) of every image that a finished dataset lists. InputError for a name outside its ``images/``."""
    inside = Inside(out)
    with (out / IMAGES).open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, start=1):
            digest, _, name = line.rstrip("\n").partition("  ")
            wrong = None if PurePosixPath(name).parts[:1] == (FOLDER,) else f"{name!r} is not in {FOLDER}/"
            try:
                inside.check(name)
            except InputError as error:
                wrong = error.what
            if wrong is not None:
                remedy = "Do not use this dataset: it was not `kie-hvqa simulate` that wrote this."
                raise InputError(wrong, file=out / IMAGES, line=number, remedy=remedy)
            yield name, digest


def difference(mine: Stamp, other: Stamp) -> str:
    """The first key in which two stamps differ, in words."""
    for key in mine:
        a, b = mine[key], other.get(key)
        if a == b:
            continue
        if isinstance(a, dict) and isinstance(b, dict):
            for name in sorted({*a, *b}):
                if a.get(name) != b.get(name):
                    key, a, b = f"{key}.{name}", a.get(name), b.get(name)
                    break
        return f"{key} is {b!r:.60} there and {a!r:.60} here"
    return "nothing differs"
