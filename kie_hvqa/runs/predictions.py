"""predictions.jsonl: one answer a line, appended and flushed as it comes, and whole again after any kill.

A line is ``{"id", "response", "confidence", "key"}``, with ``samples`` where several answers were drawn, ``cut`` where the
token limit ended it, ``signals`` (one confidence a symbol, ``kie_hvqa.confidence.symbols``) where the reader gives them, and ``error`` where the row failed: its response is empty then, so it counts as unparsed, and the next run asks again. A line is written with its newline in one call, so a
file that was cut off ends without a newline: that half line is dropped and its row is read again. Any other
line that is not such an object is an error, because it was not a kill that made it. Text is kept as ASCII
JSON, so that nothing a model may write (a lone surrogate, U+2028) can break a line or the encoding.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from kie_hvqa.confidence.symbols import Signals, signals_from_json, signals_to_json
from kie_hvqa.data.ledger import Box
from kie_hvqa.errors import InputError
from kie_hvqa.data.json_lines import check_one_a_line
from kie_hvqa.data.files import replacing
from kie_hvqa.readers.base import Answer

_KINDS: dict[str, tuple[type, ...]] = {
    "id": (str,),
    "response": (str,),
    "confidence": (float, int, type(None)),
    "key": (str, type(None)),
    "samples": (list, type(None)),
    "error": (str, type(None)),
    "cut": (bool, type(None)),
    "signals": (dict, type(None)),
    "box": (list, type(None)),
}


@dataclass(frozen=True, slots=True)
class Prediction:
    """The kept answer about row ``id``; ``key`` hashes what was read (image bytes, question, reader).

    ``samples`` are all answers that were drawn, of which ``response`` is one; ``error`` says why there is none, and
    ``cut`` that the token limit ended it. ``box`` is where the reader saw the value.
    """

    id: str
    response: str
    confidence: float | None = None
    key: str | None = None
    samples: tuple[str, ...] | None = None
    error: str | None = None
    cut: bool = False
    signals: Signals | None = None
    box: Box | None = None

    @classmethod
    def of(cls, answer: Answer, key: str) -> Prediction:
        """``answer`` as it is kept."""
        said = answer.response, answer.confidence
        return cls(answer.id, *said, key, answer.samples, answer.error, answer.cut, answer.signals, answer.box)

    def line(self) -> str:
        data: dict[str, Any] = {
            "id": self.id,
            "response": self.response,
            "confidence": self.confidence,
            "key": self.key,
        }
        if self.samples is not None:
            data["samples"] = self.samples
        if self.error is not None:
            data["error"] = self.error
        if self.cut:
            data["cut"] = True
        if self.signals is not None:
            data["signals"] = signals_to_json(self.signals)
        if self.box is not None:
            data["box"] = self.box
        return json.dumps(data, ensure_ascii=True, allow_nan=False) + "\n"


def read_predictions(
    path: Path, *, repeated: bool = False, known: AbstractSet[str] | None = None
) -> dict[str, Prediction]:
    """Every prediction by id, in file order; a half-written last line is left out.

    ``repeated`` allows an id to come again, the later line then counts (a file still being appended to);
    otherwise that is an InputError, as is a line that is not a prediction, and an id outside ``known``.
    """
    kept: dict[str, Prediction] = {}
    for number, line in enumerate(whole_lines(path), start=1):
        if not line.strip():
            continue
        prediction = _parse(line, path, number)
        if prediction.id in kept and not repeated:
            raise InputError(
                f"the id {prediction.id!r} was already answered",
                file=path,
                line=number,
                remedy="Keep one of the two lines.",
            )
        if known is not None and prediction.id not in known:
            raise InputError(
                f"there is no row {prediction.id!r} in the dataset",
                file=path,
                line=number,
                field="id",
                remedy="Name the dataset that these predictions are about.",
            )
        kept.pop(prediction.id, None)
        kept[prediction.id] = prediction
    return kept


def write_predictions(path: Path, predictions: Iterable[Prediction]) -> None:
    """Replace the file as a whole."""
    with replacing(path) as stream:
        for prediction in predictions:
            stream.write(prediction.line())


class PredictionLog:
    """The file open for appending, its half-written last line cut off. Only for who holds the lock on its directory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = path.open("ab+")
        cut_half_line(self._stream)
        self.kept = read_predictions(path, repeated=True)

    def append(self, prediction: Prediction) -> None:
        """One line, flushed: after this call no kill of the process loses it."""
        self._stream.write(prediction.line().encode("ascii"))
        self._stream.flush()
        self.kept.pop(prediction.id, None)
        self.kept[prediction.id] = prediction

    def __enter__(self) -> PredictionLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()


def cut_half_line(stream: Any) -> None:
    """Drop what a kill left of a last line; ``stream`` is open for appending and reading, in binary."""
    size = stream.seek(0, os.SEEK_END)
    end = size
    while end > 0:
        start = max(0, end - 65536)
        stream.seek(start)
        newline = stream.read(end - start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    if end < size:
        stream.truncate(end)


def whole_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 file, line n at index n - 1, a half-written last one left out. InputError if there is none."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError("no such predictions file", file=path, remedy="Check the path.") from None
    except IsADirectoryError:
        raise InputError("this is a directory", file=path, remedy="Name the predictions.jsonl in it.") from None
    try:
        check_one_a_line(data.lstrip()[:64])
    except InputError as error:
        raise InputError(error.what, file=path, line=1, remedy=error.remedy) from None
    *lines, last = data.split(b"\n")
    whole = []
    for number, line in enumerate(lines, start=1):
        try:
            whole.append(line.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise InputError(f"not UTF-8 ({error.reason})", file=path, line=number, remedy="Mend that line.") from None
    try:  # a last line without a newline counts where it is whole: people write such files by hand
        if last and isinstance(json.loads(last), dict):
            whole.append(last.decode("utf-8"))
    except ValueError:
        pass
    return whole


def _parse(line: str, path: Path, number: int) -> Prediction:
    try:
        data = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"not JSON ({error})", file=path, line=number, remedy="Mend or remove that line.") from None
    if not isinstance(data, dict):
        raise InputError("a prediction is a JSON object", file=path, line=number, remedy="Mend or remove that line.")
    for key, kinds in _KINDS.items():
        if key not in data and key in ("id", "response"):
            raise InputError(
                "this key is missing", file=path, line=number, field=key, remedy='A line is {"id": …, "response": …}.'
            )
        if not isinstance(data.get(key), kinds):
            raise InputError(
                f"must be {kinds[0].__name__}, not {data.get(key)!r:.40}",
                file=path,
                line=number,
                field=key,
                remedy="Mend it.",
            )
    confidence = data.get("confidence")
    if confidence is not None and not math.isfinite(confidence):
        raise InputError(
            f"must be a finite number or null, not {confidence}",
            file=path,
            line=number,
            field="confidence",
            remedy="Mend it.",
        )
    samples = data.get("samples")
    if samples is not None and not all(isinstance(sample, str) for sample in samples):
        raise InputError("must be a list of text", file=path, line=number, field="samples", remedy="Mend it.")
    signals = None
    if data.get("signals") is not None:
        try:
            signals = signals_from_json(data["signals"])
        except ValueError as error:
            raise InputError(str(error), file=path, line=number, field="signals", remedy="Mend it.") from None
    return Prediction(
        data["id"],
        data["response"],
        data.get("confidence"),
        data.get("key"),
        None if samples is None else tuple(samples),
        data.get("error"),
        bool(data.get("cut")),
        signals,
        _box(data.get("box"), path, number),
    )


def _box(value: list[Any] | None, path: Path, number: int) -> Box | None:
    if value is None:
        return None
    if len(value) != 4 or not all(type(side) in (int, float) and math.isfinite(side) for side in value):
        raise InputError("must hold four numbers", file=path, line=number, field="box", remedy="Mend it.")
    return tuple(map(float, value))  # type: ignore[return-value]
