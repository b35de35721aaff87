"""``kie-hvqa eval``: a reader over a dataset, every answer kept as it comes, scores at the end.

    metrics = evaluate("data/cards", "embedded", Path("runs/base"))

Run again with the same arguments it does only what is missing, or what does not fit any more: an answer is kept
under a hash of the image's bytes, of all that the reader is told, and of the reader itself, so a changed image,
prompt or checkpoint under the same name is read again. ``metrics.json`` depends on the answers alone, and so does
not tell whether the run was ever interrupted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

from tqdm import tqdm

from kie_hvqa.dataset import dataset_root, image_path, load_image, load_rows
from kie_hvqa.errors import InputError, WorkError
from kie_hvqa.files import sha256, write_json
from kie_hvqa.ledger import Row
from kie_hvqa.metrics import score_rows, summarise
from kie_hvqa.predictions import Prediction, PredictionLog, read_predictions, write_predictions
from kie_hvqa.readers import Reader, Task, open_reader
from kie_hvqa.runs import METRICS, PREDICTIONS, RunRecord, claim, read_lines


def evaluate(
    data: str | Path,
    reader: str | Reader,
    out: Path,
    *,
    split: str | None = None,
    limit: int | None = None,
    progress: bool = True,
    **reader_options: Any,
) -> dict[str, Any]:
    """Read ``data`` with ``reader`` (a spec, see ``kie_hvqa.readers``, or a Reader) into the run directory ``out``.

    ``split`` and ``limit`` choose rows as ``load_rows`` does; the other options are the reader's. Returns the content of
    ``metrics.json``. Raises InputError for wrong input (before anything is read, broken images included) and
    WorkError for a reader that fails; in both cases the answers so far are kept.
    """
    rows = load_rows(data, split=split, limit=limit)
    opened = open_reader(reader, **reader_options) if isinstance(reader, str) else reader
    root = dataset_root(data)
    tasks = [Task(row, image_path(root, row)) for row in rows]
    keys = _keys(opened, tasks)
    claim(out, RunRecord.of(opened.name, opened.identity, data, split=split, limit=limit))
    with PredictionLog(out / PREDICTIONS) as log:
        done = {row.id for row in rows if row.id in log.kept and log.kept[row.id].key == keys[row.id]}
        if len(done) < len(rows):
            _check_images([task for task in tasks if task.row.id not in done])
            (out / METRICS).unlink(missing_ok=True)  # they would not belong to the answers that follow
            _read(opened, tasks, done, keys, log, progress)
        _in_order(log, rows)
        kept = log.kept
    metrics = summarise(score_rows(rows, {row.id: kept[row.id].response for row in rows}))
    write_json(out / METRICS, metrics)
    return metrics


def _keys(reader: Reader, tasks: Sequence[Task]) -> dict[str, str]:
    images = {image: sha256(image) for image in {task.image for task in tasks}}
    keys = {}
    for task in tasks:
        parts = (images[task.image], reader.identity, reader.asks(task.row))
        keys[task.row.id] = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
    return keys


def _check_images(tasks: Sequence[Task]) -> None:
    """Decode each image once: a truncated file is better found now than hours into the run."""
    checked: set[Path] = set()
    for task in tasks:
        if task.image in checked:
            continue
        checked.add(task.image)
        try:
            load_image(task.image)
        except InputError as error:
            raise InputError(
                f"{error.what}, asked about by row {task.row.id!r}", file=error.file, remedy=error.remedy
            ) from None


def _read(
    reader: Reader,
    tasks: Sequence[Task],
    done: AbstractSet[str],
    keys: dict[str, str],
    log: PredictionLog,
    progress: bool,
) -> None:
    waiting = keys.keys() - done
    # disable=None: no bar where stderr is a file or a pipe.
    hide = None if progress else True
    with tqdm(
        total=len(tasks), initial=len(done), desc=reader.name[-40:], unit="row", disable=hide, dynamic_ncols=True
    ) as bar:
        for answer in reader.read(tasks, frozenset(done)):
            if answer.id not in waiting:
                raise WorkError(
                    f"the reader {reader.name} answered {answer.id!r}, which was not asked, or not any more"
                )
            waiting.discard(answer.id)
            log.append(Prediction(answer.id, answer.response, answer.confidence, keys[answer.id]))
            bar.update()
    if waiting:
        raise WorkError(
            f"the reader {reader.name} left out {len(waiting)} rows, {sorted(waiting)[0]!r} for one; run it again"
        )


def _in_order(log: PredictionLog, rows: Sequence[Row]) -> None:
    """Put the file into the dataset's order, one line a row; answers to rows outside this run stay behind them."""
    ids = {row.id for row in rows}
    ordered = [log.kept[row.id] for row in rows] + [kept for kept in log.kept.values() if kept.id not in ids]
    text = "".join(prediction.line() for prediction in ordered)
    if log.path.read_bytes() != text.encode("ascii"):
        write_predictions(log.path, ordered)


def score_predictions(
    predictions: Path, out: Path, *, data: str | Path | None = None, split: str | None = None, limit: int | None = None
) -> dict[str, Any]:
    """Score answers that already exist into the run directory ``out``; returns the content of ``metrics.json``.

    With ``data``, ``predictions`` holds lines ``{"id", "response"}`` about its rows, and a row without one counts as an
    answer that is missing, never as a row that was not asked. Without, it holds the official evaluator's lines
    ``{"answer", "response"}``. InputError for anything else.
    """
    if data is None:
        rows, answers = read_lines(predictions)
        kept = {answer.id: answer for answer in answers}
    else:
        every = load_rows(data)
        kept = read_predictions(predictions, known={row.id for row in every})
        rows = load_rows(data, split=split, limit=limit)
    record = RunRecord.of(
        f"answers of {predictions.resolve()}",
        sha256(predictions),
        predictions if data is None else data,
        split=split,
        limit=limit,
        data_kind="lines" if data is None else "dataset",
    )
    claim(out, record)
    write_predictions(out / PREDICTIONS, [kept[row.id] for row in rows if row.id in kept])
    metrics = summarise(score_rows(rows, {name: answer.response for name, answer in kept.items()}))
    write_json(out / METRICS, metrics)
    return metrics
