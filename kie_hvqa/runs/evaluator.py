"""``kie-hvqa eval``: a reader over a dataset, every answer kept as it comes, scores at the end.

    metrics = evaluate("data/cards", "embedded", Path("runs/base"))

Run again with the same arguments it does only what is missing, or what does not fit any more: an answer is kept
under a hash of the image's bytes, of all that the reader is told, and of the reader itself, so a changed image,
prompt or checkpoint under the same name is read again. ``metrics.json`` depends on the answers alone, and so does
not tell whether the run was ever interrupted. A row that failed (a server that would not answer) is kept as such,
counts as unparsed, and is asked again by the next run.

Data of ours is right or nothing is read. Data of other people is read as far as it goes, scored over all its records,
and what was wrong with it is listed by line in ``data_issues.json`` (``kie_hvqa.data.data_issues``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any


from kie_hvqa.console import Progress
from kie_hvqa.data.data_issues import DATA_ISSUES, UNREADABLE_IMAGE, Issue, unreadable_truths, write_issues
from kie_hvqa.data.dataset import Dataset, image_path, load_image, read_dataset
from kie_hvqa.confidence.operating_point import OperatingPoint
from kie_hvqa.errors import InputError, WorkError
from kie_hvqa.data.files import sha256, write_json
from kie_hvqa.data.ledger import Row
from kie_hvqa.scoring.metrics import score_rows, summarise
from kie_hvqa.runs.predictions import Prediction, PredictionLog, read_predictions, write_predictions
from kie_hvqa.readers import Reader, Task, open_reader, told
from kie_hvqa.readers.asked import key_of, settings
from kie_hvqa.runs.run_directory import METRICS, OPERATING_POINT, PREDICTIONS, RunRecord, claimed, read_lines, read_record
from kie_hvqa.runs.signals import applied, signals_of
from kie_hvqa.scoring.signals import signal_metrics
from kie_hvqa.suites.rows import chosen


def evaluate(
    data: str | Path,
    reader: str | Reader,
    out: Path,
    *,
    split: str | None = None,
    limit: int | None = None,
    suite: str | None = None,
    private: bool = False,
    operating_point: Path | None = None,
    progress: bool = True,
    **reader_options: Any,
) -> dict[str, Any]:
    """Read ``data`` with ``reader`` (a spec, see ``kie_hvqa.readers``, or a Reader) into the run directory ``out``.

    ``split``, ``limit`` and ``suite`` choose rows as ``suites.rows.chosen`` does; ``private`` keeps values and pictures out
    of reports; ``operating_point`` takes back what is below its threshold before anything is scored; the other options are the reader's. Returns the content
    of ``metrics.json``, in which ``failed`` counts the rows that the reader could not answer and ``cut_off`` those that its token limit ended. Raises InputError for
    wrong input (before anything is read, broken images of ours included) and WorkError for a reader that fails; in
    both cases the answers so far are kept.
    """
    dataset = chosen(data, split=split, limit=limit, suite=suite)
    rows = dataset.rows
    opened = open_reader(reader, **reader_options) if isinstance(reader, str) else reader
    asks, signals = told(opened), settings(opened)
    point = None
    if operating_point is not None:
        point = OperatingPoint.load(operating_point)
        point.check(opened.identity, asks, signals, file=operating_point)
    tasks, issues = tasks_of(dataset)
    keys = _keys(opened, tasks)
    record = RunRecord.of(
        opened.name,
        opened.identity,
        data,
        split=split,
        limit=limit,
        suite=suite,
        private=private,
        asks=asks,
        signals=signals,
    )
    with claimed(out, record), PredictionLog(out / PREDICTIONS) as log:
        done = answered(opened, tasks, log.kept, keys)
        unseen = _check_images(dataset, [task for task in tasks if task.row.id not in done])
        issues += unseen.values()
        write_issues(out / DATA_ISSUES, dataset.file, len(rows), [*dataset.issues, *issues], private=record.private)
        tasks = [task for task in tasks if task.row.id not in unseen]
        if len(done) < len(tasks):
            (out / METRICS).unlink(missing_ok=True)  # they would not belong to the answers that follow
            _read(opened, tasks, done, keys, log, progress)
        for issue in issues:
            if issue.kind == UNREADABLE_IMAGE:  # nobody could be asked: it counts as answered wrongly
                log.append(Prediction(str(issue.id), "", error=f"{UNREADABLE_IMAGE}: {issue.what}"))
        refused = [task for task in tasks if _image_refused(log.kept.get(task.row.id))]
        if refused:  # whole, but nothing that this reader can be shown
            issues += [_refusal(dataset, log.kept[task.row.id]) for task in refused]
            write_issues(out / DATA_ISSUES, dataset.file, len(rows), [*dataset.issues, *issues])
        metrics = _write_metrics(out, rows, log.kept, point)
        _in_order(log, rows)
    return metrics


def _image_refused(kept: Prediction | None) -> bool:
    return kept is not None and (kept.error or "").startswith(UNREADABLE_IMAGE)


def _refusal(dataset: Dataset, kept: Prediction) -> Issue:
    what = str(kept.error).removeprefix(f"{UNREADABLE_IMAGE}: ")
    return Issue(dataset.lines[kept.id], kept.id, UNREADABLE_IMAGE, "image", what)


def _write_metrics(
    out: Path, rows: Sequence[Row], kept: Mapping[str, Prediction], point: OperatingPoint | None
) -> dict[str, Any]:
    """With an operating point what it leaves is scored, and it is kept beside the answers, which stay as they were read."""
    if point is None:
        (out / OPERATING_POINT).unlink(missing_ok=True)
    else:
        point.save(out / OPERATING_POINT)
        kept = applied(point, rows, kept)
    responses = {name: prediction.response for name, prediction in kept.items()}
    confidences = {name: prediction.confidence for name, prediction in kept.items()}
    scores = score_rows(rows, responses, confidences, {name: prediction.box for name, prediction in kept.items()})
    metrics = summarise(scores)
    # What a point took back has no confidence of its own: signals are of answers as they were read.
    metrics["signals"] = signal_metrics(rows, responses, signals_of(rows, kept), scores) if point is None else None
    errors = [kept[row.id].error or "" for row in rows if row.id in kept]
    metrics["failed"] = sum(error != "" and not error.startswith(UNREADABLE_IMAGE) for error in errors)
    metrics["cut_off"] = sum(kept[row.id].cut for row in rows if row.id in kept)
    metrics["operating_point"] = None if point is None else point.named()
    write_json(out / METRICS, metrics)
    return metrics


def tasks_of(dataset: Dataset) -> tuple[list[Task], list[Issue]]:
    """What can be asked, and the records whose images are elsewhere or nowhere.

    InputError for a missing image in data of ours, and where no image at all is there.
    """
    tasks: list[Task] = []
    issues: list[Issue] = []
    root = dataset.file.parent
    for row in dataset.rows:
        line = dataset.lines[row.id]
        try:
            image = image_path(root, row)
        except InputError as error:
            if dataset.ours:
                raise
            issues.append(Issue(line, row.id, UNREADABLE_IMAGE, "image", error.what))
            continue
        tasks.append(Task(row, image))
        if image != root / row.file_name:
            found = f"{row.file_name} is not there, {image.relative_to(root)} is"
            issues.append(Issue(line, row.id, "repaired", "image", found))
    if not tasks:
        image_path(root, dataset.rows[0])  # raises
    return tasks, issues


def answered(
    reader: Reader,
    tasks: Sequence[Task],
    kept: Mapping[str, Prediction],
    keys: Mapping[str, str] | None = None,
) -> set[str]:
    """The rows whose kept answers still fit the image, the question and the reader, failed ones not among them."""
    keys = _keys(reader, tasks) if keys is None else keys
    ids = (task.row.id for task in tasks)
    return {name for name in ids if name in kept and kept[name].key == keys[name] and kept[name].error is None}


def _keys(reader: Reader, tasks: Sequence[Task]) -> dict[str, str]:
    images = {image: sha256(image) for image in {task.image for task in tasks}}
    keys = {}
    passes = key_of(reader)
    for task in tasks:
        parts = (images[task.image], reader.identity, reader.asks(task.row), *filter(None, [passes]))
        keys[task.row.id] = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
    return keys


def _check_images(dataset: Dataset, tasks: Sequence[Task]) -> dict[str, Issue]:
    """Decode each image once: a truncated file is better found now than hours into the run.

    Returns the rows whose images cannot be decoded; in data of ours that is an InputError.
    """
    checked: dict[Path, InputError | None] = {}
    broken: dict[str, Issue] = {}
    for task in tasks:
        if task.image not in checked:
            checked[task.image] = _decoding_error(task.image)
        error = checked[task.image]
        if error is None:
            continue
        if dataset.ours:
            raise InputError(
                f"{error.what}, asked about by row {task.row.id!r}", file=error.file, remedy=error.remedy
            ) from None
        broken[task.row.id] = Issue(dataset.lines[task.row.id], task.row.id, UNREADABLE_IMAGE, "image", error.what)
    return broken


def _decoding_error(image: Path) -> InputError | None:
    try:
        load_image(image)
    except InputError as error:
        return error
    return None


def _read(
    reader: Reader,
    tasks: Sequence[Task],
    done: AbstractSet[str],
    keys: dict[str, str],
    log: PredictionLog,
    progress: bool,
) -> None:
    waiting = {task.row.id for task in tasks} - done
    with Progress(reader.name, len(tasks), "rows", done=len(done), shown=progress) as bar:
        for answer in reader.read(tasks, frozenset(done)):
            if answer.id not in waiting:
                raise WorkError(
                    f"the reader {reader.name} answered {answer.id!r}, which was not asked, or not any more"
                )
            waiting.discard(answer.id)
            log.append(Prediction.of(answer, keys[answer.id]))
            bar.advance()
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
    predictions: Path,
    out: Path,
    *,
    data: str | Path | None = None,
    split: str | None = None,
    limit: int | None = None,
    private: bool = False,
    operating_point: Path | None = None,
) -> dict[str, Any]:
    """Score answers that already exist into the run directory ``out``; returns the content of ``metrics.json``.

    With ``data``, ``predictions`` holds lines ``{"id", "response"}`` about its rows, and a row without one counts as an
    answer that is missing, never as a row that was not asked. Without, it holds the official evaluator's lines
    ``{"answer", "response"}``. InputError for anything else. ``operating_point`` is for the answers of a run of ``evaluate``, which
    says beside them who gave them.
    """
    point = None if operating_point is None else _point_for(operating_point, predictions)
    if data is None:
        rows, answers = read_lines(predictions)
        kept = {answer.id: answer for answer in answers}
        file, issues = predictions, unreadable_truths(rows)
    else:
        known = {row.id for row in read_dataset(data).rows}
        kept = read_predictions(predictions, known=known)
        dataset = read_dataset(data, split=split, limit=limit)
        rows, file, issues = dataset.rows, dataset.file, list(dataset.issues)
        if not any(row.id in kept for row in rows):
            raise InputError(
                f"none of the {len(rows)} rows asked for is answered here",
                file=predictions,
                remedy="Check the path, --data, --split and --limit.",
            )
    record = RunRecord.of(
        f"answers of {predictions.resolve()}",
        sha256(predictions),
        predictions if data is None else data,
        split=split,
        limit=limit,
        data_kind="lines" if data is None else "dataset",
        private=private,
    )
    with claimed(out, record):
        write_issues(out / DATA_ISSUES, file, len(rows), issues, private=record.private)
        write_predictions(out / PREDICTIONS, [kept[row.id] for row in rows if row.id in kept])
        return _write_metrics(out, rows, kept, point)


def _point_for(file: Path, predictions: Path) -> OperatingPoint:
    """The operating point in ``file``, checked against the run whose answers ``predictions`` are."""
    point = OperatingPoint.load(file)
    record = read_record(predictions.parent)
    point.check(record.reader_identity, record.asks or "", record.signals or {}, file=file)
    return point
