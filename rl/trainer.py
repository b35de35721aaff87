"""What TRL has no hook for, in one subclass of its trainers; everything else that a run needs is a callback or a function.

``StageTrainer`` is what both stages share: the order of the rows, timed phases, evaluation by the ledger, whole
checkpoints (``rl.checkpoints.whole``). ``GroupTrainer`` is GRPO's: prompts and images are processed once for each group, groups
stay whole in micro-batches, tokens may have advantages of their own, and every rollout is looked at.

The numbers are plain TRL's to rounding: ``tests/rl/sharing/test_sharing.py`` holds them side by side, and fails when
the signature of anything overridden here changes; ``python -m studies.benches.training`` measures what it buys.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.data import Sampler
from transformers import PreTrainedModel
from trl import GRPOTrainer, SFTTrainer
from trl.trainer.utils import split_pixel_values_by_grid, split_tensor_dict, unsplit_pixel_values_by_grid

from rl.advantages import SlotCredit
from rl.callbacks.evaluation import Evaluation
from rl.callbacks.phases import OptimiserPhase, PhaseTimer, phase_scalars
from rl.checkpoints.whole import WholeCheckpoints
from rl.rollouts.agreement import agreed
from rl.rollouts.decode import can_decode, generating
from rl.rollouts.observer import RolloutObserver, Scored, logged
from rl.rollouts.refill import Drawn, refilled
from rl.rollouts.trust import RolloutCheck
from rl.rows.order import EpochOrder, EpochTurn, ordered_sampler
from rl.rows.training import TrainingRows
from rl.sharing.groups import shuffled_groups
from rl.sharing.loss_pass import Rows, scored, seen
from rl.sharing.prompts import VISUAL, Generation, KnownPrompts, distinct_prompts
from rl.tower.service import TowerService

LOSS_INPUTS = {"mm_token_type_ids", "pixel_values", "image_grid_thw", "num_images"}
"""What TRL hands a loss pass over images of Qwen's families besides tokens and masks."""


class StageTrainer(WholeCheckpoints):
    """Before a trainer class of TRL's: ``rows`` are what its dataset was made of, ``evaluation`` scores held-out ones."""

    def __init__(self, *args: Any, rows: TrainingRows, evaluation: Evaluation | None = None, **kwargs: Any) -> None:
        self.phases = PhaseTimer()
        self._rows = rows
        self._order: EpochOrder | None = None
        self._evaluation = evaluation
        self._logged_at_step = 0
        if evaluation is not None:  # transformers insists on a dataset where there is an evaluation strategy
            kwargs["eval_dataset"] = kwargs["train_dataset"].select(range(1))
        super().__init__(*args, **kwargs)
        if evaluation is not None:  # the recipe's arguments were made before the rows were seen
            self.args.metric_for_best_model = evaluation.decides
        self.add_callback(OptimiserPhase(self.phases))  # type: ignore[attr-defined]
        self.add_callback(EpochTurn(rows, lambda: self._order, self.args))  # type: ignore[attr-defined]

    def _get_train_sampler(self, dataset: Any = None) -> Sampler:
        sampler = super()._get_train_sampler(dataset)  # type: ignore[misc]
        found = ordered_sampler(sampler, self._rows, self.args, lambda: int(self.state.epoch or 0))
        self._order = found if isinstance(found, EpochOrder) else None
        return found

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        with self.phases("backward"):  # what is left of a training step, inputs and loss apart
            return super().training_step(*args, **kwargs)

    def _prepare_inputs(self, *args: Any, **kwargs: Any) -> Any:
        with self.phases("prepare"):
            return super()._prepare_inputs(*args, **kwargs)  # type: ignore[misc]

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        with self.phases("log_probabilities"):
            return super().compute_loss(*args, **kwargs)  # type: ignore[misc]

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        if "loss" in logs:
            step = self.state.global_step
            logs.update(phase_scalars(self.phases.take(), step - self._logged_at_step))
            self._logged_at_step = step
        super().log(logs, *args, **kwargs)  # type: ignore[misc]

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """The rows of ``evaluation`` are answered instead of a loss taken."""
        assert self._evaluation is not None
        self.model.eval()  # no adapter's dropout; and TRL logs what comes as an evaluation's
        try:
            with self.phases("evaluate"):
                metrics = {f"eval_{name}": value for name, value in self._evaluation.rates(self).items()}
            self.log(metrics)
        finally:
            self.model.train()
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)  # type: ignore[attr-defined,has-type]
        return metrics


class WarmStartTrainer(StageTrainer, SFTTrainer):
    """The warm start's trainer."""


class GroupTrainer(StageTrainer, GRPOTrainer):
    """``tower`` encodes images, None leaves that to the model; ``share_prompts`` and ``share_generation`` say whether a
    group's prompt is read once in the loss pass and in sampling. ``observer`` sees every generation. With ``credit`` each
    token has the advantage of the slots that it decides; ``refill`` times groups that teach nothing are drawn again."""

    def __init__(
        self,
        *args: Any,
        tower: TowerService | None = None,
        share_prompts: bool = True,
        share_generation: bool = True,
        observer: RolloutObserver | None = None,
        credit: SlotCredit | None = None,
        refill: int = 0,
        **kwargs: Any,
    ) -> None:
        self._tower = tower
        self._credit = credit
        self._refill = refill
        self._share_prompts = share_prompts
        self._share_generation = share_generation
        self._observer = observer or RolloutObserver()
        self._generation: Generation | None = None
        self._numbers: list[int] = []  # of the prompts in ``_generation`` that the next pass is about
        self._scored = Scored.nothing()
        super().__init__(*args, **kwargs)
        self._trust = RolloutCheck(self)
        if tower is not None:
            tower.autocast = self.accelerator.autocast

    def _base(self, model: Any) -> PreTrainedModel:
        unwrapped = self.accelerator.unwrap_model(model)
        return unwrapped.get_base_model() if hasattr(unwrapped, "get_base_model") else unwrapped

    # --- a generation

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        """As TRL's, but that the micro-batches of a generation are made of whole groups."""
        if not self.model.training:
            return super()._prepare_inputs(generation_batch)
        with self.phases("prepare"):
            buffered: Any = self._buffered_inputs  # type: ignore[has-type]
            if buffered is None or self._step % (self.args.steps_per_generation * self.num_iterations) == 0:
                batch = self._filled(generation_batch)
                whole = shuffled_groups(batch, self.num_generations)
                parts = split_tensor_dict(whole, self.args.steps_per_generation)
                buffered = self._buffered_inputs = [unsplit_pixel_values_by_grid(part) for part in parts]
            return buffered[self._step % self.args.steps_per_generation]

    def _filled(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """A generation, its flat groups drawn again as often as the recipe allows."""

        def drawn(rows: list[dict[str, Any]]) -> Drawn:
            return split_pixel_values_by_grid(self._generate_and_score_completions(rows)), self._generation

        def draw(attempt: int) -> Drawn:
            assert self._order is not None
            accelerator, own = self.accelerator, len(rows) // self.num_generations
            numbers = self._order.more(own * accelerator.num_processes, self.state.global_step, attempt)
            mine = numbers[accelerator.process_index * own : (accelerator.process_index + 1) * own]
            return drawn([item for item in map(self._rows.__getitem__, mine) for _ in range(self.num_generations)])

        first = drawn(rows)
        if not self._refill or len(rows) % self.num_generations:
            return first[0]
        batch, self._generation, replaced = refilled(
            first, draw, self.num_generations, self._refill, self._tokenizer.pad_token_id
        )
        mask = batch["completion_mask"] * batch.get("tool_mask", 1)
        batch["num_items_in_batch"] = self.accelerator.gather(mask.sum()).sum()
        self._metrics["train"]["refilled"].append(replaced * self.num_generations / len(rows))
        return batch

    def _tokenize_prompts(self, prompts: list) -> tuple[list[list[int]], list[Any] | None, dict[str, Any]]:
        self._generation, self._numbers = None, []
        if not self._share_prompts and self._tower is None:
            return super()._tokenize_prompts(prompts)
        distinct, owner, keys = distinct_prompts(prompts)
        if any(len(images) != 1 for images in keys):
            return super()._tokenize_prompts(prompts)
        prompt_ids, images, fields = super()._tokenize_prompts([prompts[index] for index in distinct])
        grids = torch.as_tensor(fields["image_grid_thw"])
        pixels: Sequence[torch.Tensor] = torch.as_tensor(fields["pixel_values"]).split(grids.prod(-1).tolist())
        features = None
        if self._tower is not None:
            with self.phases("generate"):
                features = self._tower.encode([key for (key,) in keys], pixels, grids, self.accelerator.device)
            # TRL counts patches when it cuts a batch; nobody reads them any more.
            pixels = [pixel.new_empty(len(pixel), 0) for pixel in pixels]
        fields = {
            **{name: [values[index] for index in owner] for name, values in fields.items() if name not in VISUAL},
            "pixel_values": torch.cat([pixels[index] for index in owner]),
            "image_grid_thw": grids[owner],
        }
        assert images is not None
        images = [images[index] for index in owner]
        self._generation, self._numbers = Generation(owner, images, fields, grids, pixels, features), owner
        return [prompt_ids[index] for index in owner], images, fields

    def _generate_single_turn(
        self,
        prompt_ids: list[list[int]],
        images: list[Any] | None,
        multimodal_fields: dict[str, Any],
        num_generations: int,
        has_tool_images: bool = False,
    ) -> tuple[list[list[int]], Any]:
        rest = (num_generations, has_tool_images)
        with self.phases("generate"):
            known, device = self._generation, self.accelerator.device
            if known is None or self.use_vllm or self.use_transformers_continuous_batching:
                return super()._generate_single_turn(prompt_ids, images, multimodal_fields, *rest)
            model = self._base(self.model_wrapped)
            once = (
                self._share_generation
                and not (self._dist.is_zero3 and not self.args.ds3_gather_for_generation)
                and can_decode(model, self.generation_config)
            )
            if not once:
                with generating(model, None, seen(known, known.owner, device)):
                    return super()._generate_single_turn(prompt_ids, images, multimodal_fields, *rest)
            first = known.first
            fields = {
                name: [values[row] for row in first] for name, values in multimodal_fields.items() if name not in VISUAL
            }
            shown = seen(known, range(len(first)), device)
            with self.accelerator.autocast(), generating(model, known.owner, shown):
                return super()._generate_single_turn([prompt_ids[row] for row in first], images, fields, *rest)

    def _calculate_rewards(
        self, inputs: list[dict[str, Any]], prompts: list, completions: list, completion_ids_list: list
    ) -> torch.Tensor:
        with self.phases("reward"):
            rewards = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
            rewards = agreed(rewards, self.reward_funcs, len(inputs))
        self._scored = Scored(completions, completion_ids_list, rewards)
        return rewards

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        before = len(logged(self))
        processor = self.processing_class  # type: ignore[has-type]
        self.processing_class = KnownPrompts(processor, lambda: self._generation)
        try:
            output = super()._generate_and_score_completions(inputs)
        finally:
            self.processing_class = processor
        if self._generation is not None:
            output["prompt_numbers"] = torch.tensor(self._generation.owner)
        self._trust.after_generation(output)
        scored, self._scored = self._scored, Scored.nothing()
        if self._credit is not None and self.model.training:
            output["advantages"] = self._credit.by_token(
                output["advantages"], inputs, scored.ids, self._tokenizer, self.num_generations, self.state.global_step
            )
        # The reward `faithful` logs the ledger's rates itself.
        self._observer.see(self, inputs, scored, output["advantages"], rated=len(logged(self)) > before)
        return output

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        super().log(logs, *args, **kwargs)
        self._observer.show(self)

    # --- the loss pass

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        numbers = inputs.get("prompt_numbers")
        self._numbers = [] if numbers is None else numbers.tolist()
        return super()._compute_loss(model, inputs)

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        compute_aux_loss: bool = False,
        **visual: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        known, types = self._generation, visual.get("mm_token_type_ids")
        with self.phases("log_probabilities"):
            if known is None or types is None or compute_aux_loss or set(_given(visual)) - LOSS_INPUTS:
                flags = {"compute_entropy": compute_entropy, "compute_aux_loss": compute_aux_loss}
                return super()._get_per_token_logps_and_entropies(
                    model, input_ids, attention_mask, logits_to_keep, batch_size, **flags, **visual
                )
            rows = Rows(input_ids, attention_mask, types, logits_to_keep, self._numbers, known)
            step = batch_size or len(input_ids)
            with self.accelerator.autocast():
                found = [
                    scored(
                        model,
                        self._base(model),
                        rows.part(slice(start, start + step)),
                        entropy=compute_entropy,
                        pad_token=self._tokenizer.pad_token_id,
                        packed=self._share_prompts,
                    )
                    for start in range(0, len(input_ids), step)
                ]
        entropies = torch.cat([entropy for _, entropy in found if entropy is not None]) if compute_entropy else None
        return torch.cat([log_probs for log_probs, _ in found]), entropies, None


def _given(arguments: dict[str, Any]) -> list[str]:
    return [name for name, value in arguments.items() if value is not None]
