"""A random tiny model of the real classes and a small simulated dataset, made once for every test of the training room."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Small:
    """``model``: two layers a tower. ``data``: 24 questions about six licences, every one in split ``train``."""

    model: Path
    data: Path

    def recipe(self, path: Path, text: str = "", training: str = "") -> Path:
        """Write a recipe for these two to ``path``; ``training`` holds more keys for the trainer."""
        path.write_text(
            f"model: {self.model}\ndata: {{path: {self.data}}}\noutput_dir: {path.parent / 'out'}\ndtype: float32\n{text}\n"
            f"training: {{max_steps: 2, learning_rate: 1.0e-3, logging_steps: 1, save_strategy: 'no', {training}}}\n",
            encoding="utf-8",
        )
        return path


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    from degradations.simulate import SimulateConfig, write_dataset
    from kie_hvqa.answers.prompt import question
    from kie_hvqa.config import load
    from kie_hvqa.data.dataset import load_rows
    from rl.tiny.build import TinyArchitecture, build_config, build_model, build_processor, save_model

    home = tmp_path_factory.mktemp("small")
    overrides = ["count=6", "questions_per_document=4", "splits={train: 1.0}", "templates={us_licence: 1}"]
    config = load(
        ROOT / "configs" / "simulate" / "tiny.yaml",
        SimulateConfig,
        [*overrides, "absent_beside={}", "held_out_operators={}"],
    )
    write_dataset(config, home / "data")

    architecture = TinyArchitecture(
        vision_depth=2,
        vision_hidden=64,
        text_layers=2,
        text_hidden=96,
        text_heads=3,
        text_kv_heads=1,
        max_pixels=112 * 112,
    )
    processor = build_processor(architecture, {question(row) for row in load_rows(home / "data")})
    save_model(build_model(build_config(architecture, processor), seed=0), processor, architecture, home / "model")
    return Small(home / "model", home / "data")
