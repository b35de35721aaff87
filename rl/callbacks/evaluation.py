"""Scores the model in training on held-out rows, by the evaluator's own definitions, every so many steps.

Greedy answers, a group of rows at a time, shared out among the processes. ``hallucination_free_accuracy`` decides which
checkpoint is the best one; the trainer keeps that one and the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from accelerate.utils import gather_object
from trl.models import unwrap_model_for_generation

from kie_hvqa.answers.prompt import messages
from kie_hvqa.readers.checkpoint import ReadingContract
from kie_hvqa.scoring.metrics import score_rows
from kie_hvqa.scoring.rates import parts, rates
from rl.checkpoints.models import Checkpoint
from rl.recipes import EvaluationConfig, StageRecipe
from rl.rows.sources import Source, open_source


class EvaluatedTrainer:
    """Mixed into a trainer, before its class: ``evaluate`` answers the rows of ``evaluation`` instead of a loss."""

    def __init__(self, *args: Any, evaluation: Evaluation | None = None, **kwargs: Any) -> None:
        self._evaluation = evaluation
        if evaluation is not None:  # transformers insists on a dataset where there is an evaluation strategy
            kwargs["eval_dataset"] = kwargs["train_dataset"].select(range(1))
        super().__init__(*args, **kwargs)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        assert self._evaluation is not None
        phases = self.phases  # type: ignore[attr-defined]
        with phases("evaluate"):
            metrics = {f"eval_{name}": value for name, value in self._evaluation.rates(self).items()}
        self.model.eval()  # type: ignore[attr-defined]
        try:
            self.log(metrics)  # type: ignore[attr-defined]
        finally:
            self.model.train()  # type: ignore[attr-defined]
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)  # type: ignore[attr-defined,has-type]
        return metrics


class Evaluation:
    """The rows of one split and how to ask them. ``config.limit`` rows, the same in every evaluation."""

    def __init__(
        self, config: EvaluationConfig, source: Source, contract: ReadingContract, suppressed: Sequence[int]
    ) -> None:
        self.config = config
        self._source = source
        self.rows = [source.row(index) for index in range(len(source))]
        self._contract = contract
        self._suppressed = list(suppressed)

    @classmethod
    def of(cls, recipe: StageRecipe, checkpoint: Checkpoint) -> Evaluation | None:
        """What the recipe asks for; None where it asks for none."""
        if recipe.evaluation is None:
            return None
        asked = recipe.evaluation
        source = open_source(recipe.data, split=asked.split, limit=asked.limit, field="evaluation.split")
        return cls(asked, source, checkpoint.contract, checkpoint.suppressed_tokens)

    def rates(self, trainer: Any) -> dict[str, float]:
        """Shares of questions and slots, as in ``metrics.json`` (``kie_hvqa.scoring.metrics``), over all processes' rows."""
        accelerator = trainer.accelerator
        own = range(accelerator.process_index, len(self.rows), accelerator.num_processes)
        size = self.config.batch_size
        batches = -(-len(self.rows) // (accelerator.num_processes * size))
        found: dict[str, str | None] = {}
        with (
            unwrap_model_for_generation(trainer.model_wrapped, accelerator) as model,
            torch.no_grad(),
            accelerator.autocast(),
        ):
            for number in range(batches):
                # Under ZeRO-3 `generate` waits for the other processes, so all of them call it equally often.
                batch = own[number * size : (number + 1) * size] or range(1)
                found |= self._answers(model, trainer.processing_class, batch)
        gathered = dict(gather_object(list(found.items())))
        scored = score_rows(self.rows, gathered)
        return rates(parts(score.counts for score in scored if score.counts is not None))

    def _answers(self, model: Any, processor: Any, batch: range) -> dict[str, str | None]:
        rows = [self.rows[index] for index in batch]
        asked = [
            processor.apply_chat_template(
                messages(row, self._contract.prompt), tokenize=False, add_generation_prompt=True
            )
            for row in rows
        ]
        images = [self._source.image(index, self._contract.budget) for index in batch]
        inputs = processor(text=asked, images=images, padding=True, padding_side="left", return_tensors="pt")
        inputs = {name: value.to(model.device) for name, value in inputs.items()}
        output = model.generate(
            **inputs,
            max_new_tokens=self.config.max_new_tokens,
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            suppress_tokens=self._suppressed or None,
        )
        texts = processor.tokenizer.batch_decode(output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        return {row.id: text for row, text in zip(rows, texts, strict=True)}
