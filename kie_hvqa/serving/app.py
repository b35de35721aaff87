"""``kie-hvqa serve``: a checkpoint behind OpenAI's chat completions, for other tools and for ``eval`` itself.

The reader that is served is the one that ``eval`` opens (embedded reader, adapters, hub ids, dtype), with its pixel budget and
its prompts' tokens; what may be asked of it is a closed list (``chat_request``); it answers one request after the other, addresses in turn
(``turns``), and a client that leaves ends its answer (``generation``). Refusals come in OpenAI's own form.

On loopback a request must name loopback as its host and be JSON, so that no page in a browser on this machine can ask. Any other
interface is refused without a key, which comes from the environment (``KIE_HVQA_SERVE_KEY``). It speaks plain HTTP:
beyond a network that is trusted put a proxy with TLS in front.

    kie-hvqa serve embedded --port 8000
    kie-hvqa eval --data DIR --reader openai:embedded@http://127.0.0.1:8000/v1 --prompt question --out OUT

Needs ``pip install 'kie-hvqa[serve]'``: Starlette and uvicorn, three routes on a server of HTTP. transformers has a server
of its own, but it hands unknown keys of a request to the processor, which fetches what they name.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from ipaddress import ip_address
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from kie_hvqa.serving.answer import ChatAnswer
from kie_hvqa.serving.chat_request import ChatRequest, parse_request
from kie_hvqa.serving.exchange import Desk, Exchange, Refusal, busy
from kie_hvqa.serving.generation import Generation, Piece
from kie_hvqa.serving.read import Read
from kie_hvqa.serving.turns import Busy

if TYPE_CHECKING:
    from PIL.Image import Image

    from kie_hvqa.confidence.operating_point import OperatingPoint
    from kie_hvqa.reading.fields import Field


def build_app(
    generation: Generation,
    name: str,
    shown: Callable[[Image], Image],
    *,
    key: str | None,
    loopback: bool,
    sets: Callable[[str], tuple[Field, ...]] | None = None,
    point: OperatingPoint | None = None,
) -> Starlette:
    """The application (ASGI): chat completions, documents' fields, the list of the one model, and health.

    ``shown`` makes of an image what the model sees, ``key`` is asked for where there is one, ``loopback`` says whether the
    server listens there alone. ``sets`` gives the fields of a named set, ``point`` decides what documents' fields assert; chat
    completions are what the model wrote.
    """
    desk = Desk(generation, name, shown)

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def not_found(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return Refusal(error.status_code, error.detail, "not_found", dict(error.headers or {})).response()

    return Starlette(
        routes=[
            Route("/health", health),
            Route("/v1/models", Guarded(Models(name), key, loopback), methods=["GET"]),
            Route("/v1/chat/completions", Guarded(Chat(desk), key, loopback), methods=["POST"]),
            Route("/v1/read", Guarded(Read(desk, sets, point), key, loopback), methods=["POST"]),
        ],
        exception_handlers={HTTPException: not_found},
    )


class Guarded:
    """``app`` behind the checks that every request passes; its refusals become responses."""

    def __init__(self, app: ASGIApp, key: str | None, loopback: bool) -> None:
        self._app, self._key, self._loopback = app, key, loopback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._check(Request(scope))
            await self._app(scope, receive, send)
        except Refusal as refusal:
            await refusal.response()(scope, receive, send)
        except ClientDisconnect:
            pass  # nobody is there to be answered

    def _check(self, request: Request) -> None:
        if self._loopback and not is_loopback(_host(request)):
            raise Refusal(403, "this server is asked as localhost or 127.0.0.1 alone", "wrong_host")
        if self._key is not None:
            scheme, _, sent = request.headers.get("authorization", "").partition(" ")
            if scheme.lower() != "bearer" or not hmac.compare_digest(sent.strip().encode(), self._key.encode()):
                asked = {"WWW-Authenticate": "Bearer"}
                raise Refusal(401, "a key is needed, as Authorization: Bearer …", "invalid_api_key", asked)


def _host(request: Request) -> str:
    """The host that the request was sent to, without its port."""
    host = request.headers.get("host", "")
    return host[1 : host.find("]")] if host.startswith("[") else host.partition(":")[0]


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


class Models:
    """``GET /v1/models``."""

    def __init__(self, name: str) -> None:
        model = {"id": name, "object": "model", "created": 0, "owned_by": "kie-hvqa"}
        self._response = JSONResponse({"object": "list", "data": [model]})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._response(scope, receive, send)


class Chat:
    """``POST /v1/chat/completions``."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        client = request.client.host if request.client else ""
        try:
            with self._desk.shares.request(client):
                asked, images = await self._desk.received(request, client, self._prepared)
                async with Exchange(self._desk.generation, client, asked, images) as exchange:
                    response = await self._response(exchange, asked, request)
                    await response(scope, receive, send)
        except Busy:
            raise busy() from None

    def _prepared(self, body: bytes) -> tuple[ChatRequest, list[Image]]:
        """The request and its images as the model sees them."""
        asked = parse_request(body)
        self._desk.check_model(asked.model)
        return asked.without_images(), [self._desk.shown(image) for image in asked.images()]

    async def _response(self, exchange: Exchange, asked: ChatRequest, request: Request) -> Response:
        answer = ChatAnswer(self._desk.name, self._desk.generation, asked)
        if asked.stream:
            first = await exchange.next(request)  # what is refused is refused before a stream begins
            headers = {"Cache-Control": "no-store"}
            return StreamingResponse(answer.chunks(first, exchange), media_type="text/event-stream", headers=headers)
        pieces: list[Piece] = []
        while isinstance(event := await exchange.next(request), Piece):
            pieces.append(event)
        return JSONResponse(answer.completion(pieces, event))
