from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from degradations.storing.png import encode_png


@settings(max_examples=60, deadline=None)
@given(arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40), st.just(3))))
def test_any_reader_reads_the_same_pixels(image):
    data = encode_png(image)
    with Image.open(io.BytesIO(data)) as picture:
        picture.verify()
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.mode == "RGB" and np.array_equal(np.asarray(picture), image)
    assert np.array_equal(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1], image)


def test_a_view_is_written_as_what_it_shows():
    image = np.random.default_rng(0).integers(0, 256, (30, 20, 3), dtype=np.uint8)
    for view in (image[:, ::-1], image[::2, 3:], image[:, :, ::-1]):
        assert encode_png(view) == encode_png(np.ascontiguousarray(view))


def test_print_is_as_small_as_from_libpng():
    y, x = np.mgrid[:400, :300]
    image = np.repeat((200 + 20 * np.sin(x / 40) + 10 * np.cos(y / 30)).astype(np.uint8)[..., None], 3, 2)
    cv2.putText(image, "AB 1234", (20, 200), 0, 1.5, (20, 20, 30), 2)
    theirs = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 2])[1]
    assert len(encode_png(image)) < 1.1 * len(theirs)


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 4), (0, 4, 3)])
def test_only_rgb_images(shape):
    with pytest.raises(ValueError, match="uint8"):
        encode_png(np.zeros(shape, np.uint8))
    with pytest.raises(ValueError, match="uint8"):
        encode_png(np.zeros((4, 4, 3), np.float32))
