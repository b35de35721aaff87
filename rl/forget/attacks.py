"""Three ways to ask whether somebody is forgotten or only silent: draw hot answers, weigh the printed value, teach a little again.

* ``probe``: several answers at a high temperature, the one that leaks most counts; the same of strangers.
* ``membership``: how often a forgotten person's printed value is likelier under a covered field than a stranger's (area under the
  curve; 0.5 says nothing). Below 0.5 an answer was pushed *away*, which gives membership away as well.
* ``relearned``: a few rows with their printed value are trained on, and the leak on *other* people's rows is measured, strangers'
  beside it: guessing comes back as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from trl.trainer.sft_trainer import DataCollatorForVisionLanguageModeling

from kie_hvqa.data.dataset import spread
from kie_hvqa.readers.transformers_reader import TransformersReader
from kie_hvqa.scoring.risk import auroc
from rl.families import family_of
from rl.forget.losses import row_means, token_log_probabilities
from rl.forget.measure import leak_of
from rl.forget.recipe import ForgetRecipe
from rl.forget.rows import Sets, item_of, target
from rl.rows.sources import Written

Losses = Callable[[Written, Sequence[int]], torch.Tensor]


def probe(reader: TransformersReader, sets: Sets, recipe: ForgetRecipe) -> dict[str, Any]:
    """Leak of the forgotten and of strangers in the worst of ``recipe.samples`` answers at ``recipe.temperature``."""
    hot = reader.drawing(recipe.samples, recipe.temperature)
    return {who: leak_of(hot, *sets.measured(who, "covered", recipe.measured)) for who in ("forgotten", "strangers")}


def membership(reader: TransformersReader, sets: Sets, recipe: ForgetRecipe) -> float | None:
    """The area under the curve, over people; None without strangers."""
    losses, found = _losses(reader, recipe), {}
    for who in ("forgotten", "strangers"):
        source, numbers = sets.measured(who, "covered", recipe.measured)
        by_person: dict[str, list[float]] = {}
        for batch in _batches(numbers, recipe.batch_size):
            with torch.no_grad():
                for number, loss in zip(batch, losses(source, batch).tolist(), strict=True):
                    by_person.setdefault(source.row(number).document_id, []).append(-loss)
        found[who] = [sum(values) / len(values) for values in by_person.values()]
    forgotten, strangers = found["forgotten"], found["strangers"]
    area = auroc(np.arange(len(forgotten) + len(strangers)) < len(forgotten), np.array(forgotten + strangers))
    return None if math.isnan(area) else round(area, 6)


def relearned(reader: TransformersReader, sets: Sets, recipe: ForgetRecipe, rate: float) -> list[dict[str, Any]]:
    """For every number of ``recipe.relearn``: rows, steps, and the leak afterwards. The reader's weights are as before in the end."""
    model, found = reader.loaded().model, []
    before = {name: value.clone() for name, value in model.state_dict().items()}
    family = family_of(model.config)
    model.requires_grad_(True)
    if family is not None:
        family.tower(model).requires_grad_(False)
    people = sorted(sets.train["covered"], key=lambda n: (sets.forgotten.row(n).document_id, n))
    for count in recipe.relearn:
        taught = people[:count]
        _teach(model, _losses(reader, recipe), sets.forgotten, taught, recipe, rate)
        known = {sets.forgotten.row(n).document_id for n in taught}
        source, numbers = sets.measured("forgotten", "covered", len(sets.forgotten))
        others = [n for n in numbers if source.row(n).document_id not in known] or numbers
        found.append({
            "rows": len(taught), "people": len(known), "steps": recipe.relearn_steps,
            "leak": leak_of(reader, source, spread(others, recipe.measured)),
            "chance": leak_of(reader, *sets.measured("strangers", "covered", recipe.measured)),
        })  # fmt: skip
        model.load_state_dict(before)
    model.requires_grad_(False)
    return found


def _teach(
    model: Any, losses: Losses, source: Written, taught: Sequence[int], recipe: ForgetRecipe, rate: float
) -> None:
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=rate, weight_decay=0.0)
    batches = _batches(taught, recipe.batch_size)
    for step in range(recipe.relearn_steps):
        losses(source, batches[step % len(batches)]).mean().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)


def _losses(reader: TransformersReader, recipe: ForgetRecipe) -> Losses:
    """What gives the mean negative log-probability of the printed answer of each row."""
    model, processor = reader.loaded().model, reader.loaded().processor
    collate = DataCollatorForVisionLanguageModeling(processor, completion_only_loss=True)

    def losses(source: Written, numbers: Sequence[int]) -> torch.Tensor:
        items = [
            item_of(source.row(n), target(source.row(n), "printed", recipe.answer), reader.contract)
            | {"image": source.image(n, reader.contract.budget)}
            for n in numbers
        ]
        batch = {name: value.to(model.device) for name, value in collate(items).items()}
        labels = batch.pop("labels")
        chosen, due = token_log_probabilities(model(**batch, use_cache=False).logits, labels)
        return -row_means(chosen, due)

    return losses


def _batches(numbers: Sequence[int], size: int) -> list[Sequence[int]]:
    return [numbers[start : start + size] for start in range(0, len(numbers), size)]
