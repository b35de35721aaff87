"""Makes a dataset directory (DESIGN contract 1) out of pieces: the same bytes for any workers, shards and kills.

A dataset is made of *pieces*, one a document; a piece is a list of rows and their images. Worker processes make pieces
and write their images, each under another name first; this process writes the pieces down in order (``journal``) and,
when all are there, turns the journal into the finished files (``manifest``). Nothing grows with the number of
pieces but the files.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection, get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import cv2

from degradations.operators import Image
from degradations.storing.journal import Journal, record, reuse
from degradations.storing.manifest import DatasetSummary, finish, make_stamp
from degradations.storing.png import encode_png
from degradations.storing.shards import WHOLE, Shard
from kie_hvqa.console import Progress
from kie_hvqa.data.files import replacing
from kie_hvqa.data.ledger import Row
from kie_hvqa.errors import InputError, WorkError


class Sample(NamedTuple):
    """A row, its image (uint8 [H, W, 3] RGB), and the JPEG file that holds exactly these pixels, if there is one."""

    row: Row
    image: Image
    file: bytes | None = None


Piece = list[Sample]
Make = Callable[[int], Piece]

_CHUNK = 8  # documents a worker makes between two messages, at most
_AHEAD = 3  # chunks a worker may be ahead of the slowest one


def write_pieces(
    make: Make,
    count: int,
    out: Path,
    *,
    kind: str,
    config: dict[str, Any],
    workers: int = 1,
    progress: bool = False,
    notes: Sequence[str] = (),
    shard: Shard = WHOLE,
) -> DatasetSummary:
    """Make ``make(0)`` … ``make(count - 1)``, or ``shard``'s part of them, with ``workers`` processes into ``out``.

    ``make`` must be picklable and a pure function of its index. Killed at any moment, the same call goes on where it
    stopped. Raises InputError if ``out`` holds anything but this very dataset, finished or not (it is then left as it
    is); WorkError if the disk is full or a worker dies, after which the same call goes on as well.
    """
    if workers < 1:
        raise InputError(f"{workers} workers cannot work", field="workers", remedy="Use 1 or more.")
    documents = shard.documents(count)
    stamp = make_stamp(kind, config, shard.label)
    if (existing := reuse(out, stamp)) is not None:
        return existing
    with Journal(out, stamp) as journal:
        with Progress(f"{kind} {out.name}", len(documents), "documents", shown=progress) as bar:
            done = 0
            for _ in journal.verified(documents):
                done += 1
                bar.advance()
            for line in _made(make, out, documents[done:], workers):
                journal.append(line)
                bar.advance()
        summary = finish(out, stamp, journal.rows(), journal.images(), notes)
        journal.done()
    return dataclasses.replace(summary, resumed=done)


def write_document(make: Make, out: Path, index: int) -> str:
    """Write the images of one piece under ``out``; give back its line for the journal."""
    rows: list[dict[str, Any]] = []
    images: dict[str, str] = {}
    for row, image, file in make(index):
        if row.file_name not in images:
            data = file or encode_png(image)
            with replacing(out / row.file_name, "wb", durable=False) as stream:  # ``finish`` brings all to the disk
                stream.write(data)
            images[row.file_name] = hashlib.sha256(data).hexdigest()
        rows.append(row.to_json())
    return record(index, rows, images)


def extension(file: bytes | None) -> str:
    """Of the name under which a sample's image is written: the camera's own JPEG where there is one, else lossless."""
    return "png" if file is None else "jpg"


def _made(make: Make, out: Path, documents: range, workers: int) -> Iterator[str]:
    """The journal's line of every document, in order."""
    if workers == 1 or len(documents) <= 1:
        for index in documents:
            yield write_document(make, out, index)
        return
    size = max(1, min(_CHUNK, len(documents) // (4 * workers)))
    chunks = iter([documents[i : i + size] for i in range(0, len(documents), size)])
    # spawn: a fork of a process that has loaded torch or OpenCV threads may hang.
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_begin, initargs=(make, out))
    waiting: deque[Future[list[str]]] = deque()
    try:
        for chunk in chunks:
            waiting.append(pool.submit(_work, chunk))
            if len(waiting) > _AHEAD * workers:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    except BrokenProcessPool as error:
        raise WorkError(
            f"a worker process died ({error}). Fewer --workers need less memory; "
            "the same command goes on where this one stopped."
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


# What a worker process makes and where: set once when it starts, so that no task carries it along.
_task: tuple[Make, Path] | None = None


def _begin(make: Make, out: Path) -> None:
    global _task  # noqa: PLW0603
    _task = (make, out)
    cv2.setNumThreads(1)  # the processes are the parallelism
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; the parent ends the others
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A killed parent cannot end its workers, and they would wait for it for ever."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _work(documents: range) -> list[str]:
    assert _task is not None
    return [write_document(*_task, index) for index in documents]
