"""TRL's SFT trainer with a forgetting loss: one forward pass over forgotten rows and their companions, one for the reference."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from transformers import TrainerCallback
from trl import SFTTrainer
from trl.models import prepare_deepspeed, unwrap_model_for_generation

from rl.callbacks.evaluation import base_of
from rl.forget.losses import divergence, parts, row_means, token_log_probabilities
from rl.forget.recipe import ForgetRecipe
from rl.trainer import StageTrainer


class ForgetTrainer(StageTrainer, SFTTrainer):
    """``reference`` is a frozen model; None takes the one in training without its adapter."""

    def __init__(self, *args: Any, recipe: ForgetRecipe, reference: Any | None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._recipe = recipe
        collate: Any = self.data_collator  # type: ignore[has-type]
        self.data_collator = together(collate)
        self.model_accepts_loss_kwargs = False  # every row counts as its mean: a micro-batch's loss is a mean, too
        if reference is not None and self.is_deepspeed_enabled:
            reference = prepare_deepspeed(reference, self.accelerator)
        elif reference is not None:
            reference = self.accelerator.prepare_model(reference, evaluation_mode=True)
        self._reference = reference

    def compute_loss(self, model: Any, inputs: Any, return_outputs: Any = False, num_items_in_batch: Any = None) -> Any:
        with self.phases("log_probabilities"):
            roles, labels = inputs.pop("roles"), inputs.pop("labels")
            outputs = model(**inputs, use_cache=False)
            chosen, due = token_log_probabilities(outputs.logits, labels)
            kl = ratio = None
            if self._recipe.adds.compares:
                told = self._told(model, inputs)
                kl = divergence(told, outputs.logits, due) if self._recipe.adds.kl else None
                ratio = (chosen - token_log_probabilities(told, labels)[0]).sum(-1) if self._recipe.adds.npo else None
            found = parts(
                self._recipe.adds, roles, -row_means(chosen, due), kl, ratio,
                beta=self._recipe.beta, decoupled=self._recipe.decoupled,
            )  # fmt: skip
        for name, value in found.items():
            self._metrics["train"][f"loss/{name}"].append(float(value.detach()))
        loss = torch.stack(list(found.values())).sum()
        return (loss, outputs) if return_outputs else loss

    def _told(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        bare = self.accelerator.unwrap_model(model).disable_adapter() if self._reference is None else nullcontext()
        with torch.no_grad(), bare, self.accelerator.autocast():
            return (self._reference or model)(**inputs, use_cache=False).logits


def together(collate: Callable[[list[dict[str, Any]]], dict[str, Any]]) -> Callable[[list[dict[str, Any]]], Any]:
    """``collate`` over forgotten rows and their companions, with the ``roles`` int64 [B] of them."""

    def collated(items: list[dict[str, Any]]) -> dict[str, Any]:
        flat = [one for item in items for one in (item, *item.get("companions", ()))]
        batch = collate([{key: one[key] for key in ("prompt", "completion", "image")} for one in flat])
        batch["roles"] = torch.tensor([one["role"] for one in flat])
        return batch

    return collated


class EnoughForgotten(TrainerCallback):
    """Ends an ascent where ``leak`` of the model in training is not above ``recipe.stop_at``; it is looked at now and then."""

    def __init__(self, recipe: ForgetRecipe, leak: Callable[[Any], float]) -> None:
        self._recipe, self._leak = recipe, leak
        self.trainer: Any = None

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        stop_at = self._recipe.stop_at
        if stop_at is None or not self._recipe.adds.ascends or state.global_step % self._recipe.look_every:
            return
        wrapped, accelerator = self.trainer.model_wrapped, self.trainer.accelerator
        wrapped.eval()
        try:  # every process looks at the same rows, so all of them end in the same step
            with (
                self.trainer.phases("evaluate"),
                unwrap_model_for_generation(wrapped, accelerator) as model,
                accelerator.autocast(),
            ):
                found = self._leak(base_of(model))
        finally:
            wrapped.train()
        self.trainer.log({"leak": found})
        control.should_training_stop |= found <= stop_at
