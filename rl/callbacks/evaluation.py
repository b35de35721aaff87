"""Scores the model in training on held-out rows, by the evaluator's own definitions and its reader's own inputs.

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
from kie_hvqa.readers.model_inputs import model_inputs
from kie_hvqa.scoring.metrics import score_rows
from kie_hvqa.scoring.rates import parts, rates
from rl.checkpoints.models import Checkpoint
from rl.recipes import EvaluationConfig, StageRecipe
from rl.rows.sources import Source, open_source


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
        # Questions about one page lie side by side: it is decoded and encoded once.
        files = [self._source.file(index) for index in batch]
        first = {file: index for index, file in reversed(list(zip(batch, files, strict=True)))}
        images = [self._source.image(index, self._contract.budget) for index in first.values()]
        owners = [list(first).index(file) for file in files]
        inputs = model_inputs(base_of(model), processor, asked, images, owners, resize=True)
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


def base_of(model: Any) -> Any:
    """``model`` without an adapter around it; the adapter stays in its layers."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model
