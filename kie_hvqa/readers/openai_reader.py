"""A model behind a server that speaks OpenAI's chat completions: vLLM, SGLang, llama.cpp, ``kie-hvqa serve``, a vendor.

    OPENAI_API_KEY=… kie-hvqa eval --data DIR --reader openai:MODEL@http://127.0.0.1:8000/v1 --out OUT --concurrency 16

The image goes as a data URL, the file's own bytes where it has no more than ``max_pixels``, shrunk to that where it has:
what the server's processor does after that is its own business. The prompt is ``official`` unless another is named,
because a server cannot say what its model was trained on. Nobody can hash weights behind a URL either: answers are kept
under the model's name, the URL and the options, so name a retrained model anew or take another ``--out``.

Requests run ``concurrency`` at a time and are retried (``http_retry``). A row that fails all the same becomes an answer
with an ``error``: it counts as unparsed, and the same command asks it again. A wrong key, model or path fails every row,
so it ends the run at once; so does a server that has gone. Options that a server does not know (``logprobs``, ``seed``,
``temperature``, ``max_tokens``) are left out from then on when it says so. Confidence is the mean log-probability of
the answer's tokens where the server gives them, the agreement of the samples where several are drawn.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import io
import json
import math
import os
import re
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from collections.abc import Set as AbstractSet
from copy import copy
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx2

from kie_hvqa.answers.prompt import messages, template
from kie_hvqa.data.ledger import Row
from kie_hvqa.data.pixels import bounded, bounded_size, open_image
from kie_hvqa.errors import InputError, WorkError
from kie_hvqa.readers.base import Answer, Task, agreed, identity_of
from kie_hvqa.readers.http_retry import RequestError, Retrying, message_in

MAX_PIXELS = 1280 * 28 * 28  # Qwen2.5-VL's own bound: 1,280 tokens a page
_SPEC = re.compile(r"(?P<model>.+)@(?P<url>https?://.+)")
_GONE = 16  # rows in succession that no server answered: it is not coming back on its own
_ORIENTATION = 0x0112  # EXIF: some servers turn such an image and some do not
_KNOCK = 10.0  # seconds in which a server must say that it is there


class OpenAIReader:
    """Reads with ``model`` at ``base_url`` (up to and with ``/v1``). ``timeout`` is seconds an attempt.

    Raises InputError for an impossible option; the server is first met by ``read``.
    """

    def __init__(
        self,
        model: str,
        base_url: str,
        *,
        prompt: str = "official",
        max_new_tokens: int = 512,
        max_pixels: int = MAX_PIXELS,
        samples: int = 1,
        temperature: float = 1.0,
        concurrency: int = 8,
        timeout: float = 120.0,
        attempts: int = 6,
    ) -> None:
        for key, value in (
            ("max_new_tokens", max_new_tokens),
            ("max_pixels", max_pixels),
            ("samples", samples),
            ("concurrency", concurrency),
            ("attempts", attempts),
        ):
            if value < 1:
                raise InputError(f"must be at least 1, not {value}", field=key, remedy="Mend the value.")
        for key, seconds in (("timeout", timeout), ("temperature", temperature)):
            if not (seconds > 0 and math.isfinite(seconds)):
                raise InputError(f"must be above 0, not {seconds}", field=key, remedy="Mend the value.")
        self._url = _checked(base_url)
        template(prompt)
        self.model = model
        self.prompt = prompt
        self.name = f"openai:{model}@{base_url.rstrip('/')}"
        self.max_new_tokens = max_new_tokens
        self.max_pixels = max_pixels
        self.samples = samples
        self.concurrency = concurrency
        self.retrying = Retrying(attempts, timeout)
        self._options: dict[str, Any] = {"max_tokens": max_new_tokens, "temperature": 0.0}
        if samples > 1:
            self._options["temperature"] = temperature
        else:
            self._options["logprobs"] = True
        self._seeded = True
        self.identity = identity_of([self.name, max_new_tokens, samples, temperature if samples > 1 else 0])
        self._page = functools.lru_cache(maxsize=2 * concurrency)(data_url)

    @classmethod
    def of_spec(cls, spec: str, **options: Any) -> OpenAIReader:
        """The reader of ``MODEL@BASE_URL``. InputError for anything else."""
        found = _SPEC.fullmatch(spec)
        if found is None:
            raise InputError(
                "not MODEL@BASE_URL", field=f"openai:{spec}", remedy="Write openai:MODEL@http://HOST:PORT/v1."
            )
        return cls(found["model"], found["url"], **options)

    def with_prompt(self, prompt: str) -> OpenAIReader:
        """The same model told something else."""
        template(prompt)
        other = copy(self)
        other.prompt = prompt
        other.name = f"{self.name}+{prompt}"
        return other

    def asks(self, row: Row) -> str:
        return json.dumps([messages(row, self.prompt), self.max_pixels], ensure_ascii=True)

    def read(self, tasks: Sequence[Task], done: AbstractSet[str] = frozenset()) -> Iterator[Answer]:
        waiting = [task for task in tasks if task.row.id not in done]
        if not waiting:
            return
        with asyncio.Runner() as runner:
            answers = self._answers(waiting)
            try:
                while (answer := runner.run(_next(answers))) is not None:
                    yield answer
            finally:
                runner.run(answers.aclose())  # type: ignore[attr-defined]

    async def _answers(self, tasks: Sequence[Task]) -> AsyncIterator[Answer]:
        key = os.environ.get("OPENAI_API_KEY")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        limits = httpx2.Limits(max_connections=self.concurrency, max_keepalive_connections=self.concurrency)
        # Deadlines are ours, and a proxy is for servers elsewhere.
        async with httpx2.AsyncClient(
            base_url=self._url, headers=headers, limits=limits, timeout=None, trust_env=not _is_loopback(self._url)
        ) as client:
            await self._knock(client)
            # Questions about one image side by side: it is encoded once, and the server may have it cached.
            queue = deque(sorted(tasks, key=lambda task: str(task.image)))
            running: set[asyncio.Task[tuple[Answer, bool]]] = set()
            unanswered = 0
            try:
                while queue or running:
                    while queue and len(running) < self.concurrency:
                        running.add(asyncio.create_task(self._answer(client, queue.popleft())))
                    finished, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                    for each in finished:
                        if each.exception() is None:
                            answer, reached = each.result()
                            unanswered = 0 if reached else unanswered + 1
                            yield answer
                    for each in finished:
                        each.result()  # raises what ends the run, after what was answered beside it
                    if unanswered >= _GONE:
                        raise WorkError(
                            f"{self._url} has not answered the last {unanswered} rows ({answer.error}). "
                            "What was read is kept: run the same command again when it is back."
                        )
            finally:
                for each in running:
                    each.cancel()
                await asyncio.gather(*running, return_exceptions=True)

    async def _knock(self, client: httpx2.AsyncClient) -> None:
        """InputError where nobody answers at the URL at all, or the key is refused there. Costs no tokens."""
        try:
            response = await client.get("models", timeout=_KNOCK)
        except httpx2.HTTPError as error:
            raise InputError(
                f"no server answers there ({type(error).__name__}: {error})".replace(": )", ")"),
                field=self._url,
                remedy="Start it, or mend the URL (for most servers it ends in /v1).",
            ) from None
        if response.status_code in (401, 403):
            raise self._refused(response.status_code, message_in(response.text))

    async def _answer(self, client: httpx2.AsyncClient, task: Task) -> tuple[Answer, bool]:
        """The answer about ``task``, and whether a server was there to be asked."""
        name = task.row.id
        try:
            page = await asyncio.to_thread(self._page, task.image, self.max_pixels)
            if self.samples == 1:
                text, confidence = await self._complete(client, task.row, page)
                return Answer(name, text, confidence), True
            drawn = [(await self._complete(client, task.row, page, seed))[0] for seed in range(self.samples)]
            return agreed(name, drawn), True
        except RequestError as error:
            if error.status in (401, 403, 404):
                raise self._refused(error.status, error.what) from None
            if "insufficient_quota" in error.body:
                raise InputError(error.what, field=self._url, remedy="The account has no quota left.") from None
            return Answer(name, "", error=error.what), error.status is not None

    async def _complete(
        self, client: httpx2.AsyncClient, row: Row, page: str, seed: int | None = None
    ) -> tuple[str, float | None]:
        """One completion: its text, and the mean log-probability of its tokens where the server gives them."""
        text = messages(row, self.prompt)[0]["content"][1]["text"]
        content = [{"type": "image_url", "image_url": {"url": page}}, {"type": "text", "text": text}]
        while True:
            options = dict(self._options)
            if seed is not None and self._seeded:
                options["seed"] = seed
            payload = {"model": self.model, "messages": [{"role": "user", "content": content}], **options}
            try:
                return _completion(await self.retrying.post(client, "chat/completions", payload))
            except RequestError as error:
                if error.status not in (400, 422) or not self._do_without(options, error.body):
                    raise

    def _do_without(self, options: dict[str, Any], complaint: str) -> bool:
        """Leave out what ``complaint`` names among the options of a request; False where it names none of them."""
        if "max_completion_tokens" in complaint and "max_tokens" in options:  # OpenAI's newer models call it so
            self._options["max_completion_tokens"] = self._options.pop("max_tokens", options["max_tokens"])
            return True
        named = next((key for key in ("logprobs", "temperature", "seed") if key in complaint and key in options), None)
        if named == "seed":
            self._seeded = False
        elif named is not None:
            self._options.pop(named, None)
        return named is not None

    def _refused(self, status: int, what: str) -> InputError:
        remedy = {404: f"Check the model's name ({self.model}) and the URL (for most servers it ends in /v1)."}
        return InputError(what, field=self._url, remedy=remedy.get(status, "Put a valid key into OPENAI_API_KEY."))


def data_url(image: Path, max_pixels: int) -> str:
    """The image as a data URL: the file's bytes, or a PNG where it is too large or not what every server takes."""
    from PIL import Image

    with Image.open(image) as header:
        small = bounded_size(*header.size, max_pixels) == header.size
        plain = header.mode in ("RGB", "L") and header.getexif().get(_ORIENTATION, 1) == 1
        kind = header.format
    if small and plain and kind in ("PNG", "JPEG"):
        data = image.read_bytes()
    else:
        kind, buffer = "PNG", io.BytesIO()
        bounded(open_image(image), max_pixels).save(buffer, "PNG")
        data = buffer.getvalue()
    return f"data:image/{kind.lower()};base64,{base64.b64encode(data).decode('ascii')}"


async def _next(answers: AsyncIterator[Answer]) -> Answer | None:
    return await anext(answers, None)


def _completion(data: dict[str, Any]) -> tuple[str, float | None]:
    """Text and confidence of a chat completion. RequestError for an object that is none."""
    try:
        choice = data["choices"][0]
        message = choice["message"]
        text = message.get("content")
        if isinstance(text, list):  # some servers answer in parts, as they are asked
            text = "".join(part.get("text", "") for part in text)
        text = text if text is not None else message.get("refusal") or ""
        if not isinstance(text, str):
            raise TypeError
    except (KeyError, IndexError, TypeError, AttributeError):
        what = message_in(json.dumps(data))
        raise RequestError(f"the response is no chat completion ({what})", again=False, status=200) from None
    return text, _mean_log_probability(choice.get("logprobs"))


def _mean_log_probability(logprobs: Any) -> float | None:
    try:
        values = [float(token["logprob"]) for token in logprobs["content"]]
    except (KeyError, TypeError, ValueError):
        return None
    mean = math.fsum(values) / len(values) if values else math.nan
    return round(mean, 6) if math.isfinite(mean) else None


def _checked(url: str) -> str:
    parsed = httpx2.URL(url)
    if not parsed.host:
        raise InputError("this URL has no host", field=url, remedy="Write openai:MODEL@http://HOST:PORT/v1.")
    if parsed.userinfo:  # it would end up in run.json
        raise InputError(
            "a URL with a name or a password in it is written into every run",
            field=f"openai:…@{parsed.host}",
            remedy="Put the key into OPENAI_API_KEY.",
        )
    return url.rstrip("/") + "/"


def _is_loopback(url: str) -> bool:
    host = httpx2.URL(url).host
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
