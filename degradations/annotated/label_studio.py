"""Exports of Label Studio, whose OCR template gives every region a box, a label and a text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from degradations.annotated.boxes import Line, around
from degradations.annotated.foreign import PICTURES, Document, annotation_of, naming, slug, text_of
from kie_hvqa.data.pixels import image_size
from kie_hvqa.errors import InputError


def label_studio(path: Path, images: Path) -> Iterator[Document]:
    """A JSON or JSON-MIN export of Label Studio's OCR template: boxes in percent, a label and a text for each."""
    try:
        tasks = json.loads(text_of(path))
    except ValueError as error:
        raise InputError(f"not JSON ({error})", file=path, remedy="Export the project as JSON or JSON-MIN.") from None
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise InputError("an export is an array of tasks", file=path, remedy="Export the project as JSON or JSON-MIN.")
    for number, task in enumerate(tasks, 1):
        with naming(path, f"[{number - 1}]"):
            regions = list(_regions(task))
            address = next(
                str(value) for key, value in (task.get("data") or task).items()
                if isinstance(value, str) and PurePosixPath(urlsplit(value).path + urlsplit(value).query).suffix.lower() in PICTURES
            )  # fmt: skip
        if not regions:
            continue  # nobody has annotated it
        lines: list[Line] = []
        places: dict[str, list[int]] = {}
        for text, label, box in regions:
            if label:
                places.setdefault(label, []).append(len(lines))
            lines.append(Line(text, box))
        size = image_size(images / (name := _exported(images, address)))
        lines = [Line(line.text, tuple(v * size[i % 2] / 100 for i, v in enumerate(line.box))) for line in lines]  # type: ignore[arg-type]
        named = {slug(label): rows for label, rows in places.items()}
        names = {slug(label): label.replace("_", " ") for label in places}
        yield path, None, annotation_of(path, name, images, "document", lines, {}, named, names, size)


def _regions(task: Mapping[str, Any]) -> Iterator[tuple[str, str, tuple[float, float, float, float]]]:
    """(text, label, box in percent) of each upright region of the first annotation that was not cancelled."""
    if "annotations" in task:
        done = [a for a in task["annotations"] if not a.get("was_cancelled") and a.get("result")]
        found: dict[str, dict[str, Any]] = {}
        for item in done[0]["result"] if done else ():
            region = found.setdefault(str(item.get("id")), {})
            value = item.get("value", {})
            region |= {key: value[key] for key in ("x", "y", "width", "height", "rotation", "points") if key in value}
            label = value.get("labels") or value.get("rectanglelabels") or value.get("polygonlabels")
            region |= {"label": label[0]} if label else {}
            region |= (
                {"text": " ".join(value["text"]) if isinstance(value["text"], list) else value["text"]}
                if "text" in value
                else {}
            )
    else:  # JSON-MIN: the same in columns
        boxes, labels, texts = (
            task.get("bbox") or task.get("label") or [],
            task.get("label") or [],
            task.get("transcription") or [],
        )
        texts = [texts] if isinstance(texts, str) else texts
        found = {}
        for index, (box, text) in enumerate(zip(boxes, texts, strict=True)):
            names = (labels[index] if index < len(labels) else {}).get("labels") or box.get("rectanglelabels") or [""]
            found[str(index)] = {**box, "label": names[0], "text": text}
    for region in found.values():
        if not str(region.get("text", "")).strip() or abs(region.get("rotation") or 0) > 2:
            continue
        if "points" in region:
            box = around([float(v) for point in region["points"] for v in point])
        elif "x" in region:
            box = (region["x"], region["y"], region["x"] + region["width"], region["y"] + region["height"])
        else:
            continue
        yield str(region["text"]), str(region.get("label", "")), box


def _exported(images: Path, address: str) -> str:
    """The file that an export's address means: an upload has a few letters and a dash before its name."""
    parts = urlsplit(address)
    path = unquote(parse_qs(parts.query).get("d", [parts.path])[0]).lstrip("/")
    pieces = PurePosixPath(path).parts
    names = [str(PurePosixPath(*pieces[i:])) for i in range(len(pieces))]
    names += [re.sub(r"^[0-9a-f]{6,}-", "", pieces[-1])] if pieces else []
    for name in names:
        if ".." not in PurePosixPath(name).parts and (images / name).is_file():
            return name
    raise InputError(
        f"there is no image for {address!r}", file=images, field="--images", remedy="Name the folder with the images."
    )
