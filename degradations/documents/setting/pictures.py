"""Portraits and art: what is drawn and not set."""

from __future__ import annotations

import cv2
import numpy as np

from degradations.documents import elements
from degradations.documents.art import decor, portraits
from degradations.documents.setting.setter import Setter


def portrait(setter: Setter, element: elements.Portrait) -> float:
    x0, y0, x1, y1 = setter.rect(element.box, element.fixed)
    assert setter.sitter is not None, "a bill has no holder"
    picture = portraits.portrait(x1 - x0, y1 - y0, setter.sitter, element.tone)
    setter.picture = picture
    region = setter.page.image[y0:y1, x0:x1]
    if element.shape == "cut":
        mask = portraits.cut_out(x1 - x0, y1 - y0, setter.sitter)
    else:
        mask = np.full(picture.shape[:2], 255, np.uint8)
        if element.shape == "oval":
            mask[...] = 0
            centre = ((x1 - x0) // 2, (y1 - y0) // 2)
            cv2.ellipse(mask, centre, centre, 0, 0, 360, 255, -1, cv2.LINE_AA)
    if element.shape == "rect" and element.opacity >= 1:
        region[...] = picture[: region.shape[0], : region.shape[1]]
    else:
        decor.stain(setter.page.image, mask, x0, y0, picture.astype(np.float32), element.opacity)
    return y1 / setter.d


def art(setter: Setter, element: elements.Art) -> float:
    box = setter.rect(element.box, element.fixed)
    decor.draw(
        element.kind, setter.page.image, setter.rng, box, setter.colour(element.colour), element.opacity, setter.picture,
        variant=setter.subject.country.code,
    )  # fmt: skip
    return box[3] / setter.d
