"""What the preflight says about hpZ on several machines, and about an optimiser on the CPU that must be compiled."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from trl import SFTConfig

from kie_hvqa.errors import InputError
from rl.preflight.checked.deepspeed_json import check_compiler, check_deepspeed_json
from rl.preflight.planned.states import Counts, engine_of, states

ZERO = Path(__file__).resolve().parents[3] / "configs" / "deepspeed" / "zero3.json"


@pytest.fixture
def with_hpz(tmp_path):
    def write(size: object) -> str:
        settings = json.loads(ZERO.read_text())
        settings["zero_optimization"]["zero_hpz_partition_size"] = size
        path = tmp_path / "zero.json"
        path.write_text(json.dumps(settings))
        return str(path)

    return write


def test_hpz_keeps_to_one_machine(with_hpz, tmp_path):
    arguments = SFTConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False)
    assert "zero_hpz_partition_size of 8" in check_deepspeed_json(str(ZERO), arguments, 16, 2)
    assert "zero_hpz" not in check_deepspeed_json(str(ZERO), arguments, 8, 1)
    for size in (2, 4, 8):
        assert f"groups of {size}" in check_deepspeed_json(with_hpz(size), arguments, 16, 2)
    for size in (3, 16, "auto"):
        with pytest.raises(InputError, match="Write 8") as caught:
            check_deepspeed_json(with_hpz(size), arguments, 16, 2)
        assert caught.value.field == "zero_optimization.zero_hpz_partition_size"


def test_a_plan_counts_the_second_copy_of_the_weights(with_hpz):
    counts = Counts(1_000_000, 3_000_000, 1000)
    plain, split = engine_of(str(ZERO)), engine_of(with_hpz(8))
    assert (plain.secondary, split.secondary) == (1, 8) and split == replace(plain, secondary=8)
    without, with_copy = (states(counts, engine, 2, per_node=8, nodes=2) for engine in (plain, split))
    assert with_copy.device - without.device == 4_000_000 * 2 // 8


def test_an_optimiser_on_the_cpu_needs_a_compiler(tmp_path):
    offloaded = str(ZERO.with_name("zero3_offload.json"))
    assert check_compiler(None, {}) is None and check_compiler(str(ZERO), {"PATH": ""}) is None
    for name in ("c++", "ninja"):
        with pytest.raises(InputError, match=rf"no `{name.replace('+', '.')}` on PATH") as caught:
            check_compiler(offloaded, {"PATH": str(tmp_path)})
        assert caught.value.file == offloaded
        (tmp_path / name).symlink_to(sys.executable)
    assert "compiled by c++ and ninja" in (check_compiler(offloaded, {"PATH": str(tmp_path)}) or "")
