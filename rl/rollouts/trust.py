"""Are the completions that are trained on the ones that the model in training would have written?

Rollouts from vLLM are another program's: it has truncated and shifted images without a word (trl#6294, trl#6401), its
own sampling filters change what an importance ratio compares (trl#6789), and it may sample an image placeholder,
which then asks for features that are not there (R1-V#91). So:

- ``sampling_problem`` refuses settings under which the ratio is meaningless, before anything is loaded;
- ``never_sampled`` bars special tokens in whichever words the engine understands;
- ``RolloutCheck`` compares, at run time, image tokens on both sides of every batch and the log-probabilities of the
  first generation, and stops a run in which they do not fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from accelerate.utils import is_peft_model

from kie_hvqa.errors import InputError, WorkError
from rl.rollouts.adapter_sync import summed_weights

TOLERANCE = 0.1
"""Largest mean difference, in nats a token, between the engine's log-probabilities and the trainer's on one batch. Two
bfloat16 implementations of one model differ by 0.005 to 0.03; a missing image or stale weights by more than 0.5."""


def check_sampling(arguments: Any, file: Any) -> None:
    """Raises InputError for sampling settings that the loss cannot account for (TRL's GRPOConfig)."""
    cycle = arguments.steps_per_generation * arguments.num_iterations
    every = arguments.save_steps * arguments.gradient_accumulation_steps
    if arguments.save_strategy == "steps" and arguments.save_steps >= 1 and every % cycle:
        steps = max(1, cycle // arguments.gradient_accumulation_steps)
        raise InputError(
            f"a checkpoint every {arguments.save_steps:g} steps would fall between the steps that one generation is "
            f"used for, and its completions are not saved",
            file=file,
            field="training.save_steps",
            remedy=f"Use a multiple of {steps}.",
        )
    if not arguments.use_vllm:
        return
    unfiltered = {"top_p": (1.0,), "top_k": (0, -1, None), "min_p": (0.0, None), "repetition_penalty": (1.0,)}
    for key, plain in unfiltered.items():
        value = getattr(arguments, key)
        if value not in plain:
            raise InputError(
                f"vLLM would sample from another distribution than the loss takes the ratio to ({key} is {value})",
                file=file,
                field=f"training.{key}",
                remedy=f"Use {plain[0]} with use_vllm.",
            )


def never_sampled(tokens: Sequence[int], use_vllm: bool) -> dict[str, Any]:
    """Generation settings that keep ``tokens`` out of every completion, for transformers or for vLLM."""
    # vLLM compares the keys with token ids, so they are numbers; the server's JSON makes words of them, and numbers again.
    return {"logit_bias": {int(t): -100.0 for t in tokens}} if use_vllm else {"suppress_tokens": list(tokens)}


class RolloutCheck:
    """Watches a trainer's rollouts. Does nothing where transformers generates: there model and engine are one."""

    def __init__(self, trainer: Any) -> None:
        self._compared = False
        if trainer.use_vllm:
            engine, token = trainer.vllm_generation, trainer._image_pad_token_id
            if is_peft_model(engine.model):
                engine._iter_named_params = lambda: summed_weights(engine)
            trainer.vllm_generation = CheckedEngine(engine, token, expands=engine.mode == "colocate")

    def after_generation(self, output: dict[str, Any]) -> None:
        """Compare the log-probabilities of the run's first completions. Raises WorkError where they do not fit."""
        if self._compared or "sampling_per_token_logps" not in output or output.get("old_per_token_logps") is None:
            return
        self._compared = True
        check_logps(output["sampling_per_token_logps"], output["old_per_token_logps"], output["completion_mask"])


def check_logps(sampled: torch.Tensor, trained: torch.Tensor, mask: torch.Tensor, tolerance: float = TOLERANCE) -> None:
    """``sampled`` and ``trained`` float [B, C], of the same tokens; ``mask`` [B, C]. Raises WorkError naming the gap."""
    known = mask.bool() & ~torch.isnan(sampled)
    gap = (sampled - trained)[known].abs()
    if not len(gap):
        return
    if float(gap.mean()) > tolerance:
        raise WorkError(
            f"the rollout engine and the trainer disagree about the same completions: their log-probabilities differ by "
            f"{float(gap.mean()):.3f} a token on average (at most {float(gap.max()):.2f}; up to {tolerance} is rounding). "
            "The engine sees other images or holds other weights. Check its version, its pixel budget "
            "(mm_processor_kwargs), its weight transfer and --logprobs-mode processed_logprobs; "
            "training.use_vllm=false trains without it."
        )


class CheckedEngine:
    """TRL's VLLMGeneration, but that a batch in which an image has other numbers of tokens on both sides is an error.

    An engine in this process (``expands``) makes an image's tokens of the one placeholder that it finds, but TRL hands it
    those of the processor: it would expand each of them again, and read 2N − 1 (trl#6294, trl#6718). So it gets one.
    A server takes the tokens as they are.
    """

    def __init__(self, engine: Any, image_token: int | None, *, expands: bool) -> None:
        self._engine = engine
        self._image_token = image_token
        self._expands = expands

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("_engine", "_image_token", "_expands"):
            object.__setattr__(self, name, value)
        else:
            setattr(self._engine, name, value)

    def generate(self, prompts: Sequence[Sequence[int]], *args: Any, **kwargs: Any) -> Any:
        sent = prompts
        if self._expands and self._image_token is not None:
            sent = [collapsed(ids, self._image_token) for ids in prompts]
        result = self._engine.generate(sent, *args, **kwargs)
        check_image_tokens(prompts, result[0], result[1], self._image_token)
        return result


def collapsed(ids: Sequence[int], image_token: int) -> list[int]:
    """``ids`` with every run of ``image_token`` as a single one. Images never touch: each stands between its own marks."""
    return [token for at, token in enumerate(ids) if token != image_token or at == 0 or ids[at - 1] != image_token]


def check_image_tokens(
    asked: Sequence[Sequence[int]],
    read: Sequence[Sequence[int]],
    completions: Sequence[Sequence[int]],
    image_token: int | None,
) -> None:
    """Raises WorkError where the engine read another number of image tokens than the trainer wrote, or sampled one."""
    if len(asked) != len(read):
        raise WorkError(f"the rollout engine answered {len(read)} prompts of {len(asked)}")
    if image_token is None:
        return
    for row, (ours, theirs) in enumerate(zip(asked, read, strict=True)):
        here, there = list(ours).count(image_token), list(theirs).count(image_token)
        if here != there:
            said = (
                f"prompt {row} of this batch has {here} image tokens in the trainer and {there} in the rollout engine: "
            )
            if there == 2 * here - 1:
                raise WorkError(
                    f"{said}twice as many less one, so the engine expanded an image's tokens again that were expanded "
                    "already. No setting mends that: this version of TRL or vLLM treats images otherwise than those in "
                    "constraints.txt. Install those, or set training.use_vllm=false."
                )
            raise WorkError(
                f"{said}the engine cut or resized its image. Give it the trainer's pixel budget (mm_processor_kwargs) and a "
                "context that holds the whole prompt (vllm_max_model_length), or set training.use_vllm=false."
            )
    for row, ids in enumerate(completions):
        if image_token in ids:
            raise WorkError(
                f"completion {row} of this batch holds a sampled image placeholder (token {image_token}), which no "
                "loss pass can read. The engine ignores logit_bias: use another version, or training.use_vllm=false."
            )
