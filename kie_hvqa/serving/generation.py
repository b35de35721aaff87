"""The model's side of the server: one thread, one answer at a time, any of which can be broken off between two tokens.

A question with one image takes ``model_inputs``, as ``eval`` does, and so gets the very same answer; what has no image or
several goes through the model's processor. What the model cannot take is refused before the model runs.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kie_hvqa.readers.model_inputs import Encoded, control_token, encode, model_inputs
from kie_hvqa.readers.transformers_reader import Loaded, TransformersReader
from kie_hvqa.serving.chat_request import BadRequest, ChatRequest
from kie_hvqa.serving.turns import Turns

if TYPE_CHECKING:
    from PIL.Image import Image

    from kie_hvqa.confidence.symbols import SymbolConfidence
    from kie_hvqa.data.ledger import Box
    from kie_hvqa.serving.writing import Token, Writing

COLDEST = 1e-4  # a lower temperature is greedy decoding to the last bit, and would overflow


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of an answer's text, and the tokens that begin in it."""

    text: str
    tokens: Sequence[Token]


@dataclass(frozen=True, slots=True)
class End:
    """How an answer ended: ``reason`` is OpenAI's ``finish_reason``; both counts are tokens."""

    reason: str
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Failed:
    """An answer that there will not be; ``error`` says why."""

    error: Exception


Event = Piece | End | Failed


class OutOfMemory(Exception):
    """The device has no room for this request."""


class Ending(Exception):
    """The server ends."""


@dataclass(eq=False)
class Job:
    """A request on its way. ``tell`` is called from the generating thread; ``gone`` ends it, before its turn or within."""

    client: str
    request: ChatRequest
    images: Sequence[Image]
    tell: Callable[[Event], None]
    gone: threading.Event = field(default_factory=threading.Event)


class Generation:
    """Answers jobs with the model of ``reader``; ``start`` once, then ``put``."""

    def __init__(self, reader: TransformersReader, loaded: Loaded) -> None:
        self._reader, self._loaded = reader, loaded
        self._turns: Turns[Job] = Turns()
        self._alive: set[Job] = set()
        self._ending = False
        self._last: tuple[Any, Encoded | None] | None = (
            None  # the page that was asked about last, and what the tower made of it
        )
        self.context = context_of(loaded.model)

    @property
    def prompt(self) -> str:
        """The name of the prompt that the model was taught with."""
        return self._reader.prompt

    @property
    def most_tokens(self) -> int:
        """The longest answer of one field."""
        return self._reader.max_new_tokens

    def start(self) -> None:
        # A daemon: a long forward pass must not keep the process from ending.
        threading.Thread(target=self._run, name="generation", daemon=True).start()

    def put(self, job: Job) -> None:
        """Answer ``job`` when its turn comes."""
        self._alive.add(job)
        if self._ending:
            job.tell(Failed(Ending()))
        else:
            self._turns.put(job.client, job)

    def leave(self, job: Job) -> None:
        """Nobody waits for ``job`` any more: it is not begun, or ends at its next token."""
        job.gone.set()
        self._alive.discard(job)
        self._turns.drop(job.client, job)

    def end(self) -> None:
        """Break off everything; whoever waits is told. Takes no lock: a signal's handler may call it."""
        self._ending = True
        for job in tuple(self._alive):
            job.gone.set()
            job.tell(Failed(Ending()))

    def text(self, token: int) -> str:
        """What a token says on its own."""
        return str(self._loaded.processor.tokenizer.decode([token]))

    def where(self, text: str, page: tuple[int, int]) -> Box | None:
        """Where the answer ``text`` says that it read, in pixels of a ``page`` (width, height)."""
        return self._reader.where(text, page)

    def signals(self, text: str, tokens: Sequence[Token]) -> dict[str, SymbolConfidence] | None:
        """What ``tokens``, which wrote ``text``, say of its symbols: the reader's own signals. None where it cannot be parsed."""
        from kie_hvqa.readers.decoding import signals_of_tokens

        said = [(token.logprob, token.marks, token.rival) for token in tokens]
        return signals_of_tokens(self._loaded.processor.tokenizer, text, [token.id for token in tokens], said)

    def _run(self) -> None:
        while True:
            job = self._turns.take()
            if job.gone.is_set():
                continue
            try:
                job.tell(self._answer(job))
            except (BadRequest, OutOfMemory) as error:
                job.tell(Failed(error))
            except Exception as error:  # a fault of ours: it is shown, and the thread outlives it
                traceback.print_exc()
                job.tell(Failed(error))

    def _answer(self, job: Job) -> End:
        import torch

        model, request = self._loaded.model, job.request
        try:
            with torch.inference_mode():
                inputs = self._inputs(request, job.images)
                length = int(inputs["input_ids"].shape[1])
                room = self._room(length)
                most = min(request.most_tokens or self._reader.max_new_tokens, room)
                writing = self._writing(job)
                model.generate(
                    **inputs,
                    max_new_tokens=most,
                    do_sample=False,
                    num_beams=1,
                    # The checkpoint's own sampling settings mean nothing here and would only warn.
                    temperature=None,
                    top_p=None,
                    top_k=None,
                    repetition_penalty=1.0,
                    suppress_tokens=self._loaded.suppressed or None,
                    logits_processor=[writing],
                    stopping_criteria=[_Until(lambda: writing.done or job.gone.is_set())],
                )
        except torch.OutOfMemoryError as error:
            raise OutOfMemory(str(error).splitlines()[0]) from None
        writing.finish()
        return End("stop" if writing.done else "length", length, writing.count)

    def _inputs(self, request: ChatRequest, images: Sequence[Image]) -> dict[str, Any]:
        import jinja2

        model, processor = self._loaded.model, self._loaded.processor
        for text in request.texts():
            if (held := control_token(processor, text)) is not None:
                raise BadRequest(f"messages: the text holds the model's own token {held!r}")
        for token in request.biases:
            if token >= model.get_output_embeddings().weight.shape[0]:
                raise BadRequest(f"logit_bias: this model has no token {token}")
        budget = self._reader.budget
        if budget is not None:
            self._room(sum(image.width * image.height for image in images) // budget.factor**2)
        try:
            text = processor.apply_chat_template(request.turns(), tokenize=False, add_generation_prompt=True)
        except jinja2.TemplateError as error:
            raise BadRequest(f"messages: this model's template refuses them ({error})") from None
        self._room(len(processor.tokenizer(text)["input_ids"]))
        if len(images) == 1:
            return model_inputs(
                model, processor, [text], images, [0], resize=budget is None, encoded=self._encoded(images[0])
            )
        sizes = {} if budget is None else {"do_resize": False}
        found = processor(text=[text], images=list(images) or None, return_tensors="pt", **(sizes if images else {}))
        return dict(found.to(model.device))

    def _encoded(self, image: Image) -> Encoded | None:
        """``image`` through the vision tower: once for all questions about it that come one after the other."""
        key = image.size, hashlib.sha256(image.tobytes()).hexdigest()
        if self._last is None or self._last[0] != key:
            budget, loaded = self._reader.budget, self._loaded
            self._last = key, encode(loaded.model, loaded.processor, [image], resize=budget is None)
        return self._last[1]

    def _room(self, length: int) -> int:
        """How many tokens the context has left behind ``length``. BadRequest where it has none."""
        if length >= self.context:
            raise BadRequest(f"messages: {length} tokens and an answer do not fit a context of {self.context}")
        return self.context - length

    def _writing(self, job: Job) -> Writing:
        from kie_hvqa.readers.decoding import Sampler, seed_of
        from kie_hvqa.serving.writing import Writing

        request = job.request
        temperature, sampler = request.temperature or 0.0, None
        if temperature >= COLDEST:
            seed = secrets.randbits(63) if request.seed is None else seed_of("serve", request.seed)
            sampler = Sampler([seed], 1.0, self._loaded.model.device)
        return Writing(
            self._loaded.processor.tokenizer,
            self._loaded.ends,
            lambda text, tokens: job.tell(Piece(text, tokens)),
            stops=request.stops,
            biases=request.biases,
            temperature=temperature,
            top_p=request.top_p,
            sampler=sampler,
            marks=self._loaded.marks,
        )


class _Until:
    """A stopping criterion out of a question."""

    def __init__(self, over: Callable[[], bool]) -> None:
        self._over = over

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        import torch

        return torch.full((input_ids.shape[0],), self._over(), device=input_ids.device, dtype=torch.bool)


def context_of(model: Any) -> int:
    """The tokens that prompt and answer may have together, by the model's configuration."""
    config = model.config.get_text_config()
    return int(getattr(config, "max_position_embeddings", None) or 1 << 15)
