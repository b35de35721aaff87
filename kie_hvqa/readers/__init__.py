"""Reader specs: the one string on the command line that says who reads.

``embedded``                         the tiny Qwen2.5-VL that ships with the project
``DIRECTORY``                        a local image-text-to-text checkpoint, with its reading.json if it has one
``ADAPTER_DIRECTORY``                a LoRA adapter over the base model that its adapter_config.json names
``OWNER/NAME[@REVISION]``            a model of the hub
``openai:MODEL@BASE_URL``            a server that speaks OpenAI's chat completions: vLLM, SGLang, llama.cpp, a vendor
``rapidocr[:min_confidence=0.5,…]``  the RapidOCR engine, told where the field lies
``tesseract[:min_confidence=0.5,…]`` the Tesseract engine, likewise

    reader = open_reader("runs/demo/grpo/model", batch_size=16)
    for answer in reader.read(tasks): ...

Opening a reader is cheap: weights are loaded with the first task, so a finished run can be looked at
without them.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from kie_hvqa.config import nearest
from kie_hvqa.data.files import sha256
from kie_hvqa.errors import InputError
from kie_hvqa.readers.base import Answer, Reader, Task, agreed, identity_of, told

__all__ = ["MODEL_OPTIONS", "Answer", "Reader", "Task", "agreed", "identity_of", "open_reader", "told"]

# What an engine takes after its colon, and the type of each value.
_ENGINE_OPTIONS: dict[str, dict[str, type]] = {
    "rapidocr": {"min_confidence": float, "flag_below": float, "threads": int},
    "tesseract": {
        "min_confidence": float,
        "flag_below": float,
        "psm": int,
        "language": str,
        "scale": float,
        "timeout": float,
    },
}
_CHECKPOINT_OPTIONS = {
    "batch_size",
    "device",
    "dtype",
    "max_new_tokens",
    "prompt",
    "min_pixels",
    "max_pixels",
    "samples",
    "temperature",
    "contrast",
}
_SERVER_OPTIONS = {
    "concurrency",
    "key_over_http",
    "timeout",
    "attempts",
    "max_new_tokens",
    "prompt",
    "max_pixels",
    "samples",
    "temperature",
    "margins",
}
MODEL_OPTIONS = sorted((_CHECKPOINT_OPTIONS | _SERVER_OPTIONS | {"signals"}) - {"contrast", "margins"})
"""Every option beside the spec that a user gives; ``contrast`` and ``margins`` follow from ``signals``."""


def open_reader(spec: str, **options: Any) -> Reader:
    """The reader that ``spec`` names. Options that are None count as not given.

    Checkpoints take ``batch_size``, ``device``, ``dtype``, ``max_new_tokens``, ``prompt``, ``min_pixels``, ``max_pixels``,
    ``samples`` and ``temperature``; servers the last six but ``min_pixels``, and ``concurrency``, ``timeout``,
    ``attempts`` and ``key_over_http``; engines take theirs in the spec. ``signals`` names those that take passes of their own (``readers.asked``); with
    them ``samples`` and ``temperature`` are of those passes. Raises InputError for a spec that names nothing and for an option
    that the reader does not have.
    """
    given = {key: value for key, value in options.items() if value is not None}
    if asked := given.pop("signals", ()):
        from kie_hvqa.readers.asked import with_signals

        return with_signals(lambda **own: open_reader(spec, **own), tuple(asked), given)
    kind, _, tail = spec.partition(":")
    if kind in _ENGINE_OPTIONS and not Path(spec).exists():
        # An engine reads page by page: a batch size is harmless, and scripts pass it to every reader.
        _refuse(given, {"batch_size"}, f"the {kind} reader has no such option", f"Write {_usage(kind)}.")
        return _engine(kind, _parse_options(kind, tail))
    if kind == "openai":
        _refuse(given, _SERVER_OPTIONS, "a reader behind a server has no such option", _listed(_SERVER_OPTIONS))
        from kie_hvqa.readers.openai_reader import OpenAIReader

        return OpenAIReader.of_spec(tail, **given)
    given.pop("margins", None)  # a checkpoint's come with every answer
    _refuse(given, _CHECKPOINT_OPTIONS, "a checkpoint has no such option", _listed(_CHECKPOINT_OPTIONS))
    from kie_hvqa.readers.model_source import ModelSource, is_hub_id, model_source
    from kie_hvqa.readers.transformers_reader import TransformersReader

    if Path(spec).is_dir():
        return TransformersReader(model_source(spec), name=str(Path(spec).resolve()), **given)
    if spec == "embedded":
        return TransformersReader(ModelSource(embedded_directory()), name=spec, **given)
    if is_hub_id(spec):
        return TransformersReader(model_source(spec), name=spec, **given)
    engines = ", ".join(map(_usage, _ENGINE_OPTIONS))
    raise InputError(
        "no such reader",
        field=spec,
        remedy=f"Name a checkpoint directory, a hub id, `embedded`, `openai:MODEL@http://HOST:PORT/v1`, {engines}.",
    )


def _engine(kind: str, options: Mapping[str, Any]) -> Reader:
    if kind == "tesseract":
        from kie_hvqa.readers.tesseract_reader import TesseractReader

        return TesseractReader(**options)
    from kie_hvqa.readers.rapidocr_reader import RapidOCRReader

    return RapidOCRReader(**options)


def _refuse(given: Mapping[str, Any], known: set[str], what: str, remedy: str) -> None:
    for key in given:
        if key not in known:
            raise InputError(what, field=key, remedy=remedy)


def _listed(options: set[str]) -> str:
    return f"It has {', '.join('--' + option.replace('_', '-') for option in sorted(options))}."


def embedded_directory() -> Path:
    """Where the shipped tiny reader lies, found without importing the trainers (and so without torch).

    Its weights are checked against the SHA-256 that was shipped with them: a half-fetched file would read, badly.
    """
    room = find_spec("rl")
    for place in (room.submodule_search_locations or []) if room else []:
        directory = Path(place) / "embedded"
        if (directory / "config.json").is_file():
            _check_weights(directory / "model.safetensors", directory / "model.safetensors.sha256")
            return directory
    raise InputError(
        "the embedded reader is not part of this installation",
        field="embedded",
        remedy="Train it with `make tiny-reader`, or name a checkpoint directory.",
    )


def _check_weights(weights: Path, checksum: Path) -> None:
    remedy = "Check the project out again, or train the reader anew with `make tiny-reader`."
    if not weights.is_file() or not checksum.is_file():
        raise InputError("the embedded reader is not whole", file=weights, remedy=remedy)
    if sha256(weights) != checksum.read_text(encoding="ascii").split()[0]:
        raise InputError("these are not the weights that were shipped", file=weights, remedy=remedy)


def _usage(engine: str) -> str:
    first = next(iter(_ENGINE_OPTIONS[engine]))
    return f"`{engine}` or `{engine}:{first}=0.5`"


def _parse_options(engine: str, tail: str) -> dict[str, Any]:
    known = _ENGINE_OPTIONS[engine]
    options: dict[str, Any] = {}
    for part in filter(None, tail.split(",")):
        key, equals, value = part.partition("=")
        if key not in known:
            raise InputError(
                f"the {engine} reader has no option {key!r}", field=f"{engine}:{tail}", remedy=nearest(key, known)
            )
        try:
            options[key] = known[key](value)
        except ValueError:
            raise InputError(
                f"{key} must be {known[key].__name__}, not {value!r}" if equals else f"{key} needs a value",
                field=f"{engine}:{tail}",
                remedy=f"Write {_usage(engine)}.",
            ) from None
    return options
