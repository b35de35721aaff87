"""What the check runs (configs/gpu_check): models by their sizes, and parts that are recipes with a few keys changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field

from degradations.config import SimulateConfig
from kie_hvqa.config import Config, load

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = {name: ROOT / "configs" / "gpu_check" / f"{name}.yaml" for name in ("full", "small", "thin")}


class Shape(Config):
    """A Qwen2.5-VL's sizes, as its config.json says them, and its pixel budget."""

    text: dict[str, Any]
    vision: dict[str, Any]
    tied: bool
    pixels: tuple[int, int] = Field(strict=False)


class Pages(Config):
    """Pages to train on: a recipe of configs/simulate and what of it is changed."""

    simulate: str
    changes: dict[str, Any] = {}


class Part(Config):
    """One part: ``steps`` compares trainers, ``vllm`` takes ``steps`` with rollouts by vLLM, ``demo`` trains the embedded reader."""

    kind: Literal["steps", "demo", "vllm"]
    share: float = Field(gt=0, le=1)
    """Of the minutes."""
    stage: Literal["sft", "grpo"] = "grpo"
    model: str = ""
    recipe: str = ""
    steps: int = Field(default=4, ge=2)
    """Of each trainer; the first is warm-up."""
    changes: dict[str, Any] = {}
    pages: dict[str, Any] = {}
    limit: int = Field(default=0, ge=0)


class Setting(Config):
    pages: Pages
    changes: dict[str, Any]
    models: dict[str, Shape]
    parts: dict[str, Part]


def setting_of(name: str) -> Setting:
    return load(SETTINGS[name], Setting)


def page_recipe(pages: Pages, **more: Any) -> SimulateConfig:
    """The recipe of ``pages`` with its changes and ``more``."""
    changes = [f"{key}={json.dumps(value)}" for key, value in {**pages.changes, **more}.items()]
    return load(ROOT / pages.simulate, SimulateConfig, changes)


def write_recipe(setting: Setting, name: str, out: Path) -> Path:
    """The recipe of part ``name``, ``out``/recipes/NAME.yaml: the shipped one as its base, and what is changed."""
    part = setting.parts[name]
    low, high = setting.models[part.model].pixels
    changes = _merged(setting.changes, part.changes) | {
        "base": str(ROOT / part.recipe),
        "model": str(out / "models" / part.model),
        "output_dir": str(out / "runs" / name),
        "min_pixels": low,
        "max_pixels": high,
    }
    changes["data"] = {**changes["data"], "path": str(out / "pages"), "simulate": None}
    changes["training"] = {**changes["training"], "max_steps": part.steps}
    file = out / "recipes" / f"{name}.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(changes, sort_keys=False), encoding="utf-8")
    return file


def _merged(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if both else value
    return merged
