"""Trains the embedded reader from random weights, as large readers are trained: ``make tiny-reader``.

Four stages (see configs/base/tiny_reader.yaml). The vision tower first learns, with a head that is thrown away
afterwards, which characters lie under each visual token; then both towers learn to answer questions, twice: the second
time the learning rate rises and falls again. Last come damaged pages with the whole printed value as the answer: that is
where a large model's reading of damage comes from, and its inventing too. Interrupted, the same command goes on from
the last checkpoint, and every step's batch is a function of (seed, stage, step).

Run: python -m rl.tiny.base_reader --config configs/base/tiny_reader.yaml --out runs/tiny_reader
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset

from degradations.config import SimulateConfig
from degradations.documents import question_names
from kie_hvqa.answers.answer import Reading, render
from kie_hvqa.config import load
from kie_hvqa.console import Progress
from kie_hvqa.data.files import replacing
from rl.tiny.base_batches import PageBatch, Sampler
from rl.tiny.base_config import BaseReaderConfig, PoolSizes, Stage
from rl.tiny.batched import Packed, PageGrid, encode_pages, language_forward, pack, page_grid
from rl.tiny.build import build_config, build_model, build_processor, save_model
from rl.tiny.muon import Muon
from rl.tiny.pages import READER_TEMPLATES, TEXT_BLOCK, Pool, Wanted, load_pools

STAGES = ("vision", "joint", "refine", "damage")
CHARACTER_CLASSES = 95  # none and the 94 printable ASCII characters
SUB_CELLS = 8


def question(name: str) -> str:
    return f"What is the {name} in the image?"


def all_questions() -> list[str]:
    """Every question that the reader's templates can be asked, in a fixed order."""
    names = question_names()
    return sorted({question(name) for template in READER_TEMPLATES for name in names[template].values()})


def clear_answer(value: str) -> str:
    """What a perfect reader writes about an undamaged value."""
    letters = value.replace(" ", "")
    reading = Reading(value, clear=letters, clear_number=len(letters), not_clear_number=0)
    return render(reading, tags=True, style="explicit")


def wanted_pools(pages: PoolSizes) -> tuple[Wanted, list[Wanted], list[Wanted]]:
    """Text blocks, and each template's undamaged pages for training and for validation."""
    train = [Wanted(kind, "train", pages.documents) for kind in READER_TEMPLATES]
    return (
        Wanted(TEXT_BLOCK, "train", pages.text_block),
        train,
        [Wanted(kind, "validation", pages.validation) for kind in READER_TEMPLATES],
    )


def damaged_pools(pages: PoolSizes) -> tuple[list[Wanted], list[Wanted]]:
    """Each template's damaged pages, for training and for validation."""
    train = [Wanted(kind, "train", pages.damaged, True) for kind in READER_TEMPLATES]
    return train, [Wanted(kind, "validation", pages.validation, True) for kind in READER_TEMPLATES]


class BaseTrainer:
    """Model, character head, optimisers and data of one base training."""

    def __init__(self, config: BaseReaderConfig, cache: Path) -> None:
        processor = build_processor(config.architecture, all_questions())
        model = build_model(build_config(config.architecture, processor), config.seed).train()
        self.take(config, processor, model, all_questions())
        self.cache = cache
        blocks, *rest = wanted_pools(config.pages)
        self.text_blocks, self.documents, validation = (
            load_pools(cache, self.recipe, wanted, config.workers) for wanted in ([blocks], *rest)
        )
        self.validation = {"": validation}

    def take(self, config: BaseReaderConfig, processor: Any, model: Any, questions: Sequence[str]) -> None:
        """What is trained, with a head that knows no character yet, and what ``questions`` are in tokens."""
        self.config, self.processor, self.model = config, processor, model
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.head = torch.nn.Linear(model.config.text_config.hidden_size, SUB_CELLS * CHARACTER_CLASSES)
        self.grids: dict[tuple[int, int], PageGrid] = {}
        self.device = torch.get_default_device()
        self.dtype = torch.bfloat16 if use_bfloat16(config.dtype, self.device.type) else torch.float32  # of products
        half = self.dtype == torch.bfloat16
        self.autocast = torch.autocast(self.device.type, self.dtype) if half else nullcontext()
        self.encode = torch.compile(encode_pages, dynamic=False) if config.compile else encode_pages
        self.read = torch.compile(language_forward, dynamic=True) if config.compile else language_forward
        encode = processor.tokenizer.encode
        self.prefix = encode("<|im_start|>user\n<|vision_start|>")
        self.ids = {text: encode(f"<|vision_end|>{text}<|im_end|>\n<|im_start|>assistant\n") for text in questions}

    @property
    def recipe(self) -> SimulateConfig:
        return load(Path(self.config.simulate), SimulateConfig)

    @cached_property
    def damaged(self) -> list[Pool]:
        """Read when they are first wanted: they are as much again as all other pages."""
        train, validation = damaged_pools(self.config.pages)
        self.validation["damaged_"] = load_pools(self.cache, self.recipe, validation, self.config.workers)
        return load_pools(self.cache, self.recipe, train, self.config.workers)

    def parameters(self) -> list[torch.nn.Parameter]:
        return [*self.model.parameters(), *self.head.parameters()]

    def sampler(self, stage: str) -> Sampler:
        settings: Stage = getattr(self.config, stage)
        first = self.text_blocks if stage == "vision" else self.damaged if settings.damaged else []
        pools = [*first, *self.documents]
        return Sampler(
            pools,
            seed=self.config.seed,
            stage=STAGES.index(stage),
            batch=settings.batch,
            shift=self.config.shift,
            cell=self.config.architecture.factor,
            damaged=settings.damaged,
        )

    def batches(self, stage: str, first: int) -> Iterator[tuple[PageBatch, Packed | None]]:
        """The batches of ``stage`` from step ``first`` on, made ahead by other processes."""
        settings: Stage = getattr(self.config, stage)
        fields = 0 if stage == "vision" else settings.fields_per_page
        ahead = self.config.workers if self.device.type == "cuda" else 1
        with torch.device("cpu"):  # a worker that was forked cannot use the parent's GPU
            loader = DataLoader(
                _Batches(self, self.sampler(stage), fields),
                batch_size=None,
                sampler=range(first, settings.steps),
                num_workers=ahead,
                multiprocessing_context="fork",
            )
            return iter(loader)

    def losses(
        self, batch: PageBatch, packed: Packed | None, *, compiled: bool = True
    ) -> tuple[torch.Tensor, torch.Tensor | None, dict[str, torch.Tensor]]:
        """Character loss, answer loss (None where the batch asks nothing) and accuracies of one batch."""
        with self.autocast:
            encode, read = (self.encode, self.read) if compiled else (encode_pages, language_forward)
            visual = encode(self.model, torch.as_tensor(batch.pages), self._grid(batch.pages))
            scores = self.head(visual).view(-1, CHARACTER_CLASSES).float()
        targets = torch.as_tensor(batch.characters).flatten()
        each = F.cross_entropy(scores, targets, ignore_index=-100, reduction="none")
        # Most sub-cells are empty: weigh printed ones alone, plus a little of the rest to keep them apart.
        printed = targets > 0
        many = printed.sum().clamp(min=1)  # on a damaged page there may be none
        character_loss = each[printed].sum() / many + 0.5 * each[targets == 0].mean()
        seen = {"characters": (scores.argmax(-1)[printed] == targets[printed]).float().sum() / many}
        if packed is None:
            return character_loss, None, seen
        packed = packed.to(self.device)
        with self.autocast:
            hidden = read(self.model, packed, visual)
            due = packed.labels[:, 1:] != -100
            logits = self.model.lm_head(hidden[:, :-1][due]).float()
        labels = packed.labels[:, 1:][due]
        seen["tokens"] = (logits.argmax(-1) == labels).float().mean()
        return character_loss, F.cross_entropy(logits, labels), seen

    def _grid(self, pages: np.ndarray) -> PageGrid:
        size = pages.shape[1:3]
        if size not in self.grids:
            self.grids[size] = page_grid(self.model, *size)
        return self.grids[size]

    def packed(self, batch: PageBatch) -> Packed | None:
        """The batch's conversations on the CPU, where they are made ahead; None where it asks nothing."""
        if not any(batch.fields):
            return None
        encode = self.processor.tokenizer.encode
        factor = self.config.architecture.factor
        with torch.device("cpu"):
            return pack(
                [
                    [(self.ids[question(name)], encode(clear_answer(value) + "<|im_end|>")) for name, value in fields]
                    for fields in batch.fields
                ],
                prefix=self.prefix,
                image_token=self.model.config.image_token_id,
                pad_token=self.model.config.text_config.pad_token_id,
                rows=batch.pages.shape[1] // factor,
                columns=batch.pages.shape[2] // factor,
            )

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Accuracies on validation pages, undamaged and damaged: characters under tokens, answer tokens (teacher forced)."""
        self.model.eval()
        totals: dict[str, list[float]] = {}
        for prefix, pools in self.validation.items():
            for pool in pools:
                sampler = Sampler(
                    [pool], seed=1, stage=9, batch=min(64, len(pool)), shift=0, cell=self.config.architecture.factor
                )
                batch = sampler(0, fields_per_page=1 if pool.damaged else 8)
                _, _, seen = self.losses(batch, self.packed(batch), compiled=False)
                for name, value in seen.items():
                    totals.setdefault(prefix + name, []).append(float(value))
        self.model.train()
        return {name: float(np.mean(values)) for name, values in totals.items()}


class _Batches(Dataset):
    """A stage's batches by their step."""

    def __init__(self, trainer: BaseTrainer, sampler: Sampler, fields: int) -> None:
        self._trainer, self._sampler, self._fields = trainer, sampler, fields

    def __getitem__(self, step: int) -> tuple[PageBatch, Packed | None]:
        batch = self._sampler(step, self._fields)
        return batch, self._trainer.packed(batch)


def train(config: BaseReaderConfig, out: Path) -> BaseTrainer:
    """Train to the end, from the checkpoint in ``out`` if there is one; logs ``log.jsonl``, saves ``model/``."""
    out.mkdir(parents=True, exist_ok=True)
    trainer = BaseTrainer(config, out / "pages")
    checkpoint = out / "checkpoint.pt"
    state: dict[str, Any] = {"stage": 0, "step": 0}
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
    if "model" in state:
        trainer.model.load_state_dict(state["model"])
        trainer.head.load_state_dict(state["head"])
    for number, stage in enumerate(STAGES):
        if number < state["stage"]:
            continue
        resumed = state if number == state["stage"] and "optimisers" in state else None
        train_stage(trainer, stage, out, checkpoint, number, resumed)
    save_model(trainer.model, trainer.processor, config.architecture, out / "model")
    return trainer


def train_stage(
    trainer: BaseTrainer, stage: str, out: Path, checkpoint: Path, number: int, resumed: dict | None
) -> None:
    settings: Stage = getattr(trainer.config, stage)
    optimisers = _optimisers(trainer, settings.learning_rate)
    first = 0
    if resumed is not None:
        first = resumed["step"]
        for optimiser, saved in zip(optimisers, resumed["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
    if first >= settings.steps:
        return
    batches = trainer.batches(stage, first)
    started = time.monotonic()
    bar = Progress(stage, settings.steps, "steps", done=first)
    for step in bar.over(range(first, settings.steps)):
        _set_rate(optimisers, settings, step)
        character_loss, answer_loss, seen = trainer.losses(*next(batches))
        loss = character_loss if answer_loss is None else answer_loss + trainer.config.character_weight * character_loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trainer.parameters(), 1.0)
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        if step % 25 == 0:
            shown = {name: float(value) for name, value in seen.items()}
            bar.note(", ".join(f"{name} {value:.3f}" for name, value in shown.items()))
            _log(out, stage=stage, step=step, loss=float(loss.detach()), seconds=time.monotonic() - started, **shown)
        done = step + 1
        if done % trainer.config.evaluate_every == 0 or done == settings.steps:
            _log(out, stage=stage, step=done, validation=trainer.evaluate())
        if done % trainer.config.checkpoint_every == 0 or done == settings.steps:
            last = done == settings.steps
            _checkpoint(trainer, checkpoint, number + last, 0 if last else done, [] if last else optimisers)


def _optimisers(trainer: BaseTrainer, rate: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the towers, AdamW for everything else (embeddings, norms, biases, heads)."""
    matrices: list[torch.nn.Parameter] = []
    others = list(trainer.head.parameters())
    for name, parameter in trainer.model.named_parameters():
        inside = ".blocks." in name or ".layers." in name or ".merger." in name
        (matrices if parameter.ndim == 2 and inside else others).append(parameter)
    decay = trainer.config.weight_decay
    return [
        Muon(matrices, lr=rate, weight_decay=decay, dtype=trainer.dtype),
        torch.optim.AdamW(others, lr=rate, weight_decay=0.0, betas=(0.9, 0.98)),
    ]


def _set_rate(optimisers: Sequence[torch.optim.Optimizer], settings: Stage, step: int) -> None:
    """Linear warm-up, then half a cosine down to a fiftieth."""
    if step < settings.warmup:
        share = (step + 1) / settings.warmup
    else:
        progress = (step - settings.warmup) / max(1, (settings.horizon or settings.steps) - settings.warmup)
        share = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress))
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = settings.learning_rate * share


def use_bfloat16(dtype: str, device: str) -> bool:
    if dtype != "auto" or device == "cuda":
        return dtype != "float32"
    return torch.backends.cpu.get_cpu_capability() == "AVX512" and torch.cpu._is_amx_tile_supported()


def _log(out: Path, **record) -> None:
    with (out / "log.jsonl").open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(record) + "\n")


def _checkpoint(trainer: BaseTrainer, path: Path, stage: int, step: int, optimisers) -> None:
    state = {
        "stage": stage,
        "step": step,
        "model": trainer.model.state_dict(),
        "head": trainer.head.state_dict(),
    }
    if optimisers:
        state["optimisers"] = [optimiser.state_dict() for optimiser in optimisers]
    with replacing(path, "wb") as stream:
        torch.save(state, stream)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, default=Path("configs/base/tiny_reader.yaml"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="cpu", help="cuda trains on a GPU; tensors are made where they are used")
    parser.add_argument("--draw-damaged", action="store_true", help="only draw the damaged pages, beside a training")
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    arguments = parser.parse_args()
    if arguments.device != "cpu":  # which is the default, and would only cost time to be told
        torch.set_default_device(arguments.device)
    config = load(arguments.config, BaseReaderConfig, arguments.overrides)
    if arguments.draw_damaged:
        wanted = [one for group in damaged_pools(config.pages) for one in group]
        load_pools(arguments.out / "pages", load(Path(config.simulate), SimulateConfig), wanted, config.workers)
        return
    train(config, arguments.out)


if __name__ == "__main__":
    main()
