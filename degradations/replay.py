"""Makes the damaged image of one row again, bit for bit, from the row alone: no dataset, no recipe file.

Run: ``kie-hvqa simulate --replay ROW --out FILE.png``, where ROW is a file that holds one row as JSON, or
``DIR#id`` (or ``FILE.jsonl#id``) for one row of many, the rollouts of a training run included (``OUT/rollouts#id``).
Where the image lies beside the row, the two are compared.

The row says which page was drawn and every parameter of its damage. The same pixels are promised for the same
versions (``dataset.json`` names them); other versions of OpenCV or of a font may draw another page.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from degradations.field_view import cut
from degradations.operators import Image
from degradations.pages import PageKey
from degradations.recipe import Recipe
from degradations.storing.manifest import DATASET, versions
from degradations.storing.png import encode_png
from kie_hvqa.data.dataset import METADATA, load_image, load_rows, parse_row
from kie_hvqa.data.files import read_json, replacing
from kie_hvqa.data.image_paths import Inside
from kie_hvqa.data.ledger import Row
from kie_hvqa.errors import InputError, WorkError
from kie_hvqa.runs import rollout_log

if TYPE_CHECKING:
    from PIL.Image import Image as Picture


@dataclass(frozen=True, slots=True)
class Replayed:
    """``image`` is uint8 [H, W, 3] RGB; ``original`` is the image that it was found equal to, if there was one."""

    row: Row
    image: Image
    original: Path | None


def replay(row: Row) -> Image:
    """The damaged image of ``row``, uint8 [H, W, 3] RGB. Raises InputError naming the field that is not a row's."""
    if row.recipe is None:
        raise InputError("this row has no recipe", field="recipe", remedy="Only damaged rows can be replayed.")
    image = Recipe.from_json(row.recipe, row.capture).apply(PageKey.of(row).render().image)
    return image if row.view is None else cut(image, row.view)


def picture(row: Row) -> Picture | None:
    """As ``replay``, as a PIL image; None for a row whose image cannot be made again."""
    from PIL import Image as Pictures

    try:
        return Pictures.fromarray(replay(row))
    except InputError:
        return None


def replay_file(spec: str, out: Path) -> Replayed:
    """Replay the row that ``spec`` names and write its image to ``out`` as PNG.

    Raises InputError for a row that cannot be found or replayed; WorkError if the image that lies beside the row has other
    pixels (the new one is written all the same).
    """
    if out.suffix.lower() != ".png":
        raise InputError("a replayed image is a PNG file", file=out, field="--out", remedy="Name a .png file.")
    path, row = find_row(spec)
    try:
        if row.file_name:
            Inside(path.parent).check(row.file_name)
        image = replay(row)
    except InputError as error:
        raise InputError(error.what, file=path, field=error.field, remedy=error.remedy) from None
    with replacing(out, "wb") as stream:
        stream.write(encode_png(image))
    original = path.parent / row.file_name
    if not original.is_file():
        return Replayed(row, image, None)
    if not np.array_equal(np.asarray(load_image(original)), image):
        raise WorkError(
            f"{out} has other pixels than {original}: one of them was not made by these versions{_other_versions(path)}"
        )
    return Replayed(row, image, original)


def find_row(spec: str) -> tuple[Path, Row]:
    """The row that ``spec`` (a file with one row, ``DIR#id`` or ``FILE#id``) names, and the file that it stands in."""
    name, hash_, wanted = spec.rpartition("#")
    path = Path(spec)
    if hash_ and not path.exists():
        path = Path(name)
        if rollout_log.is_log(path):
            for entry in rollout_log.read(path, wanted):
                return path, rollout_log.row_of(entry)
            raise InputError(f"there is no row {wanted!r}", file=path, remedy="Name an id of its column `id`.")
        file = path / METADATA if path.is_dir() else path
        for row in load_rows(file):
            if row.id == wanted:
                return file, row
        raise InputError(f"there is no row {wanted!r}", file=file, remedy="Name the id of one of its rows.")
    if path.is_dir():
        raise InputError("this is a directory", file=path, field="--replay", remedy=f"Name one row: {path}#ID.")
    try:
        text = path.read_text(encoding="utf-8-sig")
        data = json.loads(text)
    except FileNotFoundError:
        raise InputError("no such file", file=path, field="--replay", remedy="Name a row's file, or DIR#id.") from None
    except (OSError, ValueError, RecursionError) as error:
        more = isinstance(error, json.JSONDecodeError) and error.msg == "Extra data"
        what = "it holds more than one row" if more else f"not a row's JSON ({error})"
        raise InputError(what, file=path, field="--replay", remedy=f"Name one row: {path}#ID.") from None
    if not isinstance(data, dict):
        raise InputError("a row is a JSON object", file=path, field="--replay", remedy="Copy the row whole.")
    try:
        return path, parse_row(data)
    except InputError as error:
        raise InputError(error.what, file=path, field=error.field, remedy=error.remedy) from None


def _other_versions(file: Path) -> str:
    """What the dataset's versions say, in words; empty where they are the ones that run here, or unknown."""
    manifest = file.with_name(DATASET)
    theirs = read_json(manifest).get("versions", {}) if manifest.is_file() else {}
    differ = [f"{k} {theirs.get(k)} there, {v} here" for k, v in versions().items() if theirs and theirs.get(k) != v]
    return f" ({'; '.join(differ)})" if differ else ""
