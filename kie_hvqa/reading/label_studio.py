"""What was read, as tasks of Label Studio with predictions: boxes, labels, texts and scores, in the names of its OCR template.

    [{"data": {"ocr": "/data/local-files/?d=scans/a.jpg"}, "predictions": [{"model_version": …, "score": …, "result": […]}]}]

A field without a box lies over the whole page. Pages that are no files of their own (of PDF and TIFF files) are written beside
the tasks, because Label Studio shows pictures alone. `kie-hvqa degrade --format label-studio` reads what people make of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from kie_hvqa.data.files import replacing
from kie_hvqa.reading.results import DocumentResult, FieldResult

if TYPE_CHECKING:
    from PIL.Image import Image

_SERVED = "/data/local-files/?d="


def write_tasks(
    results: Iterable[DocumentResult],
    picture: Callable[[str, int], Image | None],
    file: Callable[[str, int], Path],
    out: Path,
) -> int:
    """Write a task for every page on which something was read; returns how many. ``file`` says where a page's picture lies."""
    count = 0
    with replacing(out) as stream:
        stream.write("[")
        for result in results:
            for page in dict.fromkeys(field.page for field in result.fields if field.page is not None):
                fields = [field for field in result.fields if field.page == page and field.value]
                image = picture(result.document, page) if fields else None
                if image is None:
                    continue
                task = _task(result, fields, image.size, file(result.document, page))
                stream.write(("," if count else "") + "\n" + json.dumps(task, ensure_ascii=True, allow_nan=False))
                count += 1
        stream.write("\n]\n")
    return count


def _task(result: DocumentResult, fields: list[FieldResult], size: tuple[int, int], file: Path) -> dict[str, Any]:
    scores = [field.confidence for field in fields if field.confidence is not None]
    prediction: dict[str, Any] = {
        "model_version": result.reader,
        "result": [part for field in fields for part in _region(field, size)],
    }
    if scores:
        prediction["score"] = min(scores)
    return {
        "data": {"ocr": _SERVED + quote(file.as_posix().lstrip("/")), "document": result.document},
        "predictions": [prediction],
    }


def _region(field: FieldResult, size: tuple[int, int]) -> list[dict[str, Any]]:
    width, height = size
    x0, y0, x1, y1 = field.box or (0.0, 0.0, float(width), float(height))
    place = {
        "x": round(100 * x0 / width, 4),
        "y": round(100 * y0 / height, 4),
        "width": round(100 * (x1 - x0) / width, 4),
        "height": round(100 * (y1 - y0) / height, 4),
        "rotation": 0,
    }
    own = {
        "id": field.name,
        "to_name": "image",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
    }
    scored = {} if field.confidence is None else {"score": field.confidence}
    return [
        {**own, **scored, "from_name": "bbox", "type": "rectangle", "value": place},
        {**own, **scored, "from_name": "label", "type": "labels", "value": {**place, "labels": [field.name]}},
        {**own, **scored, "from_name": "transcription", "type": "textarea", "value": {**place, "text": [field.value]}},
    ]
