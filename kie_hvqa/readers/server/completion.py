"""What a chat completion says: its text, how sure the server was, whether it was cut off, and errors that look like one.

Servers in front of other servers answer 200 and put what went wrong beside the choices, or into one.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

from kie_hvqa.answers.answer import BOX_GLYPHS, MARK
from kie_hvqa.confidence.signals.tokens import Piece, whole_characters
from kie_hvqa.readers.server.exchange import RequestError, is_passing, message_in


@dataclass(frozen=True, slots=True)
class Completion:
    """The text, the mean log-probability of its tokens (None: not given), whether the token limit cut it off, and its tokens."""

    text: str
    confidence: float | None
    cut: bool
    pieces: tuple[Piece, ...] = ()


def completion(data: dict[str, Any]) -> Completion:
    """The completion in the server's object. RequestError for an object that is none, and for an error inside."""
    _raise_error(data.get("error"))
    try:
        choice = data["choices"][0]
        message = choice["message"]
        _raise_error(choice.get("error"))
        finished = choice.get("finish_reason")
        text = message.get("content")
        if isinstance(text, list):  # some servers answer in parts, as they are asked
            text = "".join(part.get("text", "") for part in text)
        reasoned = bool(message.get("reasoning_content") or message.get("reasoning"))
        text = text if text is not None else message.get("refusal") or ""
        if not isinstance(text, str):
            raise TypeError
    except (KeyError, IndexError, TypeError, AttributeError):
        what = message_in(json.dumps(data).encode())
        raise RequestError(f"the response is no chat completion ({what})", again=False, status=200) from None
    if finished == "error":
        raise RequestError("the server broke off (finish_reason: error)", again=True, status=200)
    cut = finished == "length"
    if reasoned and not text.strip():
        why = "its reasoning took all tokens, raise --max-new-tokens" if cut else "it wrote reasoning and no answer"
        raise RequestError(why, again=False, status=200)
    logprobs = choice.get("logprobs")
    return Completion(text, _mean_log_probability(logprobs), cut, _pieces(logprobs))


def _raise_error(error: Any) -> None:
    """RequestError where ``error`` says something; worth another attempt where its code would be, as a status."""
    if not error:
        return
    code = error.get("code", error.get("status")) if isinstance(error, dict) else None
    code = (
        int(code) if isinstance(code, int) or (isinstance(code, str) and code.isdecimal() and len(code) == 3) else None
    )
    body = json.dumps({"error": error})
    what = f"the server answered an error{'' if code is None else f' {code}'}: {message_in(body.encode())}"
    raise RequestError(what, again=code is not None and is_passing(code), status=200, body=body)


def _mean_log_probability(logprobs: Any) -> float | None:
    try:
        values = [float(token["logprob"]) for token in logprobs["content"]]
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    mean = math.fsum(values) / len(values) if values and all(map(math.isfinite, values)) else math.nan
    return round(mean, 6) if math.isfinite(mean) else None


_MARKS = frozenset(MARK + BOX_GLYPHS)


def _pieces(logprobs: Any) -> tuple[Piece, ...]:
    """The tokens with what stood beside each; none where the server does not give them, or not as OpenAI does."""
    try:
        return tuple(whole_characters((_bytes(token), _piece(token)) for token in logprobs["content"]))
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError):
        return ()


def _bytes(token: dict[str, Any]) -> bytes:
    data = token.get("bytes")
    return bytes(data) if isinstance(data, list) else str(token["token"]).encode("utf-8", "surrogatepass")


def _piece(token: dict[str, Any]) -> Piece:
    """Its text is that of its bytes. Of the alternatives a server lists only the likeliest: marks beyond them count as none."""
    others = [other for other in token.get("top_logprobs") or [] if other["token"] != token["token"]]
    if not others:
        return Piece("", float(token["logprob"]))
    marks = [other for other in others if other["token"] and _MARKS.issuperset(other["token"])]
    return Piece(
        "",
        float(token["logprob"]),
        min(1.0, math.fsum(math.exp(float(mark["logprob"])) for mark in marks)),
        max(math.exp(float(other["logprob"])) for other in others),
    )
