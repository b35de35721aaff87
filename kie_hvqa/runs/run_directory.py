"""A run directory: whose answers to which data it holds, and what may be written into it.

    run.json           which reader read which data (this module)
    predictions.jsonl  the answers, appended as they come (``kie_hvqa.runs.predictions``)
    data_issues.json   what was wrong with the data, by line (``kie_hvqa.data.data_issues``)
    metrics.json       the scores, when all answers are there (DESIGN §3)
    operating_point.json   the operating point that was applied before scoring, if one was (``kie_hvqa.confidence``)

A directory belongs to one reader and one dataset. The same command finds its own work again and goes on; any
other is refused before it can touch a file. Data or weights that changed *in place* are no other run: their
answers carry keys that no longer fit, and are read again.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from kie_hvqa import __version__
from kie_hvqa.confidence.operating_point import OperatingPoint
from kie_hvqa.data.dataset import dataset_root, image_path, rows_file
from kie_hvqa.errors import InputError
from kie_hvqa.data.files import read_json, sha256, sweep, write_json
from kie_hvqa.data.ledger import Row
from kie_hvqa.data.lock import Lock
from kie_hvqa.data.private import is_private
from kie_hvqa.scoring.metrics import SCHEMA, score_rows
from kie_hvqa.runs.predictions import Prediction, read_predictions, whole_lines
from kie_hvqa.runs.signals import applied
from kie_hvqa.scoring.scores import SampleScore
from kie_hvqa.suites.rows import chosen

RUN, PREDICTIONS, METRICS = "run.json", "predictions.jsonl", "metrics.json"
OPERATING_POINT = "operating_point.json"
_METRICS_KEYS = {"samples", "documents", "overall", "by"}
_PACKAGES = ("torch", "torchvision", "transformers", "qwen-vl-utils", "rapidocr-onnxruntime", "pillow", "numpy")


@dataclass(frozen=True, slots=True)
class RunRecord:
    """The content of ``run.json``. ``data`` is an absolute path and ``data_sha256`` the hash of its rows' file.

    ``split``, ``limit`` and ``suite`` say which of its rows were wanted (None: all of them). ``data_kind`` is ``dataset``, or
    ``lines`` for a file of the official evaluator, whose lines hold truth and response together. ``private`` keeps values and
    pictures out of reports. ``asks`` is a hash of what the reader was told beside image and question, ``signals`` its signals and how
    each was made; None for answers that nobody here read.
    """

    reader: str
    reader_identity: str
    data: str
    data_sha256: str
    data_kind: str = "dataset"
    split: str | None = None
    limit: int | None = None
    versions: dict[str, str] | None = None
    suite: str | None = None
    private: bool = False
    asks: str | None = None
    signals: dict[str, str] | None = None

    @classmethod
    def of(
        cls,
        reader: str,
        identity: str,
        data: str | Path,
        *,
        split: str | None = None,
        limit: int | None = None,
        data_kind: str = "dataset",
        suite: str | None = None,
        private: bool = False,
        asks: str | None = None,
        signals: dict[str, str] | None = None,
    ) -> RunRecord:
        """The record of a run that is about to start, with the versions installed now."""
        return cls(
            reader=reader,
            reader_identity=identity,
            data=str(Path(data).resolve()),
            data_sha256=sha256(rows_file(data)),
            data_kind=data_kind,
            split=split,
            limit=limit,
            versions=installed_versions(),
            suite=suite,
            private=private or (data_kind == "dataset" and is_private(data)),
            asks=asks,
            signals=signals,
        )

    def same_run(self, other: RunRecord) -> bool:
        """Same reader and same data, by name or by content: a moved dataset is the same, and so is a changed one."""
        reader = self.reader == other.reader or self.reader_identity == other.reader_identity
        data = self.data == other.data or self.data_sha256 == other.data_sha256
        return reader and data


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run, read back: ``rows`` are those that it was asked about, in the dataset's order.

    With an operating point its responses are what that leaves of the answers in ``predictions.jsonl``.
    """

    name: str
    directory: Path
    record: RunRecord
    rows: tuple[Row, ...]
    predictions: dict[str, Prediction]
    metrics: dict[str, Any]

    def response(self, row: Row) -> str | None:
        """What was answered about ``row``, verbatim; None where nothing was."""
        kept = self.predictions.get(row.id)
        return None if kept is None else kept.response

    def responses(self) -> dict[str, str | None]:
        """What was answered, by id; None about a row where nothing was."""
        return {row.id: self.response(row) for row in self.rows}

    def confidence(self, row: Row) -> float | None:
        """How sure the reader was about ``row``, in its own scale."""
        kept = self.predictions.get(row.id)
        return None if kept is None else kept.confidence

    def error(self, row: Row) -> str | None:
        """Why the reader could not answer about ``row``; None where it did, or was never asked."""
        kept = self.predictions.get(row.id)
        return None if kept is None else kept.error

    def drawn(self, row: Row) -> tuple[str, ...]:
        """All answers that were drawn about ``row``, of which ``response`` is one; none where a single one was asked for."""
        kept = self.predictions.get(row.id)
        return () if kept is None or kept.samples is None else kept.samples

    def scores(self, rows: Sequence[Row]) -> list[SampleScore]:
        """The answers about ``rows``, scored."""
        responses = {row.id: self.response(row) for row in rows}
        boxes = {row.id: self.predictions[row.id].box for row in self.rows if row.id in self.predictions}
        return score_rows(rows, responses, {row.id: self.confidence(row) for row in rows}, boxes)

    def image(self, row: Row) -> Path:
        """Where the damaged image of ``row`` lies. InputError if it is not there."""
        return image_path(dataset_root(self.record.data), row)


@contextmanager
def claimed(out: Path, record: RunRecord) -> Iterator[None]:
    """Hold ``out`` for this run and write its ``run.json``. Raises InputError, with nothing changed, if it is another's."""
    check(out, record)  # before a lock file is put into a directory that is not ours
    with Lock(out, "evaluation"):
        check(out, record)
        sweep(out)
        private = record.private or ((out / RUN).is_file() and read_record(out).private)  # once private, always
        write_json(out / RUN, asdict(replace(record, private=private)))
        yield


def check(out: Path, record: RunRecord) -> None:
    """InputError if ``out`` holds answers of another run."""
    if out.exists() and not out.is_dir():
        raise InputError("this is a file", file=out, remedy="Name a directory for --out.")
    log = out / PREDICTIONS
    answered = (out / METRICS).exists() or (log.exists() and log.stat().st_size > 0)
    if answered and not (out / RUN).is_file():
        raise InputError(
            f"this directory holds answers or scores of an unknown run (there is no {RUN})",
            file=out,
            remedy="Name another --out.",
        )
    if answered:  # a run that never got to an answer has nothing to lose
        held = read_record(out)
        if not record.same_run(held):
            raise InputError(
                f"this directory holds another run ({held.reader} on {held.data})",
                file=out / RUN,
                remedy="Name another --out, or remove this directory if its answers are not needed.",
            )


def read_record(directory: Path) -> RunRecord:
    """The ``run.json`` of a run directory. InputError if there is none or it is not one."""
    path = directory / RUN
    if not path.is_file():
        raise InputError(
            f"this is not a run directory (there is no {RUN})",
            file=directory,
            remedy="Name a directory that `kie-hvqa eval` or `kie-hvqa score` wrote.",
        )
    data = read_json(path)
    known = {field.name for field in fields(RunRecord)}
    if (
        not isinstance(data, dict)
        or not known >= data.keys()
        or not {"reader", "reader_identity", "data", "data_sha256"} <= data.keys()
    ):
        raise InputError("not a run record of this version", file=path, remedy="Make the run again in another --out.")
    return RunRecord(**data)


def load_run(directory: Path, *, name: str | None = None) -> Run:
    """Read a finished run back. InputError for an unfinished one, and where its dataset is gone or another."""
    record = read_record(directory)
    if not (directory / METRICS).is_file():
        raise InputError(
            f"this run is not finished (there is no {METRICS})",
            file=directory,
            remedy="Run its `kie-hvqa eval` again: it goes on.",
        )
    metrics = read_json(directory / METRICS)
    if not isinstance(metrics, dict) or metrics.get("schema") != SCHEMA or not metrics.keys() >= _METRICS_KEYS:
        raise InputError(
            "not the scores of this version",
            file=directory / METRICS,
            remedy="Run its `kie-hvqa eval` or `kie-hvqa score` again: what was answered is kept.",
        )
    rows = tuple(wanted_rows(record))
    predictions = read_predictions(directory / PREDICTIONS, repeated=True)
    point = directory / OPERATING_POINT
    if point.is_file():
        predictions = applied(OperatingPoint.load(point), rows, predictions)
    return Run(name or directory.resolve().name, directory, record, rows, predictions, metrics)


def load_runs(directories: Sequence[Path]) -> list[Run]:
    """Several finished runs under names that tell them apart. InputError for one that is named twice, too."""
    resolved = [directory.resolve() for directory in directories]
    for number, directory in enumerate(resolved):
        if directory in resolved[:number]:
            raise InputError("this run is named twice", file=directories[number], remedy="Name another.")
    names = names_of(directories)
    return [load_run(directory, name=name) for directory, name in zip(directories, names, strict=True)]


def names_of(directories: Sequence[Path]) -> list[str]:
    """The last part of each path, and as many of those before it as tell it from the others: a/run and b/run."""
    parts = [directory.resolve().parts for directory in directories]

    def name(own: tuple[str, ...]) -> str:
        others = [other for other in parts if other != own]
        depths = range(1, len(own))
        apart = (depth for depth in depths if all(other[-depth:] != own[-depth:] for other in others))
        return "/".join(own[-next(apart, len(own)) :])

    return [name(own) for own in parts]


def wanted_rows(record: RunRecord) -> list[Row]:
    """The rows that the run asked for. InputError if the dataset is not what the run read any more."""
    if record.data_kind == "lines":
        return read_lines(Path(record.data))[0]
    file = rows_file(record.data)
    if file.is_file() and sha256(file) != record.data_sha256:
        raise InputError(
            "the rows have changed since the run was made",
            file=file,
            remedy="Run its `kie-hvqa eval` again: only what changed is read.",
        )
    return chosen(record.data, split=record.split, limit=record.limit, suite=record.suite).rows


def shared_rows(runs: Sequence[Run]) -> list[Row]:
    """The rows that all ``runs`` were asked about, in the dataset's order.

    Ids alone do not make rows the same: another dataset may use them for other documents. InputError for runs over
    different data, and for runs that share no row.
    """
    first = runs[0]
    for other in runs[1:]:
        if other.record.data_sha256 != first.record.data_sha256:
            raise InputError(
                f"this run answered other data ({other.record.data}) than {first.directory} ({first.record.data})",
                file=other.directory,
                remedy="Put runs over the same dataset side by side.",
            )
    ids = set.intersection(*({row.id for row in run.rows} for run in runs))
    if not ids:
        raise InputError(
            "the runs share no row: they read other splits, or other limits",
            file=runs[-1].directory,
            remedy="Put runs over the same rows side by side.",
        )
    return [row for row in first.rows if row.id in ids]


def read_lines(path: Path) -> tuple[list[Row], list[Prediction]]:
    """Rows and answers of the official evaluator's input: lines ``{"answer": truth, "response": what was answered}``.

    The lines have no ids: they are called by their numbers, each a document of its own.
    """
    rows: list[Row] = []
    predictions: list[Prediction] = []
    for number, line in enumerate(whole_lines(path), start=1):
        if not line.strip():
            continue
        try:
            data = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"not JSON ({error})", file=path, line=number, remedy="Mend or remove that line."
            ) from None
        for key in ("answer", "response"):
            if not isinstance(data, dict) or not isinstance(data.get(key), str):
                by_id = isinstance(data, dict) and "id" in data
                raise InputError(
                    "this key is missing or no text",
                    file=path,
                    line=number,
                    field=key,
                    remedy="These are predictions by id: name their dataset with --data."
                    if by_id
                    else 'A line is {"answer": "<answer>…</answer>", "response": "<answer>…</answer>"}.',
                )
        name = f"line-{number}"
        rows.append(
            Row(
                id=name,
                file_name="",
                document_id=name,
                document_type="unknown",
                split="test",
                field="",
                question_kind="answerable",
                problem="",
                answer=data["answer"],
            )
        )
        predictions.append(Prediction(name, data["response"]))
    if not rows:
        raise InputError("there are no lines", file=path, remedy="Check the path.")
    return rows, predictions


def installed_versions() -> dict[str, str]:
    """Versions of what could change a number, read without importing any of it."""
    versions = {"kie_hvqa": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions
