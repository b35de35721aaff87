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

import asyncio
import contextlib
import hmac
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from kie_hvqa.errors import InputError
from kie_hvqa.serving.chat_request import LARGEST_BODY, BadRequest, ChatRequest, parse_request
from kie_hvqa.serving.generation import End, Ending, Event, Failed, Generation, Job, OutOfMemory, Piece
from kie_hvqa.serving.turns import Busy, Held, Shares

if TYPE_CHECKING:
    from PIL.Image import Image

    from kie_hvqa.serving.writing import Token

BODY_SECONDS = 60.0  # in which a body must have come
_PREPARING = 2  # bodies that are parsed and decoded at the same time


class Refusal(Exception):
    """A request that is answered with an error. ``code`` is for programs."""

    def __init__(self, status: int, message: str, code: str, headers: dict[str, str] | None = None) -> None:
        self.status, self.message, self.code, self.headers = status, message, code, headers

    def response(self) -> JSONResponse:
        return JSONResponse({"error": self.said()}, self.status, self.headers)

    def said(self) -> dict[str, str]:
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        return {"message": self.message, "type": kind, "code": self.code}


def build_app(
    generation: Generation, name: str, shown: Callable[[Image], Image], *, key: str | None, loopback: bool
) -> Starlette:
    """The application (ASGI): chat completions, the list of the one model, and health.

    ``shown`` makes of an image what the model sees, ``key`` is asked for where there is one, ``loopback`` says whether the
    server listens there alone.
    """

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def not_found(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return Refusal(error.status_code, error.detail, "not_found", dict(error.headers or {})).response()

    return Starlette(
        routes=[
            Route("/health", health),
            Route("/v1/models", Guarded(Models(name), key, loopback), methods=["GET"]),
            Route("/v1/chat/completions", Guarded(Chat(generation, name, shown), key, loopback), methods=["POST"]),
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

    def __init__(self, generation: Generation, name: str, shown: Callable[[Image], Image]) -> None:
        self._generation, self._name, self._shown = generation, name, shown
        self._shares = Shares()
        self._preparing = asyncio.Semaphore(_PREPARING)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        client = request.client.host if request.client else ""
        try:
            with self._shares.request(client):
                asked, images = await self._received(request, client)
                async with _Exchange(self._generation, client, asked, images) as exchange:
                    response = await self._response(exchange, asked, request)
                    await response(scope, receive, send)
        except Busy:
            message = "this address has as much under way as it may have"
            raise Refusal(429, message, "rate_limit_exceeded", {"Retry-After": "1"}) from None

    async def _received(self, request: Request, client: str) -> tuple[ChatRequest, list[Image]]:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise Refusal(415, "the body must be application/json", "unsupported_media_type")
        with self._shares.body(client) as held:
            body = await _body(request, held)
            async with self._preparing:
                return await asyncio.to_thread(self._prepared, body)

    def _prepared(self, body: bytes) -> tuple[ChatRequest, list[Image]]:
        """The request and its images as the model sees them. Takes its time: not for the event loop."""
        try:
            asked = parse_request(body)
            if asked.model != self._name:
                what = f"the model {asked.model[:200]!r} is not served here, {self._name!r} is"
                raise Refusal(404, what, "model_not_found")
            return asked.without_images(), [self._shown(image) for image in asked.images()]
        except BadRequest as error:
            raise _bad(str(error)) from None
        except InputError as error:  # an image that fits no budget
            raise _bad(f"messages: {error.what}") from None

    async def _response(self, exchange: _Exchange, asked: ChatRequest, request: Request) -> Response:
        answer = _Answer(self._name, self._generation, asked)
        if asked.stream:
            first = await exchange.next(request)  # what is refused is refused before a stream begins
            headers = {"Cache-Control": "no-store"}
            return StreamingResponse(answer.chunks(first, exchange), media_type="text/event-stream", headers=headers)
        pieces: list[Piece] = []
        while isinstance(event := await exchange.next(request), Piece):
            pieces.append(event)
        return JSONResponse(answer.completion(pieces, event))


async def _body(request: Request, held: Held) -> bytes:
    """The body, counted while it comes. Refusal for one that is too large or too slow."""
    too_large = Refusal(
        413, f"the request is larger than {LARGEST_BODY >> 20} MiB", "request_too_large", {"Connection": "close"}
    )
    if int(request.headers.get("content-length") or 0) > LARGEST_BODY:
        raise too_large
    parts = []
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                held.add(len(part))
                if held.size > LARGEST_BODY:
                    raise too_large
                parts.append(part)
    except TimeoutError:
        raise Refusal(408, f"the body took more than {BODY_SECONDS:g} s", "timeout", {"Connection": "close"}) from None
    return b"".join(parts)


def _bad(message: str) -> Refusal:
    return Refusal(400, message, "bad_request")


class _Exchange:
    """One job from its place in the queue to its end; leaving the block, however that comes about, ends the job."""

    def __init__(self, generation: Generation, client: str, asked: ChatRequest, images: Sequence[Image]) -> None:
        self._generation = generation
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._job = Job(client, asked, images, self._tell)

    async def __aenter__(self) -> _Exchange:
        self._generation.put(self._job)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._generation.leave(self._job)

    def _tell(self, event: Event) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended, and whoever waited with it
            self._loop.call_soon_threadsafe(self._events.put_nowait, event)

    async def next(self, request: Request | None = None) -> Piece | End:
        """What comes next. Refusal where the answer failed; ClientDisconnect where ``request`` has lost its client."""
        coming = asyncio.ensure_future(self._events.get())
        leaving = asyncio.ensure_future(request.receive()) if request is not None else None
        try:
            await asyncio.wait([coming, *([leaving] if leaving else [])], return_when=asyncio.FIRST_COMPLETED)
            if not coming.done():
                raise ClientDisconnect  # the body is read: nothing else can come from a client
            event = coming.result()
        finally:
            for waiting in (coming, leaving):
                if waiting is not None:
                    waiting.cancel()
        if isinstance(event, Failed):
            raise _failure(event.error)
        return event


def _failure(error: Exception) -> Refusal:
    if isinstance(error, BadRequest):
        return _bad(str(error))
    if isinstance(error, OutOfMemory):
        return Refusal(503, f"out of memory for this request ({error})", "out_of_memory")
    if isinstance(error, Ending):
        return Refusal(503, "the server is ending", "shutting_down")
    return Refusal(500, "the answer failed; the server's log says why", "internal_error")


class _Answer:
    """OpenAI's objects for one answer."""

    def __init__(self, name: str, generation: Generation, asked: ChatRequest) -> None:
        self._generation, self._asked = generation, asked
        self._head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": name}

    def completion(self, pieces: Sequence[Piece], end: End) -> dict[str, Any]:
        message = {"role": "assistant", "content": "".join(piece.text for piece in pieces)}
        tokens = [token for piece in pieces for token in piece.tokens]
        choice = {"index": 0, "message": message, "finish_reason": end.reason, **self._logprobs(tokens)}
        return {**self._head, "object": "chat.completion", "choices": [choice], "usage": _usage(end)}

    async def chunks(self, first: Piece | End, exchange: _Exchange) -> AsyncIterator[str]:
        """The answer as server-sent events; what goes wrong on the way is an event with an ``error``."""
        yield self._chunk({"role": "assistant", "content": ""})
        event = first
        try:
            while isinstance(event, Piece):
                yield self._chunk({"content": event.text}, tokens=event.tokens)
                event = await exchange.next()
        except Refusal as refusal:
            yield _event({"error": refusal.said()})
            return
        yield self._chunk({}, reason=event.reason)
        if self._asked.stream_options is not None and self._asked.stream_options.include_usage:
            yield _event({**self._head, "object": "chat.completion.chunk", "choices": [], "usage": _usage(event)})
        yield "data: [DONE]\n\n"

    def _chunk(self, delta: dict[str, str], *, reason: str | None = None, tokens: Sequence[Token] = ()) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": reason, **(self._logprobs(tokens) if tokens else {})}
        return _event({**self._head, "object": "chat.completion.chunk", "choices": [choice]})

    def _logprobs(self, tokens: Sequence[Token]) -> dict[str, Any]:
        """Of the tokens written, without alternatives; nothing where nobody asked."""
        if not self._asked.logprobs:
            return {}
        content = []
        for token in tokens:
            text = self._generation.text(token.id)
            content.append({"token": text, "logprob": token.logprob, "bytes": [*text.encode()], "top_logprobs": []})
        return {"logprobs": {"content": content}}


def _usage(end: End) -> dict[str, int]:
    prompt, completion = end.prompt_tokens, end.completion_tokens
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _event(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data)}\n\n"
