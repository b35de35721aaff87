"""The pixel budget holds for every image, and is the one that the models' own library applies."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from kie_hvqa.data.pixels import (
    PixelBudget,
    bounded,
    bounded_size,
    budgeted_size,
    image_size,
    image_tokens,
    load_budgeted,
    open_image,
)
from kie_hvqa.errors import InputError

QWEN = PixelBudget(4 * 28 * 28, 1280 * 28 * 28, 28)
TINY = PixelBudget(16 * 16 * 4, 192 * 96, 16)


@settings(deadline=None)
@given(st.integers(20, 4000), st.integers(20, 4000), st.sampled_from([QWEN, TINY]))
def test_every_image_comes_out_within_the_budget(width: int, height: int, budget: PixelBudget) -> None:
    try:
        new_width, new_height = budgeted_size(width, height, budget)
    except InputError:
        assert max(width, height) / min(width, height) > 20  # nothing else is refused
        return
    assert new_width % budget.factor == new_height % budget.factor == 0
    assert budget.min_pixels <= new_width * new_height <= budget.max_pixels
    assert image_tokens(width, height, budget) == (new_width // budget.factor) * (new_height // budget.factor)
    assert budgeted_size(new_width, new_height, budget) == (new_width, new_height)  # nobody resizes a second time


def test_known_sizes() -> None:
    assert budgeted_size(192, 96, TINY) == (192, 96) and image_tokens(192, 96, TINY) == 72
    assert budgeted_size(1240, 1754, QWEN) == (840, 1176) and image_tokens(1240, 1754, QWEN) == 1260


@pytest.mark.parametrize("size", [(192, 96), (1013, 638), (30, 200), (8, 8)])
@pytest.mark.parametrize("budget", [QWEN, TINY])
def test_images_are_loaded_at_that_size(tmp_path: Path, size: tuple[int, int], budget: PixelBudget) -> None:
    path = tmp_path / "x.png"
    Image.new("RGBA", size, (200, 10, 10, 255)).save(path)
    image = load_budgeted(path, budget)
    assert (image.mode, image.size) == ("RGB", budgeted_size(*size, budget))
    assert image.getpixel((1, 1)) == (200, 10, 10)


def test_an_image_that_fits_no_size_is_named(tmp_path: Path) -> None:
    path = tmp_path / "thin.png"
    for size in [(4000, 4), (6000, 40)]:
        Image.new("L", size).save(path)
        with pytest.raises(InputError, match="does not fit the pixel budget") as caught:
            load_budgeted(path, TINY)
        assert caught.value.file == str(path)


def test_a_truncated_image_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    Image.effect_noise((64, 64), 50).save(path)
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(InputError, match="truncated") as caught:
        load_budgeted(path, TINY)
    assert caught.value.file == str(path)


@pytest.mark.parametrize(
    ("numbers", "field"),
    [
        ((0, 100, 2), "min_pixels"),
        ((200, 100, 2), "min_pixels"),
        ((10, 1000, 15), "factor"),
        ((10, 100, 16), "max_pixels"),
    ],
)
def test_a_budget_that_contradicts_itself(numbers: tuple[int, int, int], field: str) -> None:
    with pytest.raises(InputError) as caught:
        PixelBudget(*numbers)
    assert caught.value.field == field


def test_scoring_needs_no_torch() -> None:
    code = (
        "import sys, kie_hvqa.scoring.metrics, kie_hvqa.data.dataset, kie_hvqa.data.pixels, kie_hvqa.readers.checkpoint, kie_hvqa.answers.prompt;"
        "sys.exit('torch' in sys.modules or 'PIL' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


@settings(deadline=None)
@given(st.integers(1, 20_000), st.integers(1, 20_000), st.integers(1, 4_000_000))
def test_a_bound_shrinks_to_its_pixels_and_keeps_proportions(width: int, height: int, bound: int) -> None:
    new_width, new_height = bounded_size(width, height, bound)
    assert new_width >= 1 and new_height >= 1 and new_width * new_height <= bound
    if width * height <= bound:
        assert (new_width, new_height) == (width, height)
    elif min(new_width, new_height) >= 50:
        assert new_width / new_height == pytest.approx(width / height, rel=0.03)
        assert new_width * new_height > 0.9 * bound
    assert bounded_size(width, height, None) == (width, height)


def test_an_image_within_its_bound_is_left_alone() -> None:
    image = Image.new("RGB", (40, 30))
    assert bounded(image, 1200) is image and bounded(image, None) is image
    assert bounded(image, 300).size == (20, 15)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_shown_as_its_exif_says_it_was_held(tmp_path, kind, orientation):
    upright = np.zeros((40, 80, 3), np.uint8)
    upright[:20, :20], upright[20:, :20] = (255, 0, 0), (0, 255, 0)
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the Image.Transpose that undoes each orientation
    stored = Image.fromarray(upright)
    stored = stored.transpose(Image.Transpose(back[orientation])) if orientation in back else stored
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"page.{kind.lower()}"
    stored.save(path, kind, exif=exif, **({"quality": 95} if kind in ("JPEG", "WEBP") else {}))
    shown = open_image(path)
    assert shown.size == image_size(path) == (80, 40)
    pixels = np.asarray(shown)
    assert pixels[10, 10, 0] > 200 > pixels[10, 10, 1] and pixels[30, 10, 1] > 200 > pixels[30, 10, 0]


def test_damaged_exif_is_no_damaged_image(tmp_path):
    Image.new("RGB", (8, 4), "red").save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\xff broken")
    assert open_image(tmp_path / "a.jpg").size == image_size(tmp_path / "a.jpg") == (8, 4)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_become_eight(tmp_path, kind):
    path = tmp_path / f"page.{kind.lower()}"
    Image.fromarray(np.array([[0, 32768, 65535]], np.uint16)).save(path)
    assert np.asarray(open_image(path))[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize("pixels", [np.float32([[0, 1]]), np.int32([[0, 70000]])])
def test_pixels_whose_white_nobody_knows_are_refused(tmp_path, pixels):
    Image.fromarray(pixels).save(tmp_path / "page.tiff")
    with pytest.raises(
        InputError, match=r"page\.tiff: its pixels are .*nobody knows which of them is white.*8 or 16 bits"
    ):
        open_image(tmp_path / "page.tiff")
