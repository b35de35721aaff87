"""What is sent of an image to a server: its own bytes where they are the picture and nothing else, a plain PNG otherwise."""

from __future__ import annotations

import base64
import io

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from kie_hvqa.readers.openai_reader import data_url


def sent(path, max_pixels):
    kind, _, data = data_url(path, max_pixels).partition(";base64,")
    return kind, base64.b64decode(data)


def test_a_small_image_goes_as_its_own_bytes_and_a_large_one_shrunk(tmp_path):
    for suffix, kind in ((".png", "png"), (".jpg", "jpeg")):
        path = tmp_path / f"small{suffix}"
        Image.effect_noise((60, 40), 50).convert("RGB").save(path)
        assert sent(path, 2400) == (f"data:image/{kind}", path.read_bytes())
    kind, data = sent(tmp_path / "small.jpg", 1000)
    image = Image.open(io.BytesIO(data))
    assert kind == "data:image/png" and image.size == (38, 25)


def test_what_servers_take_differently_is_sent_as_a_plain_png(tmp_path):
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (20, 10), "red").save(tmp_path / "turned.jpg", exif=turned)
    Image.new("P", (20, 10)).save(tmp_path / "palette.png")
    Image.new("RGB", (20, 10), "red").save(tmp_path / "page.tiff")
    for name, size in (("turned.jpg", (10, 20)), ("palette.png", (20, 10)), ("page.tiff", (20, 10))):
        kind, data = sent(tmp_path / name, 10_000)
        image = Image.open(io.BytesIO(data))
        assert (kind, image.mode, image.size, dict(image.getexif())) == ("data:image/png", "RGB", size, {})


def test_nothing_but_the_picture_leaves(tmp_path):
    where = Image.Exif()
    where[0x010E] = "Jane's kitchen"
    said = PngInfo()
    said.add_text("Comment", "Jane's kitchen")
    noise = Image.effect_noise((20, 10), 50).convert("RGB")
    noise.save(tmp_path / "exif.jpg", exif=where)
    noise.save(tmp_path / "comment.jpg", comment=b"Jane's kitchen")
    noise.save(tmp_path / "text.png", pnginfo=said)
    noise.save(tmp_path / "exif.png", exif=where)
    noise.save(tmp_path / "profile.png", icc_profile=b"Jane's kitchen")
    for path in sorted(tmp_path.iterdir()):
        assert b"kitchen" in path.read_bytes() or path.name in ("profile.png", "text.png")
        kind, data = sent(path, 10_000)
        image = Image.open(io.BytesIO(data))
        image.load()
        assert (kind, image.size) == ("data:image/png", (20, 10)) and not image.info
        assert b"kitchen" not in data
