"""What a client may send: OpenAI's chat completions as a closed list of keys, types and bounds.

Whatever is not written down here is refused, by name, and nothing of a request is handed on as it came: the answer's side
takes ``ChatRequest``'s own fields and builds new dictionaries out of them. So no key can reach a processor, a template or
``generate``. Roles come from a list; images are PNG, JPEG or WebP in data URLs, whose sizes are looked at before a pixel is
decoded: a server must neither fetch addresses nor open files that a request names.

    parse_request(b'{"model": "m", "messages": [{"role": "user", "content": "What is the name?"}]}')
"""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from kie_hvqa.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

LARGEST_BODY = 32 << 20  # bytes
LONGEST_TEXT = 100_000  # characters of one text
MOST_VALUES = 100_000  # in a body; a million small ones would be a gigabyte once parsed
MOST_PIXELS = (
    40_000_000  # of all images of a request together, as they come: an A4 page at 600 dots an inch has 35 million
)
MOST_IMAGES, MOST_TURNS = 16, 64
FORMATS = ("PNG", "JPEG", "WEBP")
_HEADS = ("data:image/png;base64,", "data:image/jpeg;base64,", "data:image/jpg;base64,", "data:image/webp;base64,")


class BadRequest(ValueError):
    """A request that makes no sense; the message says which part."""


def _not_empty(text: str) -> str:
    if not text:
        raise ValueError("an empty text stops nothing")
    return text


Text = Annotated[str, Field(max_length=LONGEST_TEXT)]
Stop = Annotated[str, Field(max_length=100), AfterValidator(_not_empty)]


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class TextPart(Part):
    type: Literal["text"]
    text: Text


class ImageURL(Part):
    url: str
    detail: Literal["auto"] = "auto"  # how large an image is shown is the checkpoint's business


class ImagePart(Part):
    type: Literal["image_url"]
    image_url: ImageURL | str

    @property
    def url(self) -> str:
        return self.image_url if isinstance(self.image_url, str) else self.image_url.url

    @model_validator(mode="after")
    def _holds_its_image(self) -> ImagePart:
        if not self.url.startswith(_HEADS):
            raise ValueError("an image is a data URL (data:image/png;base64,… or jpeg, webp)")
        return self


class Turn(Part):
    role: Literal["system", "user", "assistant"]
    content: (
        Text
        | Annotated[
            list[Annotated[TextPart | ImagePart, Field(discriminator="type")]], Field(min_length=1, max_length=256)
        ]
    )

    @property
    def parts(self) -> list[TextPart | ImagePart]:
        return [TextPart(type="text", text=self.content)] if isinstance(self.content, str) else self.content


class StreamOptions(Part):
    include_usage: bool = False


class ChatRequest(Part):
    """One request. ``temperature`` 0 is greedy, whatever the checkpoint's own settings say, and so is its absence."""

    model: Annotated[str, Field(max_length=1000)]
    messages: Annotated[list[Turn], Field(min_length=1, max_length=MOST_TURNS)]
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    stop: Stop | Annotated[list[Stop], Field(max_length=4)] | None = None
    logit_bias: dict[str, Annotated[float, Field(ge=-100, le=100)]] | None = None
    logprobs: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    # Taken with the one value that says what is done anyway.
    n: Literal[1] | None = None
    top_logprobs: Literal[0] | None = None
    frequency_penalty: Annotated[float, Field(ge=0, le=0)] | None = None
    presence_penalty: Annotated[float, Field(ge=0, le=0)] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> ChatRequest:
        if self.max_tokens is not None and self.max_completion_tokens is not None:
            raise ValueError("max_tokens and max_completion_tokens are one thing: name one of them")
        if sum(isinstance(part, ImagePart) for turn in self.messages for part in turn.parts) > MOST_IMAGES:
            raise ValueError(f"messages: more than {MOST_IMAGES} images")
        if len(self.logit_bias or ()) > 1000:
            raise ValueError("logit_bias: more than 1000 tokens")
        if not all(key.isascii() and key.isdigit() and len(key) < 10 for key in self.logit_bias or ()):
            raise ValueError("logit_bias: its keys are token ids")
        return self

    @property
    def most_tokens(self) -> int | None:
        return self.max_tokens if self.max_tokens is not None else self.max_completion_tokens

    @property
    def stops(self) -> tuple[str, ...]:
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def biases(self) -> dict[int, float]:
        """Token id → what is added to its logit."""
        return {int(key): value for key, value in (self.logit_bias or {}).items()}

    def texts(self) -> Iterator[str]:
        for turn in self.messages:
            for part in turn.parts:
                if isinstance(part, TextPart):
                    yield part.text

    def turns(self) -> list[dict[str, Any]]:
        """The conversation as chat templates of image models take it: new dictionaries, an image's place and no image."""
        return [
            {
                "role": turn.role,
                "content": [
                    {"type": "text", "text": part.text} if isinstance(part, TextPart) else {"type": "image"}
                    for part in turn.parts
                ],
            }
            for turn in self.messages
        ]

    def without_images(self) -> ChatRequest:
        """The same, holding an image's place alone: a body's bytes need not be kept until its turn comes."""
        place = ImagePart(type="image_url", image_url=_HEADS[0])
        turns = [
            turn.model_copy(update={"content": [part if isinstance(part, TextPart) else place for part in turn.parts]})
            for turn in self.messages
        ]
        return self.model_copy(update={"messages": turns})

    def images(self) -> list[Image]:
        """Every image, in order, RGB. BadRequest for one that cannot be decoded, and for more pixels than ``MOST_PIXELS``."""
        files = [_checked(part.url) for turn in self.messages for part in turn.parts if isinstance(part, ImagePart)]
        if sum(pixels for _, pixels in files) > MOST_PIXELS:
            raise BadRequest(f"messages: the images have more than {MOST_PIXELS:,} pixels")
        return [_decoded(data) for data, _ in files]


def parse_request(body: bytes) -> ChatRequest:
    """The request in ``body``. BadRequest names the first thing that is wrong; of what was sent it repeats keys alone."""
    small_enough(body)
    try:
        return ChatRequest.model_validate_json(body)
    except ValidationError as error:
        raise BadRequest(said(error)) from None


def small_enough(body: bytes) -> None:
    """BadRequest for a body with more values than any request has."""
    if sum(body.count(sign) for sign in (b",", b"[", b"{")) > MOST_VALUES:  # an image is one value, however large
        raise BadRequest(f"the body has more than {MOST_VALUES:,} values")


def said(error: ValidationError) -> str:
    """What is wrong first, and where; nothing of the values."""
    # A union reports every member that did not fit: the one that got furthest is the one that was meant.
    first = max(
        error.errors(include_url=False, include_input=False, include_context=False), key=lambda one: len(one["loc"])
    )
    place = ".".join(str(step) for step in first["loc"] if isinstance(step, int) or str(step).isidentifier())[:100]
    what = first["msg"].removeprefix("Value error, ")
    if first["type"] == "json_invalid":
        return f"the body is not JSON ({what.removeprefix('Invalid JSON: ')})"
    if first["type"] == "extra_forbidden":
        what = "this key is not known here"
    return f"{place}: {what}" if place else what


def _checked(url: str) -> tuple[bytes, int]:
    """The file in a data URL, and its pixels by its header alone; BadRequest for what is no image of the three kinds."""
    from PIL import Image

    try:
        data = base64.b64decode(url.partition(",")[2], validate=True)
        with Image.open(io.BytesIO(data), formats=FORMATS) as header:
            return data, header.width * header.height
    except binascii.Error:
        raise BadRequest("messages: an image's data URL is no base64") from None
    except (OSError, SyntaxError, ValueError, EOFError, ArithmeticError, Image.DecompressionBombError):
        raise BadRequest("messages: an image is unreadable, or neither PNG nor JPEG nor WebP") from None


def _decoded(data: bytes) -> Image:
    from kie_hvqa.data.pixels import open_image

    try:
        return open_image(io.BytesIO(data))
    except InputError as error:
        raise BadRequest(f"messages: {error.what}") from None
