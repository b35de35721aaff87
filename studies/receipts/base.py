"""Base training of the line reader: ``rl.tiny.base_reader``'s, from a reader that reads already and over crops of lines.

The answer is the printed text whatever is left of it, so the reader reads as well as it can and invents what it cannot see. The
question "What is the line in the image?" becomes one token of the reader's tokenizer, as every question is that it knows: spelt out
in bytes it would be thirty tokens that mean the characters of an answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AddedToken, Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor

from kie_hvqa.data.files import replacing
from rl.tiny.base_batches import Sampler
from rl.tiny.base_reader import (
    BaseTrainer,
    question,
    train_stage,
)  # fmt: skip
from rl.tiny.build import save_model
from studies.receipts.config import LineBase
from studies.receipts.lines import ASKED
from studies.receipts.pools import LinePool, LineSampler

HEAD = "head.pt"


class LineTrainer(BaseTrainer):
    """A base training of one stage over ``pools``, from the model directory ``start``, whose head it takes up where it lies beside it."""

    def __init__(
        self, config: LineBase, start: Path, pools: Sequence[LinePool], validation: Mapping[str, Sequence[LinePool]]
    ) -> None:
        processor = Qwen2_5_VLProcessor.from_pretrained(start)
        model = Qwen2_5_VLForConditionalGeneration.from_pretrained(start, dtype=torch.float32).train()
        learn_question(processor, model, question(ASKED))
        self.take(config, processor, model, [question(ASKED)])  # type: ignore[arg-type]
        if (start.parent / HEAD).is_file():
            self.head.load_state_dict(torch.load(start.parent / HEAD, weights_only=True))
        self.pools = list(pools)
        self.lines = validation

    def sampler(self, stage: str) -> Sampler:
        settings = getattr(self.config, stage)
        return self._sampler(self.pools, settings.batch, ("rendered", "more").index(stage), settings.damaged)

    def _sampler(self, pools: Sequence[LinePool], batch: int, stage: int, damaged: float) -> LineSampler:
        config = self.config
        return LineSampler(
            pools, stretch=config.stretch if stage < 9 else 0.0, seed=config.seed, stage=stage, batch=batch,  # type: ignore[attr-defined]
            shift=config.shift, cell=config.architecture.factor, damaged=damaged,
        )  # fmt: skip

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Accuracies on held-out crops by kind: characters under tokens, answer tokens (teacher forced)."""
        self.model.eval()
        totals: dict[str, list[float]] = {}
        for kind, pools in self.lines.items():
            for pool in pools:
                batch = self._sampler([pool], min(48, len(pool)), 9, 0.0)(0, fields_per_page=1)
                for name, value in self.losses(batch, self.packed(batch), compiled=False)[2].items():
                    totals.setdefault(f"{kind}_{name}", []).append(float(value))
        self.model.train()
        return {name: float(np.mean(values)) for name, values in totals.items()}


def learn_question(processor: Qwen2_5_VLProcessor, model: Qwen2_5_VLForConditionalGeneration, text: str) -> None:
    """Make ``text`` one token of ``processor``'s tokenizer, which starts as the mean of the questions that ``model`` knows."""
    tokenizer = processor.tokenizer
    if text in tokenizer.get_added_vocab():
        return
    known = [token for phrase, token in tokenizer.get_added_vocab().items() if phrase.startswith("What is the ")]
    tokenizer.add_tokens([AddedToken(text, normalized=False, special=False)])
    embeddings = model.get_input_embeddings()
    if len(tokenizer) > embeddings.num_embeddings:
        model.resize_token_embeddings(-(-len(tokenizer) // 8) * 8)
        embeddings = model.get_input_embeddings()
    if known:
        with torch.no_grad():
            embeddings.weight[tokenizer.convert_tokens_to_ids(text)] = embeddings.weight[known].mean(0)


def train(
    config: LineBase,
    stage: str,
    start: Path,
    pools: Sequence[LinePool],
    validation: Mapping[str, Sequence[LinePool]],
    out: Path,
) -> Path:
    """Train one stage to its end, from the checkpoint in ``out`` if there is one; returns the model directory ``out/model``."""
    model = out / "model"
    if (out / HEAD).is_file():
        return model
    out.mkdir(parents=True, exist_ok=True)
    trainer = LineTrainer(config, start, pools, validation)
    checkpoint = out / "checkpoint.pt"
    state: dict[str, Any] | None = None
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        trainer.model.load_state_dict(state["model"])
        trainer.head.load_state_dict(state["head"])
    if state is None or "optimisers" in state:
        train_stage(trainer, stage, out, checkpoint, 0, state)
    save_model(trainer.model, trainer.processor, config.architecture, model)
    with replacing(out / HEAD, "wb") as stream:  # last: it says that the model is whole
        torch.save(trainer.head.state_dict(), stream)
    return model
