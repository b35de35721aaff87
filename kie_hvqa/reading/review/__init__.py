"""``review.html``: what a person should look at, as one file that needs no network and no server.

The worst documents first, the page beside its fields, each value with its marks ready to be typed over. What the person says is
saved as JSON Lines: ``{"document", "page", "field", "verdict", "value", "read", "status"}``, the verdict ``confirmed``,
``corrected``, ``absent`` or ``illegible``. The page holds pictures and values: it goes where the documents may go.
"""

from __future__ import annotations

import base64
import hashlib
import heapq
from collections.abc import Callable, Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from kie_hvqa.data.files import write_text
from kie_hvqa.data.ledger import Box
from kie_hvqa.reading.fields import Field
from kie_hvqa.reading.results import WORST_FIRST, DocumentResult, FieldResult
from kie_hvqa.report.markup import environment
from kie_hvqa.report.pictures import data_uri

if TYPE_CHECKING:
    from PIL.Image import Image

REVIEW = "review.html"
MOST = 200
"""Documents in one page: with their pictures some tens of megabytes."""
SCHEMA = "kie-hvqa-correction-1"
_WIDEST = 1600  # pixels of a page's picture

Picture = Callable[[str, int], "Image | None"]
"""(document, page from 1) → the page, upright; None where it cannot be had any more."""


def needs_a_look(field: FieldResult) -> bool:
    """Whether a person has something to do: a gap, a failure, or a value that something speaks against."""
    return field.status in ("failed", "unreadable", "partly") or (field.status == "read" and bool(field.reasons))


def write_review(
    results: Iterable[DocumentResult], fields: Sequence[Field], picture: Picture, out: Path, *, most: int = MOST
) -> int:
    """Write the page about the ``most`` worst of ``results`` to ``out``; returns how many documents are in it."""
    count, reader = 0, ""

    def wanting() -> Iterable[tuple[tuple[int, float], int, DocumentResult]]:
        nonlocal count, reader
        for result in results:
            reader = result.reader
            if any(map(needs_a_look, result.fields)):
                count += 1
                yield _badness(result), count, result

    chosen = heapq.nsmallest(most, wanting())
    titles = {field.name: field.title for field in fields}
    data = {
        "schema": SCHEMA,
        "reader": reader,
        "left": count - len(chosen),
        "documents": [_document(result, titles, picture) for _, _, result in chosen],
    }
    script = _asset("review.js")
    page = (
        environment(__package__)
        .get_template("review.html")
        .render(
            data=data,
            digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
            style=Markup(_asset("review.css")),
            script=Markup(script),
        )
    )
    write_text(out, page.encode("utf-8", "replace").decode("utf-8"))
    return len(chosen)


def _badness(result: DocumentResult) -> tuple[int, float]:
    """Lower is worse: the worst status, then the least confidence."""
    sure = [field.confidence for field in result.fields if field.confidence is not None]
    return WORST_FIRST.index(result.status), min(sure, default=1.0)


def _document(result: DocumentResult, titles: dict[str, str], picture: Picture) -> dict[str, Any]:
    worst = sorted(result.fields, key=lambda f: (not needs_a_look(f), WORST_FIRST.index(f.status), f.confidence or 0.0))
    pages = dict.fromkeys(field.page or 1 for field in worst if needs_a_look(field) or field.value)
    images = {page: image for page in pages if (image := picture(result.document, page)) is not None}
    return {
        "name": result.document,
        "pages": result.pages,
        "hint": result.hint,
        "first": next(iter(images), 0),
        "pictures": {
            page: {"size": list(image.size), "source": data_uri(image, _WIDEST)} for page, image in images.items()
        },
        "fields": [_field(field, titles.get(field.name, field.name), images) for field in worst],
    }


def _field(field: FieldResult, title: str, images: dict[int, Image]) -> dict[str, Any]:
    page = field.page or 1
    crop = None
    if field.box is not None and page in images:
        crop = data_uri(images[page].crop(_around(field.box, images[page].size)))
    return {
        "name": field.name,
        "title": title,
        "value": field.value,
        "status": field.status,
        "confidence": field.confidence,
        "reasons": list(field.reasons),
        "page": page,
        "box": None if field.box is None else list(field.box),
        "crop": crop,
        "look": needs_a_look(field),
    }


def _around(box: Box, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """``box`` with half its height around it, inside the page, at least a pixel."""
    x0, y0, x1, y1 = box
    room = 0.5 * (y1 - y0)
    left, top = (min(max(0, int(low - room)), side - 1) for low, side in zip((x0, y0), size, strict=True))
    right, bottom = (min(side, int(high + room) + 1) for high, side in zip((x1, y1), size, strict=True))
    return left, top, max(left + 1, right), max(top + 1, bottom)


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath("assets", name).read_text(encoding="utf-8")
