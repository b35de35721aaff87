"""What every endpoint that asks the model does: take a body within its bounds, put a job in the queue, end it with its client."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse

from kie_hvqa.errors import InputError
from kie_hvqa.serving.chat_request import LARGEST_BODY, BadRequest, ChatRequest
from kie_hvqa.serving.generation import End, Ending, Event, Failed, Generation, Job, OutOfMemory, Piece
from kie_hvqa.serving.turns import Held, Shares

if TYPE_CHECKING:
    from PIL.Image import Image

BODY_SECONDS = 60.0  # in which a body must have come
_PREPARING = 2  # bodies that are parsed and decoded at the same time

T = TypeVar("T")


class Refusal(Exception):
    """A request that is answered with an error. ``code`` is for programs."""

    def __init__(self, status: int, message: str, code: str, headers: dict[str, str] | None = None) -> None:
        self.status, self.message, self.code, self.headers = status, message, code, headers

    def response(self) -> JSONResponse:
        return JSONResponse({"error": self.said()}, self.status, self.headers)

    def said(self) -> dict[str, str]:
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        return {"message": self.message, "type": kind, "code": self.code}


class Desk:
    """What the endpoints share: the model's queue, what each address may have under way, and room to prepare bodies.

    ``name`` is the model's, ``shown`` makes of an image what the model sees.
    """

    def __init__(self, generation: Generation, name: str, shown: Callable[[Image], Image]) -> None:
        self.generation, self.name, self.shown = generation, name, shown
        self.shares = Shares()
        self._preparing = asyncio.Semaphore(_PREPARING)

    async def received(self, request: Request, client: str, prepared: Callable[[bytes], T]) -> T:
        """What ``prepared`` makes of the body, in a thread of its own: it takes its time. Refusal for a body that is not taken."""
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise Refusal(415, "the body must be application/json", "unsupported_media_type")
        with self.shares.body(client) as held:
            body = await body_of(request, held)
            async with self._preparing:
                return await asyncio.to_thread(self._prepared, prepared, body)

    def _prepared(self, prepared: Callable[[bytes], T], body: bytes) -> T:
        try:
            return prepared(body)
        except BadRequest as error:
            raise bad(str(error)) from None
        except InputError as error:  # an image that fits no budget
            raise bad(f"messages: {error.what}") from None

    def check_model(self, asked: str) -> None:
        """Refusal for another model than the one that is served."""
        if asked != self.name:
            what = f"the model {asked[:200]!r} is not served here, {self.name!r} is"
            raise Refusal(404, what, "model_not_found")


def busy() -> Refusal:
    message = "this address has as much under way as it may have"
    return Refusal(429, message, "rate_limit_exceeded", {"Retry-After": "1"})


async def body_of(request: Request, held: Held) -> bytes:
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


def bad(message: str) -> Refusal:
    return Refusal(400, message, "bad_request")


class Exchange:
    """One job from its place in the queue to its end; leaving the block, however that comes about, ends the job."""

    def __init__(self, generation: Generation, client: str, asked: ChatRequest, images: Sequence[Image]) -> None:
        self._generation = generation
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._job = Job(client, asked, images, self._tell)

    async def __aenter__(self) -> Exchange:
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
        return bad(str(error))
    if isinstance(error, OutOfMemory):
        return Refusal(503, f"out of memory for this request ({error})", "out_of_memory")
    if isinstance(error, Ending):
        return Refusal(503, "the server is ending", "shutting_down")
    return Refusal(500, "the answer failed; the server's log says why", "internal_error")
