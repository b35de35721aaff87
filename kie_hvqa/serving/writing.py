"""An answer while it is written: text out of tokens, stop strings, log-probabilities. No model is needed to try it.

``Cutter`` decides what of a growing text may be shown: never a part of a stop string, never anything behind one.
``Writing`` is the logits processor that takes each token, and the text that came of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from tokenizers.decoders import DecodeStream
from transformers import LogitsProcessor, TopPLogitsWarper

from kie_hvqa.readers.decoding import Sampler

_NEVER = -9999.0  # as OpenAI says what cannot be said in JSON


class Cutter:
    """Passes a text on piece by piece, up to that of ``stops`` which is complete first: the same however the text is cut."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops
        self._held = max((len(stop) for stop in stops), default=1) - 1  # could be the beginning of one
        self._text = ""
        self.shown = 0
        """How many characters have been shown."""
        self.end: int | None = None
        """Where that stop string began, once there is one."""

    def add(self, piece: str) -> str:
        """What may be shown now that ``piece`` has come."""
        if self.end is not None:
            return ""
        before = max(0, len(self._text) - self._held)
        self._text += piece
        found = [(at + len(stop), at) for stop in self._stops if (at := self._text.find(stop, before)) >= 0]
        if found:
            self.end = min(found)[1]
        return self._show(len(self._text) - self._held if self.end is None else self.end)

    def rest(self) -> str:
        """What was held back, now that nothing more will come."""
        return self._show(len(self._text) if self.end is None else self.end)

    def _show(self, upto: int) -> str:
        piece = self._text[self.shown : max(upto, self.shown)]
        self.shown += len(piece)
        return piece


@dataclass(frozen=True, slots=True)
class Token:
    """A token of an answer, the log-probability that the model itself gave it, where in the text it begins, and the probabilities of
    all marks and of the likeliest other token in its place."""

    id: int
    logprob: float
    start: int
    marks: float = 0.0
    rival: float = 0.0


class Writing(LogitsProcessor):
    """Chooses each token of one answer, and keeps it.

    ``show`` gets every piece of text that may be shown, with the tokens that begin in it. ``biases``, ``temperature`` and
    ``top_p`` shape the distribution that ``sampler`` (of temperature 1) draws from; without one the likeliest token is taken.
    The log-probabilities are those before all of it. ``ends`` are the tokens that end an answer, ``marks`` those that are nothing but
    a mark.
    """

    def __init__(
        self,
        tokenizer: Any,
        ends: Collection[int],
        show: Callable[[str, Sequence[Token]], None],
        *,
        stops: Sequence[str] = (),
        biases: Mapping[int, float] | None = None,
        temperature: float = 1.0,
        top_p: float | None = None,
        sampler: Sampler | None = None,
        marks: Sequence[int] = (),
    ) -> None:
        self._tokenizer = tokenizer
        self._ends = ends
        self._marks = list(marks)
        self._show = show
        self._biases = biases or {}
        self._temperature = temperature
        self._top_p = TopPLogitsWarper(top_p) if top_p is not None else None
        self._sampler = sampler
        self._cutter = Cutter(stops)
        self._stream = DecodeStream(skip_special_tokens=True)
        self._length = 0
        self._said = 0
        self._tokens: list[Token] = []
        self.count = 0
        """Tokens so far, the end among them."""
        self.ended = False

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        wide = scores.float()
        shaped = wide
        if self._biases:
            shaped = wide.clone()
            shaped[:, list(self._biases)] += torch.tensor(list(self._biases.values()), device=wide.device)
        if self._sampler is not None:
            shaped = shaped / self._temperature
            if self._top_p is not None:
                shaped = self._top_p(input_ids, shaped)
            shaped = self._sampler(input_ids, shaped)
        token = int(shaped.argmax(-1))
        logs = wide[0] - wide[0].logsumexp(-1)
        logprob, (first, second) = float(logs[token]), logs.topk(2).values.exp().tolist()
        marks = float(logs[self._marks].exp().sum())
        rival = second if int(logs.argmax()) == token else first
        self._take(token, logprob if math.isfinite(logprob) else _NEVER, marks, rival)
        return shaped

    @property
    def done(self) -> bool:
        """Whether a stop string has come, or the end."""
        return self.ended or self._cutter.end is not None

    @property
    def tokens(self) -> list[Token]:
        """The answer's tokens, without its end and what lies behind a stop string."""
        end = self._cutter.end
        return [token for token in self._tokens if end is None or token.start < end]

    def finish(self) -> None:
        """Show what was held back, and half a character that never became whole as the tokenizer shows it."""
        whole = self._tokenizer.decode(
            [token.id for token in self._tokens], skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        piece = self._cutter.add(whole[self._length :]) + self._cutter.rest()
        self._pass_on(piece, all_of_them=True)

    def _take(self, token: int, logprob: float, marks: float, rival: float) -> None:
        self.count += 1
        if token in self._ends:
            self.ended = True
            return
        self._tokens.append(Token(token, logprob, self._length, marks, rival))
        backend = getattr(
            self._tokenizer, "backend_tokenizer", None
        )  # without one the text comes in one piece, at the end
        text = (self._stream.step(backend, token) or "") if backend is not None else ""
        self._length += len(text)
        self._pass_on(self._cutter.add(text))

    def _pass_on(self, piece: str, *, all_of_them: bool = False) -> None:
        kept = self.tokens
        begun = len(kept) if all_of_them else sum(token.start < self._cutter.shown for token in kept[self._said :])
        if piece or (all_of_them and begun > self._said):
            said, self._said = self._said, begun if all_of_them else self._said + begun
            self._show(piece, kept[said : self._said])
