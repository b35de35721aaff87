"""Scores the model in training on held-out rows, by the evaluator's own definitions and its reader's own inputs.

Greedy answers, a group of rows at a time, shared out among the processes. The headline, *balanced* hallucination-free
accuracy, decides which checkpoint is the best one; the trainer keeps that one and the last. Rows that cannot be balanced
(a stratum is empty, there is no ledger) are decided by the next of ``DECIDING``, and ``said`` says so.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from accelerate.utils import gather_object
from trl.models import unwrap_model_for_generation

from kie_hvqa.answers.prompt import messages
from kie_hvqa.data.ledger import Row
from kie_hvqa.errors import InputError
from kie_hvqa.readers.checkpoint import ReadingContract
from kie_hvqa.readers.model_inputs import model_inputs
from kie_hvqa.scoring.metrics import score_rows
from kie_hvqa.scoring.rates import HEADLINE, IN_TRAINING, SCORE
from kie_hvqa.scoring.strata import BALANCED, strata_of
from kie_hvqa.scoring.sums import SCORES, sample_sums, values_of
from rl.checkpoints.models import Checkpoint
from rl.recipes import EvaluationConfig, StageRecipe
from rl.rollouts.engine import is_first_process
from rl.rows.sources import Source, open_source

DECIDING = (HEADLINE, SCORE, "average")
"""The first of these that rows can be scored by chooses their best checkpoint; the last needs no ledger."""
LOGGED = (*DECIDING, *IN_TRAINING[1:])


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
        self.decides, self.said = decided_by(self.rows)

    @classmethod
    def of(cls, recipe: StageRecipe, checkpoint: Checkpoint) -> Evaluation | None:
        """What the recipe asks for; None where it asks for none."""
        if recipe.evaluation is None:
            return None
        asked = recipe.evaluation
        source = open_source(recipe.data, split=asked.split, limit=asked.limit, field="evaluation.split")
        made = cls(asked, source, checkpoint.contract, checkpoint.suppressed_tokens)
        if made.decides != HEADLINE and is_first_process():
            print(f"evaluation: {made.said}", file=sys.stderr, flush=True)
        return made

    def rates(self, trainer: Any) -> dict[str, float]:
        """``LOGGED`` over all processes' rows, as in ``metrics.json`` (``kie_hvqa.scoring.metrics``)."""
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
        return scores_of(self.rows, dict(gather_object(list(found.items()))))

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


def scores_of(rows: Sequence[Row], answers: Mapping[str, str | None]) -> dict[str, float]:
    """Those of ``LOGGED`` that ``rows`` have anything for; ``answers`` by row id."""
    values = dict(zip(SCORES, values_of(sample_sums(score_rows(rows, answers)).sum(axis=0)).tolist(), strict=True))
    return {name: values[name] for name in LOGGED if values[name] == values[name]}


def decided_by(rows: Sequence[Row]) -> tuple[str, str]:
    """(the score that the best checkpoint over ``rows`` is chosen by, a sentence that says so).

    Raises InputError for rows that no score can be had of.
    """
    name = next((name for name in DECIDING if name in scores_of(rows, {})), None)
    if name is None:
        raise InputError(
            "not one of these rows has an answer that can be read",
            field="evaluation.split",
            remedy="Name a split with slots, or with official answers, or leave `evaluation` out.",
        )
    if name == HEADLINE:
        return name, "the best checkpoint is that of the best balanced hallucination-free accuracy"
    if name != SCORE:
        return name, f"these rows have no ledger: the best checkpoint is that of the best official {name}"
    found = set(strata_of([score.counts for score in score_rows(rows, {})]))
    empty = " or ".join(stratum for stratum in BALANCED if stratum not in found)
    return (
        name,
        f"no row is of stratum {empty}: the best checkpoint is that of the best plain {name}, not the balanced one",
    )


def base_of(model: Any) -> Any:
    """``model`` without an adapter around it; the adapter stays in its layers."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model
