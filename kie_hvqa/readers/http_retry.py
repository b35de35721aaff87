"""One JSON request that is tried again while that makes sense, and says what became of it when it does not.

Tried again: time-outs, cut and refused connections, answers that are no JSON, and the statuses 408, 409, 425, 429 and 5xx,
after a delay that doubles from one second to a minute, drawn at random below that ("full jitter": clients that failed
together do not come back together), and never sooner than the server asks for with ``Retry-After``. Every attempt has a
deadline of its own for the whole exchange, so that a server which trickles bytes cannot hold a row for ever.
"""

from __future__ import annotations

import asyncio
import email.utils
import json
import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2

RETRIED = {408, 409, 425, 429}
FIRST_DELAY, LONGEST_DELAY = 1.0, 60.0  # seconds
LONGEST_PAUSE = 300.0  # seconds of Retry-After that are waited for
LONGEST_BODY = 16 << 20  # bytes


class RequestError(Exception):
    """One attempt got no answer. ``status`` is the HTTP status and ``body`` its text; None: there was no response.

    ``again`` says whether another attempt makes sense, ``pause`` after how many seconds the server wants it.
    """

    def __init__(
        self, what: str, *, again: bool, status: int | None = None, body: str = "", pause: float | None = None
    ) -> None:
        super().__init__(what)
        self.what, self.again, self.status, self.body, self.pause = what, again, status, body, pause


@dataclass
class Retrying:
    """How often and how patiently. ``deadline`` is seconds an attempt; ``random`` draws the jitter."""

    attempts: int
    deadline: float
    first_delay: float = FIRST_DELAY
    random: random.Random = field(default_factory=random.Random)
    _held_until: float = 0.0  # the event loop's time before which the server wants to see none of us

    async def post(self, client: httpx2.AsyncClient, path: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        """The JSON object that the server answers. Raises the RequestError of the last attempt."""
        # ASCII: a lone surrogate in a question must not break the request.
        content = json.dumps(payload, ensure_ascii=True, allow_nan=False).encode("ascii")
        attempt = 1
        while True:
            await self._hold()
            try:
                return await self._once(client, path, content)
            except RequestError as error:
                if attempt >= self.attempts or not error.again:
                    raise
                wait = self._delay(attempt, error)
            await asyncio.sleep(wait)
            attempt += 1

    async def _once(self, client: httpx2.AsyncClient, path: str, content: bytes) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"}
        try:
            async with (
                asyncio.timeout(self.deadline),
                client.stream("POST", path, content=content, headers=headers) as response,
            ):
                body = await _body(response)
        except TimeoutError:
            raise RequestError(f"no answer within {self.deadline:g} s", again=True) from None
        except httpx2.HTTPError as error:
            raise RequestError(f"{type(error).__name__}: {error}".rstrip(": "), again=True) from None
        if response.status_code != 200:
            raise _refusal(response, body.decode("utf-8", "replace"))
        try:
            data = json.loads(body)
        except (ValueError, RecursionError) as error:
            reason = type(error).__name__
            raise RequestError(f"the response is not JSON ({reason})", again=True, status=200) from None
        if not isinstance(data, dict):
            raise RequestError("the response is no JSON object", again=True, status=200)
        return data

    def _delay(self, attempt: int, error: RequestError) -> float:
        """Seconds before the next attempt."""
        jitter = self.random.uniform(0.0, min(LONGEST_DELAY, self.first_delay * 2 ** (attempt - 1)))
        if error.pause is None:
            return jitter
        if error.status == 429:  # it is meant for every request of ours
            self._held_until = max(self._held_until, asyncio.get_running_loop().time() + error.pause)
        return error.pause + jitter

    async def _hold(self) -> None:
        while (rest := self._held_until - asyncio.get_running_loop().time()) > 0:
            await asyncio.sleep(rest)


def retry_after(headers: Mapping[str, str], now: Callable[[], float] = time.time) -> float | None:
    """Seconds that ``Retry-After`` asks for, a number or an HTTP date; None without it, or where it makes no sense."""
    value = headers.get("retry-after", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - now()
        except (ValueError, TypeError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _refusal(response: httpx2.Response, text: str) -> RequestError:
    status, pause = response.status_code, retry_after(response.headers)
    what = f"HTTP {status} {message_in(text)}".strip()
    again = status in RETRIED or status >= 500
    if again and pause is not None and pause > LONGEST_PAUSE:
        what, again = f"{what} (it asks for a pause of {pause:.0f} s)", False
    return RequestError(what, again=again, status=status, body=text, pause=pause)


async def _body(response: httpx2.Response) -> bytes:
    chunks, size = [], 0
    async for chunk in response.aiter_bytes():
        size += len(chunk)
        if size > LONGEST_BODY:
            what = f"the response is longer than {LONGEST_BODY >> 20} MB"
            raise RequestError(what, again=False, status=response.status_code)
        chunks.append(chunk)
    return b"".join(chunks)


def message_in(body: str) -> str:
    """What the server says went wrong: OpenAI's ``error.message``, FastAPI's ``detail``, or the beginning of the body."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        data = body
    error = data.get("error", data.get("detail", data.get("message"))) if isinstance(data, dict) else data
    if isinstance(error, dict):
        error = error.get("message", error)
    return " ".join(str(error).split())[:200]
