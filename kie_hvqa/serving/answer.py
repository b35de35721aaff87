"""OpenAI's objects for one answer, whole or as a stream."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

from kie_hvqa.serving.chat_request import ChatRequest
from kie_hvqa.serving.exchange import Exchange, Refusal
from kie_hvqa.serving.generation import End, Generation, Piece

if TYPE_CHECKING:
    from kie_hvqa.serving.writing import Token


class ChatAnswer:
    """OpenAI's objects for one answer."""

    def __init__(self, name: str, generation: Generation, asked: ChatRequest) -> None:
        self._generation, self._asked = generation, asked
        self._head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": name}

    def completion(self, pieces: Sequence[Piece], end: End) -> dict[str, Any]:
        message = {"role": "assistant", "content": "".join(piece.text for piece in pieces)}
        tokens = [token for piece in pieces for token in piece.tokens]
        choice = {"index": 0, "message": message, "finish_reason": end.reason, **self._logprobs(tokens)}
        return {**self._head, "object": "chat.completion", "choices": [choice], "usage": _usage(end)}

    async def chunks(self, first: Piece | End, exchange: Exchange) -> AsyncIterator[str]:
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
