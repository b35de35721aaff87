"""What a checkpoint says about itself, read without torch: how it must be shown pages, and what it must be told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kie_hvqa.answers.boxes import FAMILIES, Coordinates
from kie_hvqa.answers.prompt import PROMPTS
from kie_hvqa.data.files import read_json
from kie_hvqa.errors import InputError
from kie_hvqa.readers.checkpoint import CONTRACT_FILE, ReadingContract, check_contract, read_contract
from kie_hvqa.readers.model_source import ModelSource

_QWEN_PIXELS = (56 * 56, 28 * 28 * 1280)  # the model card's own bounds, where a processor states none


def agreed_contract(
    model: ModelSource | Path,
    *,
    prompt: str | None = None,
    min_pixels: int | None = None,
    max_pixels: int | None = None,
) -> ReadingContract:
    """The contract under which ``model`` (a Path: one directory with everything) is read; the arguments are what the user asked for, None where nothing.

    With a ``reading.json`` the arguments, the processor's patch geometry, today's prompt text and today's answer
    format must all agree with it: InputError naming the key. Without one, the arguments fill in what the
    processor leaves open.
    """
    source = ModelSource(model) if isinstance(model, Path) else model
    geometry = image_processor_settings(source)
    found = read_contract(source.contract)
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
            file=source.contract / CONTRACT_FILE,
            field="prompt",
            remedy=f"Use a model made with one of {', '.join(sorted(PROMPTS))}, or the version that made this one.",
        )
    expected = ReadingContract.current(
        min_pixels=found.min_pixels if min_pixels is None else min_pixels,
        max_pixels=found.max_pixels if max_pixels is None else max_pixels,
        patch_size=int(geometry.get("patch_size", found.patch_size)),
        merge_size=int(geometry.get("merge_size", found.merge_size)),
        prompt=asked,
    )
    check_contract(expected, found, source.contract)
    return found


def takes_any_size(source: ModelSource) -> bool:
    """Whether images become tokens in proportion to their size under a pixel budget, as Qwen's do.

    Other families resize every image to a size of their own.
    """
    return "merge_size" in image_processor_settings(source) or read_contract(source.contract) is not None


def coordinates_of(directory: Path) -> Coordinates | None:
    """What the four numbers of a box mean to the model in ``directory``; None for a family of which nobody here knows."""
    config = read_json(directory / "config.json")
    return FAMILIES.get(str(config.get("model_type"))) if isinstance(config, dict) else None


def image_processor_settings(source: ModelSource) -> dict[str, Any]:
    """The image processor's settings: a file of their own up to transformers 4, a part of another since 5.

    InputError for a directory that is no model, and for one without an image processor.
    """
    if not (source.model / "config.json").is_file():
        raise InputError(
            "there is no config.json, so this is not a model directory",
            file=source.model,
            remedy="Name the directory that save_pretrained wrote.",
        )
    for name, part in (("processor_config.json", "image_processor"), ("preprocessor_config.json", None)):
        path = source.processor / name
        if not path.is_file():
            continue
        settings = read_json(path)
        if part is not None:
            settings = settings.get(part) if isinstance(settings, dict) else None
        if isinstance(settings, dict):
            return settings
    raise InputError(
        "there is no image processor in it (processor_config.json or preprocessor_config.json)",
        file=source.processor,
        remedy="Save the processor beside the model: processor.save_pretrained(directory).",
    )


def _pixels(geometry: dict[str, Any]) -> tuple[int, int]:
    size = geometry.get("size")
    size = size if isinstance(size, dict) else {}  # a plain number: a family that resizes to it
    low = geometry.get("min_pixels") or size.get("shortest_edge") or _QWEN_PIXELS[0]
    high = geometry.get("max_pixels") or size.get("longest_edge") or _QWEN_PIXELS[1]
    return int(low), int(high)
