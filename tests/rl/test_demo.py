"""The demo's report: it is given what makes the damaged image of a rollout again."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from degradations.simulate import SimulateConfig, write_dataset
from kie_hvqa.config import load
from kie_hvqa.data.dataset import image_path, load_image, load_rows
from rl import demo


@pytest.fixture
def stages(monkeypatch) -> list[tuple[str, set[str]]]:
    """The demo without its work: which recipe each stage was told, and what over it."""
    told: list[tuple[str, set[str]]] = []
    stage = SimpleNamespace(run=lambda recipe, where: told.append((f"{recipe.parent.name}/{recipe.stem}", set(where))))
    for name in ("sft", "grpo"):
        monkeypatch.setitem(sys.modules, f"rl.{name}", stage)
        monkeypatch.setattr(f"rl.{name}", stage, raising=False)
    for name in ("write_dataset", "_copy_base", "_evaluate", "write_comparison", "write_report", "table"):
        monkeypatch.setattr(demo, name, lambda *_, **__: None)
    return told


@pytest.mark.parametrize(("long", "recipe", "learnt"), [(False, "tiny", "data"), (True, "tiny_long", "train")])
def test_the_long_one_learns_from_documents_of_its_own(stages, tmp_path, long, recipe, learnt):
    demo.run(tmp_path, long=long)
    assert [name for name, _ in stages] == [f"sft/{recipe}", f"grpo/{recipe}"]
    assert all(f"data.path={tmp_path / learnt}" in where for _, where in stages)


def test_nobody_of_the_test_split_is_in_the_long_ones_documents():
    judged, learnt = (
        load(demo.RECIPES / "simulate" / f"{name}.yaml", SimulateConfig) for name in ("tiny", "tiny_long")
    )
    assert learnt.splits["test"] == 0 and learnt.seed != judged.seed
    same = {"splits", "seed", "count"}
    assert learnt.model_dump(exclude=same) == judged.model_dump(exclude=same)


def test_the_demo_report_can_draw_its_rollouts(stages, monkeypatch, tmp_path):
    told: dict[str, Any] = {}
    monkeypatch.setattr(demo, "write_report", lambda runs, out, **options: told.update(options, runs=runs, out=out))
    demo.run(tmp_path / "demo")
    assert [Path(run).name for run in told["runs"]] == list(demo.STAGES)

    data = tmp_path / "data"
    write_dataset(SimulateConfig(seed=1, count=1, questions_per_document=1), data)
    (row,) = load_rows(data)
    assert np.array_equal(np.asarray(told["replay"](row)), np.asarray(load_image(image_path(data, row)).convert("RGB")))
