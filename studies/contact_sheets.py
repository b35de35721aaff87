"""Contact sheets: every template and every family of operators at a glance, for people who must take them for photographs.

One JPEG a kind of document (every template as training sees it and as the test does), one a template (three pages of the looks
seen in training, three of those held out), one a family (each operator on a card and on an invoice or receipt, at severities 1, 3
and 5), one a way of capture (severity 0), each at most 160 KB. A sheet is a pure function of its seed.

Run: ``python -m studies.contact_sheets --out docs/contact-sheets`` (``--only fapiao wear`` for some).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from degradations.capture import KINDS
from degradations.capture.draw import draw_capture
from degradations.chance import generator
from degradations.documents import Document, PrintedField, TextStyle, names, render, template
from degradations.documents.typeset import ink, typeset
from degradations.operators import FAMILIES, Context, Image, Operator
from degradations.recipe import Recipe, draw_in_order
from kie_hvqa.config import nearest
from kie_hvqa.data.files import replacing
from kie_hvqa.errors import InputError, WorkError

LIMIT = 160_000  # bytes
WIDTH = 1200  # pixels of a sheet
SEVERITIES = (1, 3, 5)
_GAP = 10
_DOCUMENTS = ("id_card", "invoice", "receipt")
_CAPTION = TextStyle("Roboto", 500, 14.0, (40, 40, 44))
_CARDS = ("us_licence", "eu_card", "residence_permit", "national_id", "chinese_id", "passport")
_PAPERS = ("invoice_classic", "till_receipt", "invoice_modern", "fapiao")


def kind_sheet(name: str, seed: int) -> Image:
    """Every template of the kind ``name``, a page as training sees it beside one of the test, uint8 [H, W, 3] RGB."""
    across = 4 if name == "id_card" else 5
    wide, pairs = ((WIDTH - _GAP) // across - 2 * _GAP) // 2, []
    for each in (each for each in names() if template(each).document_type == name):
        pages = []
        for split in ("train", "test"):
            scale = "full" if "full" in template(each).layouts else "tiny"
            page = render(each, generator(seed, each, split), split=split, scale=scale)
            capture = draw_capture(page, generator(seed, each, split, "capture"))
            pages.append(fitted(Recipe((), capture).apply(page.image), wide))
        both = np.full((max(len(picture) for picture in pages), 2 * wide + _GAP, 3), 255, np.uint8)
        for picture, left in zip(pages, (0, wide + _GAP), strict=True):
            both[: len(picture), left : left + wide] = picture
        pairs.append(captioned(both, each))
    return grid([pairs[i : i + across] for i in range(0, len(pairs), across)])


def template_sheet(name: str, seed: int) -> Image:
    """Benign captures of three pages of ``name`` from training and three from the test, uint8 [H, W, 3] RGB."""
    scale = "full" if "full" in template(name).layouts else "tiny"
    pages = []
    for split in ("train", "test"):
        for index in range(3):
            page = render(name, generator(seed, name, split, str(index)), split=split, scale=scale)
            capture = draw_capture(page, generator(seed, name, split, str(index), "capture"))
            pages.append(Recipe((), capture).apply(page.image))
    across = 3 if pages[0].shape[1] > pages[0].shape[0] else 6
    return grid(
        [[fitted(page, (WIDTH - _GAP) // across - _GAP) for page in pages[i : i + across]] for i in range(0, 6, across)]
    )


def family_sheet(name: str, seed: int) -> Image:
    """Each operator of the family on a card and on a paper, at ``SEVERITIES``, uint8 [H, W, 3] RGB."""
    wide = (WIDTH - _GAP) // (2 * len(SEVERITIES)) - _GAP
    rows = []
    for index, operator in enumerate(FAMILIES[name]):
        row = []
        for pool in (_CARDS, _PAPERS):
            able = [n for n in pool if template(n).material in operator.applies_to]
            able = able or [n for n in (*_CARDS, *_PAPERS) if template(n).material in operator.applies_to]
            chosen = able[(index + seed) % len(able)]
            page = render(chosen, generator(seed, name, chosen), split="train", scale="full")
            for severity in SEVERITIES:
                shown = shot(page, operator, severity, seed, moved=name == "geometry")
                row.append(captioned(fitted(shown, wide), f"{operator.name} {severity}"))
        rows.append(row)
    return grid(rows)


def capture_sheet(name: str, seed: int) -> Image:
    """Five documents seen in one way and otherwise untouched, uint8 [H, W, 3] RGB."""
    chosen = ("us_licence", "passport", "chinese_id", "invoice_modern", "till_receipt")
    if name in ("fax", "feeder"):
        chosen = ("invoice_classic", "invoice_modern", "fapiao", "invoice_classic", "invoice_modern")
    high, row = 300, []
    for index, each in enumerate(chosen):
        page = render(each, generator(seed, name, str(index)), split="train", scale="full")
        capture = draw_capture(page, generator(seed, name, str(index), "capture"), {name: 1.0})  # type: ignore[dict-item]
        picture = Recipe((), capture).apply(page.image)
        row.append(fitted(picture, round(picture.shape[1] * high / picture.shape[0])))
    wide = sum(picture.shape[1] for picture in row)
    room = WIDTH - (len(row) + 1) * _GAP
    return grid([[fitted(picture, int(picture.shape[1] * room / wide)) for picture in row]])


def shot(page: Document, operator: type[Operator], severity: int, seed: int, *, moved: bool) -> Image:
    """``page`` damaged for one of its longer fields: the part around the field, all across if things ``moved``."""
    names = sorted(
        (n for n in page.fields if 5 <= len(page.fields[n].value) <= 20), key=lambda n: page.fields[n].boxes[0][1]
    )
    field = page.fields[names[len(names) // 2]]
    # The first of some draws that hits the field when it is worst: a sheet of near misses shows nothing.
    key = next((k for k in range(seed, seed + 8) if _hits(operator, page, field, k)), seed)
    recipe = _drawn(operator, severity, page, field, key)
    damaged = recipe.apply(page.image)
    boxes = np.array(recipe.map_boxes(field.boxes))
    (x0, y0), (x1, y1) = boxes[:, :2].min(0), boxes[:, 2:].max(0)
    height, width = damaged.shape[:2]
    wide = width if moved else min(width, max(int(18 * (y1 - y0)), int(x1 - x0) + 60))
    high = min(height, int(0.62 * wide))
    left = int(np.clip((x0 + x1) / 2 - wide / 2, 0, width - wide))
    top = int(np.clip((y0 + y1) / 2 - high / 2, 0, height - high))
    return damaged[top : top + high, left : left + wide]


def _drawn(operator: type[Operator], severity: int, page: Document, field: PrintedField, key: int) -> Recipe:
    capture = draw_capture(page, generator(key, page.template, "capture"))
    context = Context.of(page.image, field.boxes, (), page.density, capture.scene.desk)
    draw = partial(operator.draw, severity)
    return draw_in_order([(operator, draw)], generator(key, operator.name), context, capture)


def _hits(operator: type[Operator], page: Document, field: PrintedField, key: int) -> bool:
    """Whether the worst of the operator changes the field, looked at in a window around it."""
    recipe = _drawn(operator, max(SEVERITIES), page, field, key)
    if operator.moves:
        return True
    boxes = np.array(field.boxes)
    (x0, y0), (x1, y1) = np.floor(boxes[:, :2].min(0)).astype(int), np.ceil(boxes[:, 2:].max(0)).astype(int)
    window = page.image[y0:y1, x0:x1]
    hurt, calm = (each.apply_window(window, (int(x0), int(y0)))[0] for each in (recipe, recipe.undamaged))
    return float(np.abs(hurt.astype(int) - calm).mean()) > 4


def fitted(picture: Image, width: int) -> Image:
    """``picture`` at ``width`` pixels."""
    height = round(picture.shape[0] * width / picture.shape[1])
    smaller = width < picture.shape[1]
    return np.asarray(
        cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC), np.uint8
    )


def captioned(picture: Image, text: str) -> Image:
    """``picture`` with ``text`` below it."""
    strip = np.full((22, picture.shape[1], 3), 255, np.uint8)
    ink(strip, typeset(text, _CAPTION.at(2, 15)), _CAPTION.colour)
    return np.vstack([picture, strip])


def grid(rows: Sequence[Sequence[Image]]) -> Image:
    """Pictures in rows on white, rows as high as their highest."""
    height = sum(max(p.shape[0] for p in row) + _GAP for row in rows) + _GAP
    sheet = np.full((height, WIDTH, 3), 255, np.uint8)
    y = _GAP
    for row in rows:
        x = _GAP
        for picture in row:
            sheet[y : y + picture.shape[0], x : x + picture.shape[1]] = picture
            x += picture.shape[1] + _GAP
        y += max(p.shape[0] for p in row) + _GAP
    return sheet


def encoded(sheet: Image) -> bytes:
    """``sheet`` as the best JPEG of at most ``LIMIT`` bytes. Raises WorkError if not even a poor one is that small."""
    for quality in range(92, 20, -4):
        done, data = cv2.imencode(".jpg", sheet[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        if done and len(data) <= LIMIT:
            return data.tobytes()
    raise WorkError(f"a sheet of {sheet.shape[1]} x {sheet.shape[0]} pixels does not fit into {LIMIT} bytes")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m studies.contact_sheets", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", help="kinds of document, templates, families or ways of capture"
    )
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(arguments)
    makers = dict.fromkeys(names(), template_sheet) | dict.fromkeys(FAMILIES, family_sheet)
    makers |= dict.fromkeys(KINDS, capture_sheet) | dict.fromkeys(_DOCUMENTS, kind_sheet)
    for name in args.only or makers:
        if name not in makers:
            raise InputError(
                f"no kind of document, template, family or capture is called {name!r}",
                field="--only",
                remedy=nearest(name, makers),
            )
        kind = "template" if name in names() else "family" if name in FAMILIES else "capture"
        kind = "documents" if name in _DOCUMENTS else kind
        path = args.out / f"{kind}-{name}.jpg"
        args.out.mkdir(parents=True, exist_ok=True)
        with replacing(path, "wb") as stream:
            stream.write(encoded(makers[name](name, args.seed)))
        print(path)


if __name__ == "__main__":
    main()
