"""In which order a run draws its rows: TRL's own, the same after a resume, by stratum or light damage first where it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import Sampler
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from trl.trainer.utils import RepeatSampler

from kie_hvqa.errors import InputError
from rl.rows.curriculum import under_ceilings
from rl.rows.sources import Streamed, Written
from rl.rows.strata import by_strata, row_strata
from rl.rows.training import TrainingRows


class EpochOrder(Sampler):
    """TRL's RepeatSampler, in the order that it has in the epoch at hand.

    It draws a new order for every epoch from one generator, so after a resume it would begin again with the first
    epoch's. Drawing the earlier ones first gives each epoch the order that an uninterrupted run has. With a
    curriculum what is too heavy in it makes room for a lighter row (``rl.rows.curriculum``); ``per_step`` is how many
    questions a step of the optimiser takes.
    """

    def __init__(
        self, sampler: Any, epoch: Callable[[], int], rows: TrainingRows | None = None, per_step: float = 1.0
    ) -> None:
        self._sampler = sampler
        self._epoch = epoch
        self._per_step = per_step
        self._curriculum = None if rows is None else rows.curriculum
        source = None if rows is None else rows.source
        written = source if isinstance(source, Written) else None
        self._severities = written.severities() if self._curriculum and written else None
        self._weights = rows.strata if rows is not None and written else None
        self._strata = row_strata(written.rows, self._weights, name=written.name) if self._weights and written else []

    def __iter__(self) -> Iterator[int]:
        epoch = self._epoch()
        drawn = self._shuffled(epoch)
        taken = dict(zip(drawn, self._arranged(drawn, epoch), strict=True))
        if self._sampler.shuffle:  # where its generator has to stand for it to draw the same
            self._rewind(epoch)
        return (taken[index] for index in self._sampler)

    def __len__(self) -> int:
        return len(self._sampler)

    def order(self, epoch: int) -> list[int]:
        """The rows of ``epoch`` as they are drawn; those that fill no batch are its last."""
        return self._arranged(self._shuffled(epoch), epoch)

    def _arranged(self, drawn: list[int], epoch: int) -> list[int]:
        seed = (self._sampler.seed or 0, epoch)
        if self._weights:
            return by_strata(sorted(drawn), self._strata, self._weights, len(drawn), seed=seed)
        if self._severities is None:
            return drawn
        return under_ceilings(drawn, self._severities, self._ceilings(epoch), seed=seed, apart=self._sampler.batch_size)

    def ceilings(self, epoch: int) -> dict[int, int]:
        """The highest severity that each row may be drawn with in ``epoch``; none without a curriculum."""
        return dict(zip(self.order(epoch), self._ceilings(epoch), strict=True)) if self._curriculum else {}

    def more(self, count: int, step: int, seed: int) -> list[int]:
        """``count`` further rows for ``step`` of the optimiser, under its ceiling; ``seed`` tells draws apart."""
        random = np.random.default_rng([self._sampler.seed or 0, step, seed])
        pool = list(range(self._sampler.num_samples))
        if self._weights:
            own = (self._sampler.seed or 0, step, seed)
            return by_strata(pool, self._strata, self._weights, count, seed=own)
        if self._severities is not None and self._curriculum is not None:
            ceiling = self._curriculum.ceiling(step)
            pool = [row for row in pool if self._severities[row] <= ceiling]
        return random.choice(pool, size=count, replace=count > len(pool)).tolist()

    def _ceilings(self, epoch: int) -> list[int]:
        assert self._curriculum is not None
        count = self._sampler.num_samples
        used = count - count % self._sampler.batch_size
        return self._curriculum.ceilings(epoch * used, count, self._per_step)

    def _shuffled(self, epoch: int) -> list[int]:
        count = self._sampler.num_samples
        if not self._sampler.shuffle:
            return list(range(count))
        self._rewind(epoch)
        return torch.randperm(count, generator=self._sampler.generator).tolist()

    def _rewind(self, epoch: int) -> None:
        self._sampler.generator.manual_seed(self._sampler.seed)
        for _ in range(epoch):
            torch.randperm(self._sampler.num_samples, generator=self._sampler.generator)


def ordered_sampler(sampler: Any, rows: TrainingRows, args: Any, epoch: Callable[[], int]) -> Sampler:
    """``sampler``, a trainer's own, in the order that ``rows`` ask for: the same after a resume, with a curriculum or
    a stream's turns. ``args`` are the trainer's arguments."""
    if isinstance(sampler, RepeatSampler):
        per_step = sampler.batch_size * args.gradient_accumulation_steps / sampler.repeat_count
    elif not (rows.curriculum or rows.strata or isinstance(rows.source, Streamed)):
        return sampler
    else:
        sampler = RepeatSampler(rows, mini_repeat_count=1, seed=args.seed)
        per_step = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
    return EpochOrder(sampler, epoch, rows, per_step)


class EpochTurn(TrainerCallback):
    """Tells a stream which epoch begins, before the loader's processes are started for it."""

    def __init__(self, rows: TrainingRows, order: Callable[[], EpochOrder | None], args: Any) -> None:
        self._rows, self._order = rows, order
        if isinstance(rows.source, Streamed) and args.dataloader_persistent_workers:
            raise InputError(
                "loader processes that live on would go on with the first epoch's damage",
                field="training.dataloader_persistent_workers",
                remedy="Leave it out with data.simulate.",
            )

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        order = self._order()
        if isinstance(self._rows.source, Streamed) and order is not None:
            epoch = int(state.epoch or 0)
            self._rows.source.turn(epoch, order.ceilings(epoch))
