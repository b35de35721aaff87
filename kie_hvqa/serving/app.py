"""``kie-hvqa serve``: a checkpoint behind OpenAI's chat completions, on loopback.

transformers' own server (``transformers serve``) reads the request, templates it, generates on one thread and answers,
streaming or not. What it lacks for a reader that is to be measured is added here, and nothing else:

* the checkpoint is opened as ``eval`` opens it (embedded reader, adapters, hub ids, dtype), and no other one can be asked for;
* images come under the checkpoint's pixel budget, by the same code as in training and evaluation;
* image and other control tokens can be neither written nor smuggled in with a question;
* the text is answered as it was written, its white space and its thinking included (a stream is as transformers cuts it);
* ``logprobs`` are answered (of the token written, without alternatives), and ``temperature`` 0 is greedy whatever the
  checkpoint's generation settings say;
* images are taken as data URLs only: a server must not fetch addresses or open files that a request names;
* a request that makes no sense is answered 400 with a reason, another model's name 404, in OpenAI's own form.

    kie-hvqa serve embedded --port 8000
    kie-hvqa eval --data DIR --reader openai:embedded@http://127.0.0.1:8000/v1 --prompt question --out OUT

Needs ``pip install 'kie-hvqa[serve]'``.
"""

from __future__ import annotations

import base64
import binascii
import importlib.util
import io
import json
import socket
import uuid
from collections.abc import Collection, Mapping
from typing import Any

from kie_hvqa.errors import InputError, WorkError
from kie_hvqa.readers.transformers_reader import Loaded, TransformersReader

LARGEST_REQUEST = 64 << 20  # bytes
_NEEDED = ("fastapi", "uvicorn", "openai")


def serve(reader: TransformersReader, name: str, *, host: str = "127.0.0.1", port: int = 8000) -> None:
    """Serve ``reader``'s model as ``name`` until interrupted. ``port`` 0 takes a free one; the URL is printed once it is
    open. InputError where the packages or the model are missing, WorkError for a port that cannot be had.
    """
    missing = [package for package in _NEEDED if importlib.util.find_spec(package) is None]
    if missing:
        raise InputError(
            f"serving needs {', '.join(missing)}", field="serve", remedy="Install it: `pip install 'kie-hvqa[serve]'`"
        )
    with _bound(host, port) as listener:
        _quiet()
        loaded = reader.loaded()
        import uvicorn

        config = uvicorn.Config(build_app(reader, loaded, name), log_level="warning", lifespan="off")
        server = uvicorn.Server(config)
        host, port = listener.getsockname()[:2]
        listener.listen()  # from here on nobody is refused
        place = f"[{host}]" if ":" in host else host
        print(f"serving {name} at http://{place}:{port}/v1", flush=True)
        server.run(sockets=[listener])


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise WorkError(f"cannot listen on {host}:{port} ({reason}); name another with --port") from None
    return listener


def build_app(reader: TransformersReader, loaded: Loaded, name: str) -> Any:
    """The application (ASGI): chat completions, the list of the one model, and health."""
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    handler = _handler(reader, loaded, name)

    def refusal(status: int, message: str, code: str) -> JSONResponse:
        return JSONResponse({"error": {"message": message, "type": "invalid_request_error", "code": code}}, status)

    async def health(request: Any) -> JSONResponse:
        return JSONResponse({"status": "ok"})

    async def models(request: Any) -> JSONResponse:
        model = {"id": name, "object": "model", "created": 0, "owned_by": "kie-hvqa"}
        return JSONResponse({"object": "list", "data": [model]})

    async def chat_completions(request: Any) -> Any:
        try:
            body = await _request_body(request)
            asked = body.get("model")
            if asked != name:
                return refusal(404, f"the model {asked!r} is not served here, {name!r} is", "model_not_found")
            return await handler.handle_request(body, str(uuid.uuid4()))
        except BadRequest as error:
            return refusal(400, str(error), "bad_request")
        except HTTPException as error:  # how transformers refuses a field that it does not know
            return refusal(error.status_code, str(error.detail), "refused")

    return Starlette(
        routes=[
            Route("/health", health),
            Route("/v1/models", models),
            Route("/v1/chat/completions", chat_completions, methods=["POST"]),
        ]
    )


class BadRequest(ValueError):
    """A request that makes no sense; the message says which part."""


async def _request_body(request: Any) -> dict[str, Any]:
    if int(request.headers.get("content-length") or 0) > LARGEST_REQUEST:
        raise BadRequest(f"the request is larger than {LARGEST_REQUEST >> 20} MB")
    try:
        body = json.loads(await request.body())
    except (ValueError, RecursionError):
        raise BadRequest("the body is not JSON") from None
    if not isinstance(body, dict):
        raise BadRequest("the body is no JSON object")
    return body


def check_messages(messages: Any) -> None:
    """BadRequest unless ``messages`` are turns of text and images given as data URLs."""
    if not isinstance(messages, list) or not messages:
        raise BadRequest("messages: a list of turns is needed")
    for turn in messages:
        if not isinstance(turn, Mapping) or not isinstance(turn.get("role"), str):
            raise BadRequest("messages: a turn has a role and a content")
        content = turn.get("content")
        if isinstance(content, str):
            continue
        if not isinstance(content, list):
            raise BadRequest("messages: a content is text or a list of parts")
        for part in content:
            kind = part.get("type") if isinstance(part, Mapping) else None
            if kind == "text" and isinstance(part.get("text"), str):
                continue
            if kind != "image_url":
                raise BadRequest(f"messages: a part is text or image_url, not {kind!r}")
            url = part.get("image_url")
            url = url.get("url") if isinstance(url, Mapping) else url
            if not isinstance(url, str) or not url.startswith("data:image/"):
                raise BadRequest("messages: an image is a data URL (data:image/png;base64,…)")


def decoded(url: str) -> Any:
    """The image in a base64 data URL, RGB. BadRequest for one that cannot be decoded."""
    from kie_hvqa.data.pixels import open_image

    head, _, data = url.partition(",")
    try:
        if not head.endswith(";base64"):
            raise BadRequest("messages: an image's data URL must be base64")
        return open_image(io.BytesIO(base64.b64decode(data, validate=True)))
    except binascii.Error:
        raise BadRequest("messages: an image's data URL is no base64") from None
    except InputError as error:
        raise BadRequest(f"messages: {error.what}") from None


def _handler(reader: TransformersReader, loaded: Loaded, name: str) -> Any:
    """transformers' chat handler over the one model."""
    from transformers import GenerationConfig
    from transformers.cli.serving.chat_completion import ChatCompletionHandler
    from transformers.cli.serving.model_manager import ModelManager
    from transformers.cli.serving.utils import GenerationState

    tokenizer = loaded.processor.tokenizer

    class Handler(ChatCompletionHandler):
        def __init__(self, **parts: Any) -> None:
            super().__init__(**parts)
            self.asked_for_logprobs: set[str] = set()

        def _resolve_model(self, body: dict[str, Any]) -> tuple[str, Any, Any]:
            return name, loaded.model, loaded.processor

        async def handle_request(self, body: dict[str, Any], request_id: str) -> Any:
            check_messages(body.get("messages"))
            self._check(body)
            if body.get("logprobs") and not body.get("stream"):
                self.asked_for_logprobs.add(request_id)
            try:
                return await super().handle_request(body, request_id)
            finally:
                self.asked_for_logprobs.discard(request_id)

        def _check(self, body: Mapping[str, Any]) -> None:
            for key in ("max_tokens", "max_completion_tokens"):
                value = body.get(key)
                if value is not None and (type(value) is not int or value < 1):
                    raise BadRequest(f"{key} must be a whole number above 0")
            temperature = body.get("temperature")
            if temperature is not None and (type(temperature) not in (int, float) or not 0 <= temperature <= 2):
                raise BadRequest("temperature must lie between 0 and 2")
            if "generation_config" in body:
                raise BadRequest("generation_config is the server's own business")
            for turn in body["messages"]:
                parts = turn["content"] if isinstance(turn["content"], list) else [{"text": turn["content"]}]
                for part in parts:
                    held = [token for token in tokenizer.all_special_tokens if token in part.get("text", "")]
                    if held:
                        raise BadRequest(f"messages: the text holds the model's own token {held[0]!r}")

        def _build_generation_config(self, body: Mapping[str, Any], own: Any, use_cb: bool = False) -> Any:
            config: GenerationConfig = super()._build_generation_config(body, own, use_cb=use_cb)
            config.do_sample = bool(config.do_sample if body.get("temperature") is None else body["temperature"])
            config.suppress_tokens = loaded.suppressed or None
            return config

        def get_processor_inputs_from_messages(self, messages: list[dict[str, Any]], modality: Any) -> Any:
            turns = super().get_processor_inputs_from_messages(messages, modality)
            for turn in turns:
                for part in turn["content"]:
                    if part["type"] == "image":
                        part["image"] = self._page(part.pop("url"))
            return turns

        def _page(self, url: str) -> Any:
            try:
                return reader.shown(decoded(url))
            except InputError as error:
                raise BadRequest(f"messages: {error.what}") from None

        async def _non_streaming(self, request_id: str, *parts: Any, **named: Any) -> Any:
            recorder = _Recorder(named["gen_manager"])
            if request_id in self.asked_for_logprobs:
                # parts: model, processor, model id, inputs, generation configuration
                parts[3]["logits_processor"] = [recorder]
            response = await super()._non_streaming(request_id, *parts, **{**named, "gen_manager": recorder})
            return _verbatim(response, recorder, loaded)

    manager = ModelManager(device=str(loaded.model.device))  # it loads nothing: the model is there
    return Handler(model_manager=manager, generation_state=GenerationState())


class _Recorder:
    """Stands before the generation manager, and among its logits processors where log-probabilities are asked for.

    It keeps the text, the tokens and their log-probabilities. A token is known one step after its scores, so one row of them is held, never all. Temperature comes later: these are
    the model's own probabilities.
    """

    def __init__(self, manager: Any) -> None:
        self._manager = manager
        self.text = ""
        self._last: Any = None
        self._values: list[float] = []
        self._tokens: list[int] = []

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        self._keep(int(input_ids[0, -1]))
        self._last = scores[0].float().log_softmax(-1)
        return scores

    def _keep(self, token: int) -> None:
        if self._last is not None:
            self._values.append(float(self._last[token]))

    async def generate_non_streaming(self, *parts: Any, **named: Any) -> Any:
        self.text, length, generated = await self._manager.generate_non_streaming(*parts, **named)
        self._tokens = [int(token) for token in generated]
        if self._tokens:
            self._keep(self._tokens[-1])
        return self.text, length, generated

    def written(self, ends: Collection[int]) -> list[tuple[int, float]] | None:
        """(token id, log-probability) of the answer, without the token that ends it; None where nobody asked."""
        if self._last is None:
            return None
        pairs = list(zip(self._tokens, self._values, strict=True))
        return pairs[:-1] if pairs and pairs[-1][0] in ends else pairs


def _verbatim(response: Any, recorder: _Recorder, loaded: Loaded) -> Any:
    """transformers' response with the text as the model wrote it, and the log-probabilities if they were asked for."""
    from starlette.responses import JSONResponse

    data = json.loads(response.body)
    choice = data["choices"][0]
    choice["message"] = {"role": "assistant", "content": recorder.text}
    written = recorder.written(loaded.ends)
    if written is not None:
        choice["logprobs"] = {"content": [_token(loaded, token, value) for token, value in written]}
    return JSONResponse(data)


def _token(loaded: Loaded, token: int, value: float) -> dict[str, Any]:
    text = loaded.processor.tokenizer.decode([token])
    return {"token": text, "logprob": value, "bytes": list(text.encode("utf-8", "replace")), "top_logprobs": []}


def _quiet() -> None:
    """Advice and a line a request from the libraries below are no business of a server's standard error."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
