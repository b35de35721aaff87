"""Asked print and the rest come from one press: nothing in the pixels says which text will be asked about.

A reader trained on pages that betray it would find "the text that gets asked" without reading a label.
"""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from degradations.documents import render


def traits(image: np.ndarray, box: tuple[float, ...]) -> list[float] | None:
    """What the ink of one character looks like, whichever character it is: float [7], or None without ink."""
    x0, y0, x1, y1 = (round(v) for v in box)
    luma = cv2.cvtColor(image[y0 : y1 + 1, x0 : x1 + 1], cv2.COLOR_RGB2GRAY).astype(np.float32)
    if luma.size < 60:
        return None
    dark, light = np.percentile(luma, (4, 85))
    if light - dark < 50:
        return None
    stroke = luma < dark + 0.25 * (light - dark)
    paper = luma > light - 0.2 * (light - dark)
    if stroke.sum() < 6 or paper.sum() < 6:
        return None
    edge = np.abs(np.diff(luma, axis=1))
    fine = luma - cv2.GaussianBlur(luma, (0, 0), 1.0)
    return [
        float(dark / light),
        float(luma[stroke].std()),
        float(luma[paper].std()),
        float(np.percentile(edge, 98) / (light - dark)),
        float(fine[stroke].std()),
        float(fine[paper].std()),
        float((edge > 0.15 * (light - dark)).mean()),
    ]


def auroc(scores: np.ndarray, asked: np.ndarray) -> float:
    order = scores.argsort().argsort() + 1.0
    positive = asked.sum()
    return float((order[asked].sum() - positive * (positive + 1) / 2) / (positive * (~asked).sum()))


Sample = tuple[int, bool, str, list[float]]  # document, asked, character, traits


def separability(samples: list[Sample]) -> float:
    """AUROC on the odd documents of a linear discriminant (with squares) fitted on the even ones.

    Only characters that stand on both sides count, each against its own mean: what is asked has more letters than digits.
    """
    sides = [{char for _, asked, char, _ in samples if asked == side} for side in (True, False)]
    samples = [sample for sample in samples if sample[2] in sides[0] & sides[1]]
    group, asked, chars, values = (np.array(part) for part in zip(*samples, strict=True))
    for char in np.unique(chars):
        values[chars == char] -= values[chars == char].mean(0)
    values = np.concatenate([values, np.square(values)], 1)
    even = group % 2 == 0
    values = (values - values[even].mean(0)) / (values[even].std(0) + 1e-9)
    one, other = values[even & asked], values[even & ~asked]
    within = np.cov(one.T) + np.cov(other.T) + 0.1 * np.eye(values.shape[1])
    weights = np.linalg.solve(within, one.mean(0) - other.mean(0))
    return auroc(values[~even] @ weights, asked[~even])


def collect(template: str, count: int, picture_of) -> list[Sample]:
    """Every printed character of the values' size on ``count`` documents."""
    found = []
    for seed in range(count):
        document = render(template, np.random.default_rng(seed), scale="full")
        asked = {box for field in document.fields.values() for box in field.boxes}
        height = np.median([box[3] - box[1] for box in asked])
        image, place = picture_of(document, seed)
        for printed in document.text:
            box = printed.box
            if printed.char.isalnum() and abs(box[3] - box[1] - height) < 0.06 * height:
                values = traits(image, place(box))
                if values is not None:
                    found.append((seed, box in asked, printed.char, values))
    return found


@pytest.mark.parametrize("template", ["us_licence", "eu_card"])
def test_asked_print_looks_like_any_other_print_of_its_size(template):
    found = collect(template, 30, lambda document, seed: (document.image, lambda box: box))
    assert min(sum(sample[1] for sample in found), sum(not sample[1] for sample in found)) > 200
    assert separability(found) <= 0.6


def test_the_discriminant_finds_print_that_was_inked_after_the_rest():
    def late(document, seed):
        rng = np.random.default_rng(seed)
        image = cv2.GaussianBlur(document.image, (5, 5), 0.7)
        image = np.clip(image + rng.normal(0, 2.5, image.shape), 0, 255).astype(np.uint8)
        for field in document.fields.values():
            for box in field.boxes:
                part = tuple(slice(round(a), round(b) + 1) for a, b in ((box[1], box[3]), (box[0], box[2])))
                image[part] = document.image[part]
        return image, lambda box: box

    assert separability(collect("us_licence", 30, late)) > 0.9
