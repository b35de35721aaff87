"""What a client may send: a closed list, whatever else comes is refused by name, and no bytes make a fault of it."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from kie_hvqa.serving.chat_request import BadRequest, ChatRequest, parse_request

HELLO = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}


def parse(**changes):
    return parse_request(json.dumps(HELLO | changes).encode())


def url(image, kind="PNG"):
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def turn(*parts, role="user"):
    return [{"role": role, "content": list(parts)}]


def picture(address):
    return {"type": "image_url", "image_url": {"url": address}}


def header_alone(width, height):
    """A PNG that says how large it is and holds no pixel."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    data += struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"chat_template_kwargs": {"images": ["/etc/passwd"]}}, "chat_template_kwargs: this key"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "role"),
        ({"messages": [{"role": "user", "content": "x", "images": ["/etc/passwd"]}]}, "messages.0.images: this key"),
        ({"messages": turn({"type": "text", "text": "x", "image": "/etc/passwd"})}, "image: this key"),
        ({"messages": turn(picture("file:///etc/passwd"))}, "data URL"),
        ({"messages": turn(picture("http://127.0.0.1:9/x.png"))}, "data URL"),
        ({"messages": turn(picture("data:image/svg+xml;base64,AAAA"))}, "data URL"),
        ({"messages": turn({"type": "video_url"})}, "type"),
        ({"messages": turn({"type": "image", "image": "/etc/passwd"})}, "type"),
        ({"messages": 7}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user", "content": 7}]}, "content"),
        ({"messages": [{"role": "user", "content": "x" * 100_001}]}, "content"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_tokens": "8"}, "max_tokens"),
        ({"max_tokens": 8, "max_completion_tokens": 8}, "one thing"),
        ({"temperature": 3}, "temperature"),
        ({"temperature": float("nan")}, ""),
        ({"stop": ""}, "stop"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"stop": 7}, "stop"),
        ({"logit_bias": {"a": 1}}, "token ids"),
        ({"logit_bias": {"1": 101}}, "logit_bias"),
        ({"logit_bias": {"²": 1}}, "token ids"),
        ({"logit_bias": [1]}, "logit_bias"),
        ({"n": 2}, "n"),
        ({"top_logprobs": 5}, "top_logprobs"),
        ({"frequency_penalty": 0.5}, "frequency_penalty"),
        ({"stream_options": {"x": 1}}, "stream_options.x"),
        ({"generation_config": "{}"}, "generation_config: this key"),
    ],
)
def test_what_is_not_on_the_list_is_refused_by_name(changes, told):
    with pytest.raises(BadRequest) as caught:
        parse(**changes)
    assert told in str(caught.value) and "/etc/passwd" not in str(caught.value)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"model":"\\ud800","messages":[]}', b"{}" * 2]
)
def test_what_is_no_json_object_is_refused(body):
    with pytest.raises(BadRequest):
        parse_request(body)


@pytest.mark.parametrize("piece", [b'"k":1,', b"[],", b"[", b'{"a":', b"1,"])
def test_a_body_of_a_great_many_values_is_refused_before_it_is_parsed(monkeypatch, piece):
    monkeypatch.setattr(ChatRequest, "model_validate_json", lambda *_: pytest.fail("it was parsed"))
    with pytest.raises(BadRequest, match="more than 100,000 values"):
        parse_request(b'{"model":"m","messages":[' + piece * 100_001)


def test_half_a_surrogate_pair_is_refused_and_a_whole_one_taken():
    with pytest.raises(BadRequest, match="JSON"):
        parse_request(json.dumps(HELLO | {"messages": [{"role": "user", "content": "a \ud800"}]}).encode())
    whole = json.dumps(HELLO | {"messages": [{"role": "user", "content": "a \U0001f600"}]}).encode()
    assert list(parse_request(whole).texts()) == ["a \U0001f600"]


def test_what_goes_on_from_a_request_is_new_and_holds_no_image():
    asked = parse(messages=turn(picture(url(Image.new("RGB", (8, 8)))), {"type": "text", "text": "What?"}))
    expected = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What?"}]}]
    assert asked.turns() == asked.without_images().turns() == expected
    assert len(asked.without_images().model_dump_json()) < 1000
    assert parse().turns() == [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_three_kinds_of_image_are_taken_however_their_url_is_given(kind):
    address = url(Image.new("RGB", (9, 7), "red"), kind)
    for part in (picture(address), {"type": "image_url", "image_url": address}):
        (image,) = parse(messages=turn(part)).images()
        assert (image.mode, image.size) == ("RGB", (9, 7))


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "BMP", "PPM", "ICO"])
def test_other_kinds_are_refused_whatever_their_url_says(kind):
    name, _, data = url(Image.new("RGB", (16, 16)), kind).partition(",")
    with pytest.raises(BadRequest, match="neither PNG nor JPEG nor WebP"):
        parse(messages=turn(picture(f"data:image/png;base64,{data}"))).images()
    assert name.startswith("data:image/")


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("data:image/png;base64,@@", "no base64"),
        ("data:image/png;base64,AAAA", "unreadable"),
        ("data:image/png;base64,", "unreadable"),
    ],
)
def test_a_broken_image_is_refused(address, told):
    with pytest.raises(BadRequest, match=told):
        parse(messages=turn(picture(address))).images()


def test_sizes_are_looked_at_before_pixels_are(monkeypatch):
    monkeypatch.setattr("kie_hvqa.data.pixels.open_image", lambda *_: pytest.fail("a pixel was decoded"))
    for parts in ([header_alone(50_000, 1000)], [header_alone(7000, 3000)] * 2, [header_alone(60_000, 60_000)]):
        with pytest.raises(BadRequest, match=r"pixels|unreadable"):
            parse(messages=turn(*map(picture, parts))).images()
    with pytest.raises(BadRequest, match="more than 16 images"):
        parse(messages=turn(*[picture(header_alone(1, 1))] * 17))


def test_a_file_cut_short_behind_its_header_is_refused():
    with pytest.raises(BadRequest, match="unreadable or truncated"):
        parse(messages=turn(picture(header_alone(100, 100)))).images()


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from([*ChatRequest.model_fields, "images", "size", "tools"])


def taken(body):
    """The request, None where it is refused; whatever else happens is a fault."""
    try:
        return parse_request(body)
    except BadRequest as error:
        assert 0 < len(str(error)) < 600
        return None


@settings(deadline=None, max_examples=300)
@given(st.dictionaries(names, anything, max_size=4), st.text(max_size=12), anything)
def test_nothing_but_the_list_passes(changes, name, value):
    asked = taken(json.dumps(HELLO | changes | {name: value}).encode("utf-8", "surrogatepass"))
    if asked is not None:
        assert {*HELLO, *changes, name} <= set(ChatRequest.model_fields)


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=300) | anything.map(lambda value: json.dumps(value).encode("utf-8", "surrogatepass")))
def test_any_bytes_are_a_request_or_a_bad_one(body):
    taken(body)


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=200), st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"RIFF\0\0\0\0WEBP"]))
def test_any_bytes_are_an_image_or_a_bad_one(data, magic):
    asked = parse(messages=turn(picture(f"data:image/png;base64,{base64.b64encode(magic + data).decode()}")))
    with contextlib.suppress(BadRequest):
        assert all(image.mode == "RGB" for image in asked.images())
