"""``POST /v1/read``: a picture in, its fields out: the object that ``kie-hvqa read`` writes a line.

    {"image": "data:image/png;base64,…", "fields": ["date of birth", {"name": "total", "title": "total", "pattern": "amount"}]}

or ``"template": "us_licence"`` instead of ``fields``. A pattern is one of the named ones here: an expression of a stranger's could keep
the server busy for ever. The fields are asked one after the other, each a turn in the model's queue; nothing is kept. With an operating point (``kie-hvqa serve
--operating-point``) what is below it is a mark or a refusal, as in ``kie-hvqa read``, and a request may say which ``"risk"`` it needs: a
server that promises no such thing refuses it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import Field as Bounded
from pydantic import ValidationError, model_validator
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from kie_hvqa.answers.prompt import fill
from kie_hvqa.confidence.operating_point import OperatingPoint
from kie_hvqa.errors import InputError
from kie_hvqa.reading.fields import Field, checked
from kie_hvqa.reading.looks import Looks, hint, looks_of
from kie_hvqa.reading.results import DocumentResult, FieldResult, of_empty_page, page_results
from kie_hvqa.runs.predictions import Prediction
from kie_hvqa.serving.chat_request import BadRequest, ChatRequest, ImagePart, Part, TextPart, Turn, said, small_enough
from kie_hvqa.serving.exchange import Desk, Exchange, busy
from kie_hvqa.serving.generation import Piece
from kie_hvqa.serving.turns import Busy

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_FIELDS = 64

Words = Annotated[str, Bounded(min_length=1, max_length=2000)]


class AskedField(Part):
    """One field, as a file of fields says it."""

    name: Annotated[str, Bounded(min_length=1, max_length=100)]
    title: Words | None = None
    question: Words | None = None
    pattern: Literal["date", "amount", "mrz"] | None = None
    group: Annotated[str, Bounded(max_length=100)] | None = None


class ReadRequest(Part):
    image: ImagePart
    fields: Annotated[list[Words | AskedField], Bounded(min_length=1, max_length=MOST_FIELDS)] | None = None
    template: Annotated[str, Bounded(max_length=100)] | None = None
    model: Annotated[str, Bounded(max_length=1000)] | None = None
    document: Annotated[str, Bounded(max_length=1000)] = "image"
    risk: Annotated[float, Bounded(gt=0, lt=1)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _image(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("image"), str):
            return data | {"image": {"type": "image_url", "image_url": data["image"]}}
        return data

    @model_validator(mode="after")
    def _one_of_two(self) -> ReadRequest:
        if (self.fields is None) == (self.template is None):
            raise ValueError("either fields or template says what to read")
        return self


class _Asked(NamedTuple):
    document: str
    fields: tuple[Field, ...]
    image: Image
    size: tuple[int, int]
    looks: Looks


class Read:
    """The endpoint. ``sets`` gives the fields of a named set; None: there are none. ``point`` was checked against the model."""

    def __init__(
        self, desk: Desk, sets: Callable[[str], tuple[Field, ...]] | None, point: OperatingPoint | None = None
    ) -> None:
        self._desk, self._sets, self._point = desk, sets, point

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        client = request.client.host if request.client else ""
        try:
            with self._desk.shares.request(client):
                asked = await self._desk.received(request, client, self._prepared)
                found = await self._read(asked, request, client)
        except Busy:
            raise busy() from None
        unread = [(0, one.box) for one in found if one.status in ("partly", "unreadable")]
        advice = hint([asked.looks], unread)
        told = None if self._point is None else self._point.named()
        result = DocumentResult(asked.document, 1, tuple(found), self._desk.name, told, advice)
        await JSONResponse(result.to_json())(scope, receive, send)

    def _prepared(self, body: bytes) -> _Asked:
        small_enough(body)
        try:
            asked = ReadRequest.model_validate_json(body)
        except ValidationError as error:
            raise BadRequest(said(error)) from None
        if asked.model is not None:
            self._desk.check_model(asked.model)
        if asked.risk is not None and (self._point is None or self._point.risk > asked.risk):
            promised = "nothing" if self._point is None else f"a risk of {self._point.risk:g}"
            raise BadRequest(f"risk: this server promises {promised}, not {asked.risk:g}")
        try:
            fields = self._fields(asked)
        except InputError as error:
            raise BadRequest(f"{'template' if asked.template else 'fields'}: {error.what}") from None
        (image,) = ChatRequest(model="", messages=[Turn(role="user", content=[asked.image])]).images()
        return _Asked(asked.document, fields, self._desk.shown(image), image.size, looks_of(image))

    def _fields(self, asked: ReadRequest) -> tuple[Field, ...]:
        if asked.template is not None:
            if self._sets is None or asked.template.endswith((".yaml", ".yml")):  # a path would be this machine's
                raise BadRequest("template: there is no such set here")
            return self._sets(asked.template)
        fields = []
        for one in asked.fields or ():
            if isinstance(one, str):
                fields.append(Field.called(one))
                continue
            plain = Field.called(one.title or one.name.replace("_", " "))
            question = one.question or plain.question
            fields.append(replace(plain, name=one.name, question=question, pattern=one.pattern, group=one.group))
        return checked(fields)

    async def _read(self, asked: _Asked, request: Request, client: str) -> list[FieldResult]:
        if asked.looks.empty:
            return [of_empty_page(field, asked.looks.empty, 1) for field in asked.fields]
        answers = [(field, await self._answer(asked, field, request, client)) for field in asked.fields]
        return page_results(answers, 1, self._point)

    async def _answer(self, asked: _Asked, field: Field, request: Request, client: str) -> Prediction:
        generation = self._desk.generation
        text = TextPart(type="text", text=fill(generation.prompt, field.question))
        chat = ChatRequest(
            model=self._desk.name,
            messages=[Turn(role="user", content=[_PLACE, text])],
            max_tokens=generation.most_tokens,
        )
        pieces: list[Piece] = []
        async with Exchange(generation, client, chat, [asked.image]) as exchange:
            while isinstance(event := await exchange.next(request), Piece):
                pieces.append(event)
        written = "".join(piece.text for piece in pieces)
        signals = generation.signals(written, [token for piece in pieces for token in piece.tokens])
        box = generation.where(written, asked.size)
        return Prediction(field.name, written, cut=event.reason == "length", signals=signals, box=box)


_PLACE = ImagePart(type="image_url", image_url="data:image/png;base64,")
