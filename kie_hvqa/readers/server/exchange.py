"""One JSON request that is tried again while that makes sense, and says what became of it when it does not.

Tried again: time-outs, cut and refused connections, answers that are no JSON, and the statuses 408, 409, 425, 429 and 5xx,
after a delay that doubles from one second to a minute, drawn at random below that ("full jitter": clients that failed
together do not come back together), and never sooner than the server asks for with ``Retry-After``. Every attempt has a
deadline of its own for the whole exchange, so that a server which trickles bytes cannot hold a row for ever.

307 and 308 are followed, up to five of them and never from https to http; the key stays with the host that it was meant for.
A web page or an event stream is no answer that a second attempt would mend (``RequestError.page``).
"""

from __future__ import annotations

import asyncio
import email.utils
import errno
import json
import math
import random
import re
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx2

T = TypeVar("T")

RETRIED = {408, 409, 425, 429}
MOVED, MOST_MOVES = {307, 308}, 5
_PAGES = ("text/html", "text/event-stream", "application/xhtml")
FIRST_DELAY, LONGEST_DELAY = 1.0, 60.0  # seconds
LONGEST_PAUSE = 300.0  # seconds of Retry-After that are waited for
LONGEST_BODY = 16 << 20  # bytes


class RequestError(Exception):
    """One attempt got no answer. ``status`` is the HTTP status and ``body`` its text; None: there was no response.

    ``again`` says whether another attempt makes sense, ``pause`` after how many seconds the server wants it; ``page``
    that what answers there speaks another protocol.
    """

    def __init__(
        self,
        what: str,
        *,
        again: bool,
        status: int | None = None,
        body: str = "",
        pause: float | None = None,
        page: bool = False,
    ) -> None:
        super().__init__(what)
        self.what, self.again, self.status, self.body, self.pause, self.page = what, again, status, body, pause, page


@dataclass
class Retrying:
    """How often and how patiently. ``deadline`` is seconds an attempt; ``random`` draws the jitter."""

    attempts: int
    deadline: float
    first_delay: float = FIRST_DELAY
    random: random.Random = field(default_factory=random.Random)
    _held_until: float = 0.0  # the event loop's time before which the server wants to see none of us

    async def post(
        self,
        client: httpx2.AsyncClient,
        url: httpx2.URL,
        payload: Mapping[str, Any],
        take: Callable[[dict[str, Any]], T],
    ) -> T:
        """What ``take`` makes of the JSON object that the server answers. Raises the RequestError of the last attempt.

        ``take`` raises RequestError for an object that is no answer. OSError where this machine cannot ask.
        """
        # ASCII: a lone surrogate in a question must not break the request.
        content = json.dumps(payload, ensure_ascii=True, allow_nan=False).encode("ascii")
        attempt = 1
        while True:
            await self._hold()
            try:
                return take(await self._once(client, url, content))
            except RequestError as error:
                if attempt >= self.attempts or not error.again:
                    raise
                wait = self._delay(attempt, error)
            await asyncio.sleep(wait)
            attempt += 1

    async def _once(self, client: httpx2.AsyncClient, url: httpx2.URL, content: bytes) -> dict[str, Any]:
        request = client.build_request("POST", url, content=content, headers={"Content-Type": "application/json"})
        try:
            async with asyncio.timeout(self.deadline):
                response, body = await _followed(client, request)
        except TimeoutError:
            raise RequestError(f"no answer within {self.deadline:g} s", again=True) from None
        except (httpx2.UnsupportedProtocol, httpx2.InvalidURL) as error:
            raise RequestError(f"{type(error).__name__}: {error}".rstrip(": "), again=False) from error
        except httpx2.HTTPError as error:
            again = not any(
                isinstance(cause, ssl.SSLCertVerificationError) or is_exhausted(cause) for cause in causes(error)
            )
            raise RequestError(f"{type(error).__name__}: {error}".rstrip(": "), again=again) from error
        if response.status_code != 200:
            raise _refusal(response, body)
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind.startswith(_PAGES):
            what = f"a web page ({message_in(body)})" if "html" in kind else "an event stream, which was not asked for,"
            raise RequestError(f"{what} came instead of a chat completion", again=False, status=200, page=True)
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


def causes(error: BaseException) -> Iterator[BaseException]:
    """``error`` and what it came from, the nearest first."""
    each: BaseException | None = error
    while each is not None:
        yield each
        each = each.__cause__ or each.__context__


def is_exhausted(error: BaseException) -> bool:
    """Whether this process, or this machine, has no more files to open."""
    return isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE)


def is_passing(status: int) -> bool:
    """Whether another attempt may fare better."""
    return status in RETRIED or status >= 500


async def _followed(client: httpx2.AsyncClient, request: httpx2.Request) -> tuple[httpx2.Response, bytes]:
    """The response where ``request`` is sent on to in the end, and its body."""
    for _ in range(MOST_MOVES + 1):
        response = await client.send(request, stream=True)
        try:
            following = response.next_request
            if response.status_code not in MOVED or following is None:
                return response, await body_of(response)
        finally:
            await response.aclose()
        if request.url.scheme == "https" and following.url.scheme != "https":
            what = f"HTTP {response.status_code} from https to {following.url.scheme}, which is not followed"
            raise RequestError(what, again=False, status=response.status_code)
        request = following
    raise RequestError(f"it was sent on more than {MOST_MOVES} times", again=False, status=response.status_code)


def _refusal(response: httpx2.Response, body: bytes) -> RequestError:
    status, pause = response.status_code, retry_after(response.headers)
    what = f"HTTP {status} {message_in(body)}".strip()
    if 300 <= status < 400 and "location" in response.headers:
        what = f"HTTP {status}: it has moved to {response.headers['location'][:200]}"
    again = is_passing(status)
    if again and pause is not None and pause > LONGEST_PAUSE:
        what, again = f"{what} (it asks for a pause of {pause:.0f} s)", False
    text = body.decode("utf-8", "replace")
    return RequestError(what, again=again, status=status, body=text, pause=pause, page=300 <= status < 400)


async def body_of(response: httpx2.Response) -> bytes:
    """The body of a response that streams. RequestError where it is longer than anything that was asked for."""
    chunks, size = [], 0
    async for chunk in response.aiter_bytes():
        size += len(chunk)
        if size > LONGEST_BODY:
            what = f"the response is longer than {LONGEST_BODY >> 20} MB"
            raise RequestError(what, again=False, status=response.status_code)
        chunks.append(chunk)
    return b"".join(chunks)


_TITLE = re.compile(r"<title[^>]{0,200}>([^<]{1,500})", re.IGNORECASE)
_TAG = re.compile(r"<[^<>]{0,2000}>")
_SAID = 1 << 14  # characters of a body that are looked at for what it says


def message_in(body: bytes) -> str:
    """What the server says went wrong: OpenAI's ``error.message``, FastAPI's ``detail``, a page's title, or the beginning."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        text = body[:_SAID].decode("utf-8", "replace")
        title = _TITLE.search(text)
        return " ".join((title[1] if title else _TAG.sub(" ", text)).split())[:200]
    error = data.get("error", data.get("detail", data.get("message"))) if isinstance(data, dict) else data
    if isinstance(error, dict):
        error = error.get("message", error)
    return " ".join(str(error)[:_SAID].split())[:200]


def blamed(body: str) -> str:
    """What of an error names the cause: its message, ``param``, and FastAPI's ``loc``, but no echo of the request."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return body[:_SAID]
    error = data.get("error", data.get("detail", data.get("message"))) if isinstance(data, dict) else data
    parts = error if isinstance(error, list) else [error]
    said = []
    for part in parts[:20]:
        if isinstance(part, dict):
            said += [str(part.get(name, "")) for name in ("message", "msg", "param", "loc")]
        else:
            said.append(str(part))
    return " ".join(said)[:_SAID]
