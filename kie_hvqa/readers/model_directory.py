"""What a checkpoint directory says about itself, read without torch: how it must be shown pages, and which weights it holds."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from kie_hvqa.answer import ANSWER_FORMAT
from kie_hvqa.checkpoint import CONTRACT_FILE, ReadingContract, check_contract, read_contract
from kie_hvqa.errors import InputError
from kie_hvqa.files import read_json, sha256
from kie_hvqa.prompt import PROMPTS

_HASHED = (".json", ".jinja", ".txt", ".model", ".safetensors", ".bin")
_LARGE = 512 << 20  # bytes: hashing more than this costs more than a look at the file's state is worth
_QWEN_PIXELS = (56 * 56, 28 * 28 * 1280)  # the model card's own bounds, where a processor states none


def agreed_contract(
    directory: Path, *, prompt: str | None = None, min_pixels: int | None = None, max_pixels: int | None = None
) -> ReadingContract:
    """The contract under which ``directory`` is read; the arguments are what the user asked for, None where nothing.

    With a ``reading.json`` the arguments, the processor's patch geometry, today's prompt text and today's answer
    format must all agree with it: InputError naming the key. Without one, the arguments fill in what the
    processor leaves open.
    """
    if not (directory / "config.json").is_file():
        raise InputError(
            "there is no config.json, so this is not a model directory",
            file=directory,
            remedy="Name the directory that save_pretrained wrote.",
        )
    geometry = _image_processor(directory)
    found = read_contract(directory)
    if found is None:
        low, high = _pixels(geometry)
        return ReadingContract.current(
            min_pixels=low if min_pixels is None else min_pixels,
            max_pixels=high if max_pixels is None else max_pixels,
            patch_size=int(geometry.get("patch_size", 14)),
            merge_size=int(geometry.get("merge_size", 2)),
            prompt=prompt or "official",
        )
    asked = prompt or found.prompt
    if asked not in PROMPTS and prompt is None:
        raise InputError(
            f"the model was made with the prompt `{asked}`, which this version does not have",
            file=directory / CONTRACT_FILE,
            field="prompt",
            remedy=f"Use a model made with {' or '.join(sorted(PROMPTS))}, or the version that made this one.",
        )
    expected = ReadingContract.current(
        min_pixels=found.min_pixels if min_pixels is None else min_pixels,
        max_pixels=found.max_pixels if max_pixels is None else max_pixels,
        patch_size=int(geometry.get("patch_size", found.patch_size)),
        merge_size=int(geometry.get("merge_size", found.merge_size)),
        prompt=asked,
    )
    check_contract(expected, found, directory)
    return found


def fingerprint(directory: Path) -> dict[str, str]:
    """File name → SHA-256 of everything in ``directory`` that decides an answer.

    Files above 512 MiB count by size and modification time: the weights of a large model would take
    minutes to hash at every start.
    """
    hashes = {}
    for path in sorted(directory.iterdir()):
        if path.suffix not in _HASHED or not path.is_file():
            continue
        state = path.stat()
        hashes[path.name] = sha256(path) if state.st_size <= _LARGE else f"{state.st_size}:{state.st_mtime_ns}"
    return hashes


def digest(directory: Path) -> str:
    """One SHA-256 over ``fingerprint`` and the answer format."""
    text = "\n".join([ANSWER_FORMAT, *(f"{name} {value}" for name, value in fingerprint(directory).items())])
    return hashlib.sha256(text.encode()).hexdigest()


def _image_processor(directory: Path) -> dict[str, Any]:
    """The image processor's settings: a file of their own up to transformers 4, a part of another since 5."""
    for name, part in (("processor_config.json", "image_processor"), ("preprocessor_config.json", None)):
        path = directory / name
        if not path.is_file():
            continue
        settings = read_json(path)
        if part is not None:
            settings = settings.get(part) if isinstance(settings, dict) else None
        if isinstance(settings, dict):
            return settings
    raise InputError(
        "there is no image processor in it (processor_config.json or preprocessor_config.json)",
        file=directory,
        remedy="Save the processor beside the model: processor.save_pretrained(directory).",
    )


def _pixels(geometry: dict[str, Any]) -> tuple[int, int]:
    size = geometry.get("size") or {}
    low = geometry.get("min_pixels") or size.get("shortest_edge") or _QWEN_PIXELS[0]
    high = geometry.get("max_pixels") or size.get("longest_edge") or _QWEN_PIXELS[1]
    return int(low), int(high)
