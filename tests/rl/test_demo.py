"""The demo's report: it is given what makes the damaged image of a rollout again."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from degradations.simulate import SimulateConfig, write_dataset
from kie_hvqa.data.dataset import image_path, load_image, load_rows
from rl import demo


def test_the_demo_report_can_draw_its_rollouts(monkeypatch, tmp_path):
    told: dict[str, Any] = {}
    stage = SimpleNamespace(run=lambda *_: None)
    for name in ("sft", "grpo"):
        monkeypatch.setitem(sys.modules, f"rl.{name}", stage)
        monkeypatch.setattr(f"rl.{name}", stage, raising=False)
    for name in ("write_dataset", "_copy_base", "_evaluate", "write_comparison", "table"):
        monkeypatch.setattr(demo, name, lambda *_, **__: None)
    monkeypatch.setattr(demo, "write_report", lambda runs, out, **options: told.update(options, runs=runs, out=out))
    demo.run(tmp_path / "demo")
    assert [Path(run).name for run in told["runs"]] == list(demo.STAGES)

    data = tmp_path / "data"
    write_dataset(SimulateConfig(seed=1, count=1, questions_per_document=1), data)
    (row,) = load_rows(data)
    assert np.array_equal(np.asarray(told["replay"](row)), np.asarray(load_image(image_path(data, row)).convert("RGB")))
