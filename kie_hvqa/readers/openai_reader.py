"""A model behind a server that speaks OpenAI's chat completions: vLLM, SGLang, llama.cpp, ``kie-hvqa serve``, a vendor.

    OPENAI_API_KEY=… kie-hvqa eval --data DIR --reader openai:MODEL@http://127.0.0.1:8000/v1 --out OUT --concurrency 16

The image goes as a data URL, the file's own bytes where it has no more than ``max_pixels``, shrunk to that where it has:
what the server's processor does after that is its own business. The prompt is ``official`` unless another is named,
because a server cannot say what its model was trained on. Nobody can hash weights behind a URL either: answers are kept
under the model's name, the URL and the options, so name a retrained model anew or take another ``--out``.

Requests run ``concurrency`` at a time and are retried (``server.exchange``). A row that fails all the same becomes an answer
with an ``error``: it counts as unparsed, and the same command asks it again. A wrong key, model or path fails every row,
so it ends the run at once; so does a server that has gone, and a web page where an API should be. Options that a server
does not know (``logprobs``, ``seed``, ``temperature``, ``max_tokens``) are left out from then on when it names them and the
same request without them works; that ``temperature`` is left out is said. Confidence is the mean log-probability of
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
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2

from kie_hvqa.answers.prompt import messages, template
from kie_hvqa.confidence.signals.agreement import AGREEMENT
from kie_hvqa.confidence.signals.tokens import MARGINS, TOKEN_PROBABILITY, token_signals
from kie_hvqa.console import tell
from kie_hvqa.data.ledger import Row
from kie_hvqa.data.pixels import bounded, bounded_size, image_size, open_image
from kie_hvqa.errors import InputError, WorkError
from kie_hvqa.readers.base import Answer, Task, agreed, identity_of, not_shown
from kie_hvqa.readers.server.completion import Completion, completion
from kie_hvqa.readers.server.endpoint import KEY, Endpoint, exhausted
from kie_hvqa.readers.server.exchange import RequestError, Retrying, blamed, is_exhausted

MAX_PIXELS = 1280 * 28 * 28  # Qwen2.5-VL's own bound: 1,280 tokens a page
_SPEC = re.compile(r"(?P<model>.+)@(?P<url>https?://.+)")
# What a file may say beside its pixels and still go as it is: nothing about people, places or transparency.
_OF_THE_PICTURE = {"jfif", "jfif_version", "jfif_unit", "jfif_density", "dpi", "progressive", "progression"}
_OF_THE_PICTURE |= {"adobe", "adobe_transform", "gamma", "srgb", "chromaticity", "interlace", "aspect"}
_GONE = 16  # rows in succession that no server answered: it is not coming back on its own
TOP = 5  # alternatives a token that a server is asked for, where it is
_OPTIONAL = ("top_logprobs", "logprobs", "temperature", "seed")  # what a server may not know


class OpenAIReader:
    """Reads with ``model`` at ``base_url`` (up to and with ``/v1``). ``timeout`` is seconds an attempt; ``key_over_http``
    sends the key over plain http to another machine.

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
        key_over_http: bool = False,
        margins: bool = False,
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
        self.endpoint = Endpoint.of(base_url, os.environ, key_over_http=key_over_http)
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
            if margins:
                self._options["top_logprobs"] = TOP
        self.margins = margins
        self._unseeded = False
        self._answered = False  # has this run had an answer yet
        self.identity = identity_of([self.name, max_new_tokens, samples, temperature if samples > 1 else 0])
        self._page = functools.lru_cache(maxsize=2 * concurrency)(data_url)

    @property
    def signals(self) -> tuple[str, ...]:
        """A server that does not give log-probabilities gives no answer its signal."""
        if self.samples > 1:
            return (AGREEMENT,)
        return (TOKEN_PROBABILITY, *MARGINS) if self.margins else (TOKEN_PROBABILITY,)

    @property
    def passes(self) -> dict[str, str]:
        return dict.fromkeys(MARGINS, f"of the {TOP} likeliest") if self.margins else {}

    def drawing(self, samples: int, temperature: float) -> OpenAIReader:
        """The same model, ``samples`` answers drawn instead of one at temperature 0."""
        other = copy(self)
        other.samples, other.margins = samples, False
        other._options = {k: v for k, v in self._options.items() if k not in ("logprobs", "top_logprobs")}
        other._options["temperature"] = temperature
        return other

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
        self._answered = False
        if self.endpoint.withheld:
            tell(
                f"kie-hvqa: {KEY} is not sent to {self.endpoint.url.host}: that is plain http (--key-over-http sends it all the same)"
            )
        async with self.endpoint.client(self.concurrency) as client:
            await self.endpoint.knock(client)
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
                            f"{self.endpoint.url} has not answered the last {unanswered} rows ({answer.error}). "
                            "What was read is kept: run the same command again when it is back."
                        )
            finally:
                for each in running:
                    each.cancel()
                await asyncio.gather(*running, return_exceptions=True)

    async def _answer(self, client: httpx2.AsyncClient, task: Task) -> tuple[Answer, bool]:
        """The answer about ``task``, and whether a server was there to be asked."""
        name = task.row.id
        try:
            page = await asyncio.to_thread(self._page, task.image, self.max_pixels)
        except OSError as error:
            if is_exhausted(error):
                raise exhausted(error) from None
            return not_shown(name, error), True
        except (InputError, SyntaxError, ValueError) as error:
            return not_shown(name, error), True
        try:
            if self.samples == 1:
                found = await self._complete(client, task.row, page)
                said = token_signals(found.text, found.pieces) if found.pieces else None
                return Answer(name, found.text, found.confidence, cut=found.cut, signals=said), True
            drawn = [await self._complete(client, task.row, page, seed) for seed in range(self.samples)]
            one = agreed(name, [found.text for found in drawn])
            return replace(one, cut=any(found.cut for found in drawn)), True
        except RequestError as error:
            if (end := self._end(error)) is not None:
                raise end from None
            return Answer(name, "", error=self.endpoint.told(error.what)), error.status is not None

    async def _complete(self, client: httpx2.AsyncClient, row: Row, page: str, seed: int | None = None) -> Completion:
        """One completion. What the server does not know is left out, for good if the request works without it."""
        text = messages(row, self.prompt)[0]["content"][1]["text"]
        content = [{"type": "image_url", "image_url": {"url": page}}, {"type": "text", "text": text}]
        asked = {"model": self.model, "messages": [{"role": "user", "content": content}]}
        options = dict(self._options)
        if seed is not None and not self._unseeded:
            options["seed"] = seed
        first: RequestError | None = None
        left: list[str] = []
        while True:
            try:
                found = await self.retrying.post(
                    client, self.endpoint.at("chat/completions"), {**asked, **options}, completion
                )
            except RequestError as error:
                first = first or error
                unknown = _unknown(options, error.body) if error.status in (400, 422) else None
                if unknown is None:
                    if error.status in (400, 422):
                        raise first from None
                    raise
                if unknown == "max_tokens":
                    options["max_completion_tokens"] = options[unknown]
                del options[unknown]
                left.append(unknown)
                continue
            for option in left:
                self._leave_out(option)
            self._answered = True
            return found

    def _leave_out(self, option: str) -> None:
        """From now on; options that another request left out meanwhile are gone already."""
        if option == "seed":
            self._unseeded = True
        elif option in self._options:
            value = self._options.pop(option)
            if option == "max_tokens":  # OpenAI's newer models call it so
                self._options["max_completion_tokens"] = value
            if option == "temperature":
                tell(f"kie-hvqa: {self.name} takes no temperature: {value:g} was left out, and it draws as it likes")

    def _end(self, error: RequestError) -> InputError | WorkError | None:
        """What ends the run because every other row would fail likewise; None for what is this row's."""
        url = str(self.endpoint.url)
        if error.__cause__ is not None and (trouble := self.endpoint.trouble(error.__cause__)) is not None:
            return trouble
        if error.status == 401 or (error.status == 403 and not self._answered):
            return self.endpoint.refused(error.what)
        if error.status == 404:
            remedy = f"Check the model's name ({self.model}) and the URL (for most servers it ends in /v1)."
            return InputError(self.endpoint.told(error.what), field=url, remedy=remedy)
        if error.page and not self._answered:
            remedy = "Mend the URL (for most servers it ends in /v1)."
            return InputError(self.endpoint.told(error.what), field=url, remedy=remedy)
        if "insufficient_quota" in error.body:
            return InputError(self.endpoint.told(error.what), field=url, remedy="The account has no quota left.")
        return None


def _unknown(options: dict[str, Any], body: str) -> str | None:
    """The option of a request that the server's complaint names, as a word of its own; None where it names none."""
    complaint = blamed(body)
    if "max_tokens" in options and re.search(r"\bmax_completion_tokens\b", complaint):
        return "max_tokens"
    return next((key for key in _OPTIONAL if key in options and re.search(rf"\b{key}\b", complaint)), None)


def data_url(image: Path, max_pixels: int) -> str:
    """The image as a data URL: the file's bytes, or a PNG where it is too large or not what every server takes.

    Nothing but the picture leaves: EXIF, comments and the like stay here.
    """
    from PIL import Image

    size = image_size(image)  # upright: some servers turn an image as its EXIF says, and some do not
    with Image.open(image) as opened:
        opened.load()  # a PNG may say more behind its pixels
        plain = opened.mode in ("RGB", "L") and opened.info.keys() <= _OF_THE_PICTURE
        kind = opened.format
    small = bounded_size(*size, max_pixels) == size
    if small and plain and kind in ("PNG", "JPEG"):
        data = image.read_bytes()
    else:
        kind, buffer = "PNG", io.BytesIO()
        bounded(open_image(image), max_pixels).save(buffer, "PNG", icc_profile=None)
        data = buffer.getvalue()
    return f"data:image/{kind.lower()};base64,{base64.b64encode(data).decode('ascii')}"


async def _next(answers: AsyncIterator[Answer]) -> Answer | None:
    return await anext(answers, None)
