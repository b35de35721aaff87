"""A rollout engine that sees or says something else than the trainer is refused: here is one that does, in every way."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from kie_hvqa.errors import InputError, WorkError
from rl.rollouts.trust import RolloutCheck, check_image_tokens, check_logps, check_sampling, collapsed, never_sampled

PAD = 7
PROMPTS = [[1, PAD, PAD, PAD, 2], [1, PAD, PAD, PAD, 3]]


class FakeEngine:
    """TRL's VLLMGeneration as far as a trainer sees it; ``wrong`` names what it does wrong."""

    def __init__(self, wrong: str | None = None, mode: str = "server") -> None:
        self.wrong = wrong
        self.temperature = 1.0
        self.mode = mode
        self.model = torch.nn.Module()

    def generate(self, prompts: Any, images: Any, num_generations: int, profiler: Any = None) -> tuple:
        read = [list(ids) for ids in prompts]
        if self.mode == "colocate":  # vLLM puts an image's three tokens in the place of the first it finds
            read = [ids[: ids.index(PAD)] + [PAD] * 3 + ids[ids.index(PAD) + 1 :] for ids in read]
        said = [[4, 5], [4, 6]]
        if self.wrong == "cuts an image":
            read[1].remove(PAD)
        if self.wrong == "loses a prompt":
            read = read[:1]
        if self.wrong == "samples a placeholder":
            said[0] = [4, PAD]
        return read, said, [[[-0.1], [-0.2]]] * 2, None


def _trainer(engine: FakeEngine) -> Any:
    return SimpleNamespace(use_vllm=True, vllm_generation=engine, _image_pad_token_id=PAD)


def test_an_engine_that_reads_what_it_is_given_is_trusted():
    trainer = _trainer(FakeEngine())
    RolloutCheck(trainer)
    assert trainer.vllm_generation.generate(prompts=PROMPTS, images=None, num_generations=1)[1] == [[4, 5], [4, 6]]
    assert trainer.vllm_generation.temperature == 1.0
    trainer.vllm_generation.temperature = 0.5  # TRL sets attributes of its engine
    assert trainer.vllm_generation._engine.temperature == 0.5


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("cuts an image", "prompt 1 of this batch has 3 image tokens in the trainer and 2"),
        ("loses a prompt", "answered 1 prompts of 2"),
        ("samples a placeholder", "completion 0 of this batch holds a sampled image placeholder"),
    ],
)
def test_an_engine_that_does_not_is_refused(wrong, said):
    trainer = _trainer(FakeEngine(wrong))
    RolloutCheck(trainer)
    with pytest.raises(WorkError, match=said):
        trainer.vllm_generation.generate(prompts=PROMPTS, images=None, num_generations=1)


def test_an_engine_in_this_process_gets_one_placeholder_an_image():
    trainer = _trainer(FakeEngine(mode="colocate"))
    RolloutCheck(trainer)
    read = trainer.vllm_generation.generate(prompts=PROMPTS, images=None, num_generations=1)[0]
    assert read == PROMPTS
    with pytest.raises(WorkError, match=r"has 3 image tokens in the trainer and 5 .* twice as many less one"):
        check_image_tokens(PROMPTS, FakeEngine(mode="colocate").generate(PROMPTS, None, 1)[0], [], PAD)


def test_every_image_of_a_prompt_keeps_one_placeholder():
    assert collapsed([PAD, PAD, 1, PAD, 2, PAD, PAD, PAD], PAD) == [PAD, 1, PAD, 2, PAD]
    assert collapsed([1, 2], PAD) == [1, 2] and collapsed([], PAD) == []


def _output(gap: float) -> dict[str, torch.Tensor]:
    sampled = torch.tensor([[-0.1, -0.2, math.nan], [-0.3, -9.0, -9.0]])
    trained = torch.nan_to_num(sampled + gap, nan=-5.0)
    trained[1, 1:] = 0.0  # padding
    mask = torch.tensor([[1, 1, 1], [1, 0, 0]])
    return {"sampling_per_token_logps": sampled, "old_per_token_logps": trained, "completion_mask": mask}


def test_log_probabilities_within_rounding_pass_and_others_stop_the_run():
    RolloutCheck(_trainer(FakeEngine())).after_generation(_output(0.02))
    with pytest.raises(WorkError, match=r"differ by 0\.600 a token"):
        RolloutCheck(_trainer(FakeEngine())).after_generation(_output(-0.6))


def test_only_the_first_generation_is_compared():
    check = RolloutCheck(_trainer(FakeEngine()))
    check.after_generation(_output(0.0))
    check.after_generation(_output(0.6))  # the policy moves: from here on the ratio corrects


def test_nothing_to_compare_is_no_mismatch():
    check_logps(torch.full((1, 2), math.nan), torch.zeros(1, 2), torch.ones(1, 2))
    RolloutCheck(SimpleNamespace(use_vllm=False)).after_generation({"completion_mask": torch.ones(1, 1)})


def _arguments(**changes: Any) -> Any:
    plain = {
        "use_vllm": True,
        "top_p": 1.0,
        "top_k": 0,
        "min_p": None,
        "repetition_penalty": 1.0,
        "save_strategy": "steps",
        "save_steps": 10,
        "gradient_accumulation_steps": 2,
        "steps_per_generation": 2,
        "num_iterations": 1,
    }
    return SimpleNamespace(**{**plain, **changes})


@pytest.mark.parametrize("changes", [{"top_p": 0.9}, {"top_k": 50}, {"min_p": 0.1}, {"repetition_penalty": 1.1}])
def test_filtered_sampling_by_vllm_is_refused_by_name(changes):
    with pytest.raises(InputError, match=f"training.{next(iter(changes))}"):
        check_sampling(_arguments(**changes), "grpo.yaml")
    check_sampling(_arguments(**changes, use_vllm=False), "grpo.yaml")


def test_a_checkpoint_between_the_uses_of_one_generation_is_refused():
    with pytest.raises(InputError, match="Use a multiple of 4"):
        check_sampling(_arguments(num_iterations=4), "grpo.yaml")
    check_sampling(_arguments(num_iterations=4, save_steps=12), "grpo.yaml")
    check_sampling(_arguments(num_iterations=4, save_strategy="no"), "grpo.yaml")
    check_sampling(_arguments(num_iterations=4, save_steps=0.5), "grpo.yaml")


def test_barred_tokens_are_named_as_each_engine_understands_it():
    assert never_sampled([3, 4], use_vllm=False) == {"suppress_tokens": [3, 4]}
    assert never_sampled([3, 4], use_vllm=True) == {"logit_bias": {3: -100.0, 4: -100.0}}
