"""What vLLM is sent of an adapter is what merging gives, and the base keeps every bit."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import torch
from peft import get_peft_model

from kie_hvqa.config import load
from rl.checkpoints.models import adapter, open_checkpoint
from rl.recipes import SftRecipe
from rl.rollouts.adapter_sync import summed_weights
from rl.rollouts.trust import RolloutCheck


def _engine(small, tmp_path) -> Any:
    recipe = load(small.recipe(tmp_path / "sft.yaml", "lora: {rank: 4, alpha: 8}"), SftRecipe, ["dtype=bfloat16"])
    base = open_checkpoint(recipe).model.to(torch.bfloat16)
    model = get_peft_model(base, adapter(recipe, base))
    torch.manual_seed(0)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.05)
    dist = SimpleNamespace(gather_params=lambda parameters: nullcontext())
    fix = lambda name, extra_prefixes: name.replace(extra_prefixes[0], "")  # noqa: E731
    return SimpleNamespace(model=model, _dist=dist, _fix_param_name_to_vllm=fix, mode="server")


def test_the_sum_is_sent_and_the_base_keeps_every_bit(small, tmp_path):
    engine = _engine(small, tmp_path)
    before = {name: tensor.clone() for name, tensor in engine.model.state_dict().items()}
    for _ in range(20):  # a sync each
        sent = dict(summed_weights(engine))
    assert all(tensor.equal(before[name]) for name, tensor in engine.model.state_dict().items())
    merged = engine.model.merge_and_unload()
    expected = dict(merged.named_parameters())
    assert sent.keys() == expected.keys()
    changed = 0
    for name, tensor in sent.items():
        torch.testing.assert_close(tensor, expected[name].data, atol=1e-2, rtol=1e-2)
        changed += not tensor.equal(before.get(f"base_model.model.{name}", tensor))
    assert any("q_proj" in name for name in sent)


def test_a_trainer_with_an_adapter_sends_the_sum(small, tmp_path):
    engine = _engine(small, tmp_path)
    trainer = SimpleNamespace(use_vllm=True, vllm_generation=engine, _image_pad_token_id=None)
    RolloutCheck(trainer)
    assert [name for name, _ in engine._iter_named_params()] == [name for name, _ in summed_weights(engine)]
