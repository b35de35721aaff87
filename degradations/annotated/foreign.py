"""What the readers of other people's annotations share: finding files, decoding them, and saying which part is wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from degradations.annotated.boxes import Line, clipped, in_order
from degradations.annotated.text import clean
from degradations.annotated.values import AnnotatedLine, Annotation
from kie_hvqa.data.pixels import image_size
from kie_hvqa.errors import InputError

# Where a document was annotated: a file, and the line where a file holds many.
Document = tuple[Path, int | None, Annotation]

PICTURES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp")
_FOLDERS = ("img", "image", "images", "")


def annotation_of(
    source: Path,
    file_name: str,
    images: Path,
    document_type: str,
    lines: list[Line],
    fields: Mapping[str, str],
    places: Mapping[str, list[int]] | None = None,
    names: Mapping[str, str] | None = None,
    size: tuple[int, int] | None = None,
    number: int | None = None,
) -> Annotation:
    """Boxes are cut at the picture's edge; a line without text or outside the picture is left out."""
    try:
        size = size or image_size(images / file_name)
    except InputError as error:
        raise InputError(error.what, file=source, line=number, field="file_name", remedy=error.remedy) from None
    kept = {i: box for i, line in enumerate(lines) if clean(line.text).strip() and (box := clipped(line.box, size))}
    moved = {old: new for new, old in enumerate(kept)}
    where: dict[str, list[int]] = {}
    values = dict(fields)
    for key, rows in (places or {}).items():
        ordered = in_order([row for row in rows if row in kept], lines)
        if not ordered:
            continue
        if len({clean(lines[row].text).strip() for row in ordered}) == 1:
            ordered = ordered[:1]  # the others are its copies
        where[key] = [moved[row] for row in ordered]
        values[key] = " ".join(lines[row].text for row in ordered)
    return Annotation(
        file_name=file_name,
        document_type=document_type,
        size=size,
        fields=values,
        lines=[AnnotatedLine(text=" ".join(lines[i].text.split()), box=box) for i, box in kept.items()],
        where=where,
        names=dict(names or {}),
    )


def slug(name: str) -> str:
    """A field's key, as ids and file names have it."""
    return re.sub(r"\W+", "_", name.lower()).strip("_")[:40] or "field"


def folder_of(path: Path, *names: str) -> Path:
    found = next((path / name for name in names if (path / name).is_dir()), None)
    if found is None:
        raise InputError("no such folder", file=path, field="--annotations", remedy="Name the set's folder.")
    return found


def files_in(folder: Path, endings: Iterable[str]) -> list[Path]:
    found = sorted(file for file in folder.iterdir() if file.suffix.lower() in endings and file.is_file())
    if not found:
        raise InputError(
            "there are no annotations", file=folder, remedy=f"It should hold {' or '.join(endings)} files."
        )
    return found


def picture_of(images: Path, stem: str) -> str:
    for folder in _FOLDERS:
        for ending in PICTURES:
            name = f"{folder}/{stem}{ending}" if folder else f"{stem}{ending}"
            if (images / name).is_file():
                return name
    raise InputError(
        f"there is no image {stem!r}", file=images, field="--images", remedy="Name the folder with the images."
    )


def text_of(file: Path) -> str:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read it ({error.strerror})", file=file, remedy="Check the path.") from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")  # some of the published files


def object_of(file: Path) -> dict[str, Any]:
    try:
        data = json.loads(text_of(file))
    except (ValueError, RecursionError) as error:
        raise InputError(f"not JSON ({type(error).__name__})", file=file, remedy="Mend or remove that file.") from None
    if not isinstance(data, dict):
        raise InputError("an annotation is a JSON object", file=file, remedy="Mend or remove that file.")
    return data


def list_of(data: Mapping[str, Any], key: str, file: Path, line: int | None = None) -> list[dict[str, Any]]:
    found = data.get(key)
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise InputError(
            "a list of objects is required", file=file, line=line, field=key, remedy="Is this the right --format?"
        )
    return found


class naming:
    """Turns what a malformed part of somebody's file raises into an error that names the part."""

    def __init__(self, file: Path, field: str, line: int | None = None) -> None:
        self.file, self.field, self.line = file, field, line

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, InputError):
            return
        if isinstance(error, KeyError | TypeError | ValueError | AttributeError | IndexError | StopIteration):
            what = f"{type(error).__name__} {error}".strip()
            raise InputError(
                f"not as this format has it ({what})",
                file=self.file,
                line=self.line,
                field=self.field,
                remedy="Mend or remove it.",
            ) from None
