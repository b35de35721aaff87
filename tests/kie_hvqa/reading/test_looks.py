"""What a person could mend is said where something was not read; and no page with print is ever called empty."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont

from kie_hvqa.reading.looks import Looks, emptiness, hint, looks_of


def card(ground=(214, 224, 236), ink=(20, 20, 40), size=(1013, 638)) -> Image.Image:
    image = Image.new("RGB", size, ground)
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(size=36)
    for y in range(60, size[1] - 60, 80):
        pen.text((60, y), "SURNAME  QUIST-BERGMANN  04711 / 12.03.1990", font=font, fill=ink)
    return image


def of(image: Image.Image) -> Looks:
    looks = looks_of(image)
    assert Looks.of_json(json.loads(json.dumps(looks.to_json()))) == looks
    return looks


BOX = (60.0, 140.0, 400.0, 180.0)


def test_a_page_without_faults_has_no_hint_and_a_page_that_was_read_none_either():
    assert of(card()) == Looks((1013, 638))
    assert hint([of(card())], [(0, None)]) is None
    assert hint([of(card().filter(ImageFilter.GaussianBlur(4)))], []) is None


@pytest.mark.parametrize(
    ("spoilt", "said"),
    [
        (lambda image: image.filter(ImageFilter.GaussianBlur(4)), "the picture is blurred"),
        (lambda image: image.filter(ImageFilter.BoxBlur(6)), "the picture is blurred"),
        (lambda image: ImageEnhance.Brightness(image).enhance(0.3), "the picture is too dark"),
        (lambda image: ImageEnhance.Contrast(image).enhance(0.12), "the print hardly stands out"),
    ],
)
def test_the_plainest_fault_is_named(spoilt, said):
    assert hint([of(spoilt(card()))], [(0, None)]) == f"photograph again: {said}"


def test_glare_is_counted_over_the_fields_that_it_hides():
    image = card()
    ImageDraw.Draw(image).ellipse((0, 80, 520, 420), fill=(255, 255, 255))
    looks = of(image)
    others = [(0, (60.0, y, 400.0, y + 40)) for y in (220.0, 300.0)]
    assert hint([looks], [(0, BOX), *others]) == "photograph again: glare over three fields"
    assert hint([looks], [(0, BOX), (0, (60.0, 560.0, 400.0, 600.0))]) == "photograph again: glare over one field"
    assert hint([looks], [(0, None)]) == "photograph again: glare on the page"
    assert of(card(ground=(255, 255, 255))).glare == ()  # white paper is no lamp


def test_small_print_and_a_black_page():
    assert hint([of(card())], [(0, (0.0, 0.0, 90.0, 7.0))]) == "scan with more dots an inch: small print in one field"
    black = Image.new("RGB", (300, 200), (4, 4, 4))
    assert hint([of(black)], [(0, None)]) == "photograph again: the picture is black"


@pytest.mark.parametrize("contrast", [0.06, 0.1, 1.0])
@pytest.mark.parametrize("size", [(30, 20), (200, 60), (1013, 638), (2480, 3508)])
def test_print_is_never_called_nothing(contrast, size):
    image = Image.new("RGB", size, (250, 250, 250))
    height = max(9, size[1] // 60)
    ImageDraw.Draw(image).text((2, 2), "A1 b2", font=ImageFont.load_default(size=height), fill=(10, 10, 10))
    faint = Image.blend(Image.new("RGB", size, (250, 250, 250)), image, contrast)
    assert emptiness(faint) == ""


def test_paper_noise_of_a_level_or_two_is_nothing():
    noise = np.random.default_rng(5).integers(246, 250, (400, 300, 3), np.uint8)
    assert emptiness(Image.fromarray(noise)) == "blank"
    assert emptiness(Image.new("RGB", (5, 3), (0, 0, 0))) == "black"
