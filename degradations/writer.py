"""The dataset directory (DESIGN contract 1): written beside its place, then renamed; the same bytes for any workers.

A dataset is made of *pieces*, one a document; a piece is a list of rows and their images. Pieces are made in any
process and written down in order, so nothing in the directory tells how many processes there were.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from degradations.operators import Image
from kie_hvqa import __version__
from kie_hvqa.errors import InputError, WorkError
from kie_hvqa.files import read_json, sha256, write_json
from kie_hvqa.ledger import Row

FORMAT = 1
Piece = list[tuple[Row, Image]]


@dataclass(frozen=True, slots=True)
class DatasetSummary:
    """What was written. ``reused``: the directory held this very dataset already and was left alone."""

    path: Path
    rows: int
    images: int
    documents: int
    counts: dict[str, dict[str, int]]
    rows_sha256: str
    images_sha256: str
    notes: tuple[str, ...] = ()
    reused: bool = False


def write_pieces(
    make: Callable[[int], Piece],
    count: int,
    out: Path,
    *,
    kind: str,
    config: dict[str, Any],
    workers: int = 1,
    progress: bool = False,
    notes: Sequence[str] = (),
) -> DatasetSummary:
    """Make ``make(0)`` … ``make(count - 1)`` with ``workers`` processes and write them to ``out``.

    ``make`` must be picklable and a pure function of its index. Raises InputError if ``out`` holds anything but this
    very dataset (which is then left as it is), WorkError if the disk is full or a worker dies.
    """
    if workers < 1:
        raise InputError(f"{workers} workers cannot work", field="workers", remedy="Use 1 or more.")
    stamp = {"format": FORMAT, "kind": kind, "config": config}
    existing = _existing(out, stamp)
    if existing is not None:
        return existing
    with _beside(out) as folder:
        (folder / "images").mkdir()
        tally = _Tally()
        bar = tqdm(total=count, unit="document", desc=f"{kind} {out.name}", disable=not progress)
        with bar, (folder / "metadata.jsonl").open("w", encoding="utf-8") as stream:
            for lines in _made(partial(_write_piece, make, folder), count, workers):
                for line, digests in lines:
                    stream.write(line)
                    tally.add(json.loads(line), digests)
                bar.update()
            stream.flush()
            os.fsync(stream.fileno())
        summary = DatasetSummary(
            out,
            tally.rows,
            len(tally.images),
            len(tally.documents),
            {name: dict(sorted(counter.items())) for name, counter in sorted(tally.counts.items())},
            sha256(folder / "metadata.jsonl"),
            tally.images_hash(),
            tuple(notes),
        )
        details = {k: v for k, v in asdict(summary).items() if k not in ("path", "reused")}
        write_json(folder / "dataset.json", {**stamp, "seed": config.get("seed"), "versions": versions(), **details})
    return summary


def versions() -> dict[str, str]:
    """What the bytes depend on besides the recipe."""
    import PIL

    return {"kie_hvqa": __version__, "numpy": np.__version__, "opencv": cv2.__version__, "pillow": PIL.__version__}


def encode_png(image: Image) -> bytes:
    """``image`` (uint8 [H, W, 3] RGB) as PNG, at a compression that favours speed."""
    done, data = cv2.imencode(".png", image[:, :, ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 2])
    if not done:
        raise WorkError("OpenCV could not encode an image as PNG")
    return data.tobytes()


class _Tally:
    def __init__(self) -> None:
        self.rows = 0
        self.documents: set[str] = set()
        self.images: dict[str, str] = {}
        self.counts: dict[str, Counter[str]] = {}

    def add(self, row: dict[str, Any], digests: dict[str, str]) -> None:
        self.rows += 1
        self.documents.add(row["document_id"])
        self.images.update(digests)
        keys = {name: str(row[name]) for name in ("split", "question_kind", "severity", "template")}
        for name, value in keys.items():
            self.counts.setdefault(name, Counter())[value] += 1
        for step in {step["operator"] for step in row["recipe"]}:
            self.counts.setdefault("operator", Counter())[step] += 1
        for slot in row["slots"]:
            if not slot["char"].isspace():
                self.counts.setdefault("legibility", Counter())[slot["legibility"]] += 1

    def images_hash(self) -> str:
        text = "".join(f"{name} {digest}\n" for name, digest in sorted(self.images.items()))
        return hashlib.sha256(text.encode()).hexdigest()


def _write_piece(make: Callable[[int], Piece], folder: Path, index: int) -> list[tuple[str, dict[str, str]]]:
    """Write the images of a piece; give back its rows as lines, each with the hashes of images first met there."""
    lines = []
    written: set[str] = set()
    for row, image in make(index):
        digests = {}
        if row.file_name not in written:
            data = encode_png(image)
            (folder / row.file_name).write_bytes(data)
            digests[row.file_name] = hashlib.sha256(data).hexdigest()
            written.add(row.file_name)
        lines.append((json.dumps(row.to_json(), ensure_ascii=False, allow_nan=False) + "\n", digests))
    return lines


def _made(work: Callable[[int], Any], count: int, workers: int) -> Iterator[Any]:
    if workers == 1 or count == 1:
        yield from map(work, range(count))
        return
    # spawn: a fork of a process that has loaded torch or OpenCV threads may hang.
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_one_thread)
    try:
        yield from pool.map(work, range(count), chunksize=max(1, min(32, count // (4 * workers))))
    except BrokenProcessPool as error:
        raise WorkError(f"a worker process died ({error}); fewer --workers need less memory") from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _one_thread() -> None:
    cv2.setNumThreads(1)  # the processes are the parallelism


def _existing(out: Path, stamp: dict[str, Any]) -> DatasetSummary | None:
    if not out.exists():
        return None
    if not out.is_dir():
        raise InputError("this is a file, not a dataset directory", file=out, remedy="Choose another --out.")
    if not any(out.iterdir()):
        return None
    if not (out / "dataset.json").is_file():
        raise InputError(
            "this directory already holds something", file=out, remedy="Choose another --out, or empty it."
        )
    held = read_json(out / "dataset.json")
    same = isinstance(held, dict) and all(
        held.get(key) == json.loads(json.dumps(value)) for key, value in stamp.items()
    )
    if not same or held.get("versions") != versions():
        raise InputError(
            "this directory already holds another dataset", file=out, remedy="Choose another --out, or remove it."
        )
    rows = out / "metadata.jsonl"
    if not rows.is_file() or sha256(rows) != held["rows_sha256"]:
        raise InputError("the rows differ from what dataset.json says", file=rows, remedy="Remove it and run again.")
    names = ("rows", "images", "documents", "counts", "rows_sha256", "images_sha256")
    found = {name: held[name] for name in names}
    return DatasetSummary(path=out, **found, notes=tuple(held.get("notes", ())), reused=True)


@contextmanager
def _beside(out: Path) -> Iterator[Path]:
    """A new directory beside ``out`` that takes its place when the block ends well, and vanishes when it does not."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    except OSError as error:
        raise InputError(f"cannot write here ({error.strerror})", file=out, remedy="Choose another --out.") from None
    try:
        yield folder
        os.chmod(folder, 0o755)
        os.replace(folder, out)  # takes the place of an empty directory as well
    except OSError as error:
        raise WorkError(f"could not write {out}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
