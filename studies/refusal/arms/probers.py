"""What AutoSteer trains on a frozen base: probers of hidden states, and a head that ends an answer.

Cross-entropy is taken of logits everywhere: the released code takes it of probabilities, and so trains against a second softmax.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from kie_hvqa.readers.base import Task
from studies.refusal.frame import Frame

_HIDDEN, _CLEAN_POINTS = 64, 0.01


class Prober(nn.Module):
    """Hidden state [n, hidden] → logit of "unreadable" [n]; states are standardised by what it was trained on."""

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        self.layers = nn.Sequential(nn.Linear(width, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, 1))

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return self.layers((states - self.mean) / self.scale)[..., 0]

    @torch.no_grad()
    def probability(self, states: torch.Tensor) -> np.ndarray:
        return torch.sigmoid(self(states)).numpy().astype(np.float64)


def fitted(states: torch.Tensor, unreadable: np.ndarray, seed: int, steps: int = 300) -> Prober:
    """A prober of ``states`` [n, hidden] and labels bool [n]; both kinds weigh the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        prober = Prober(states.shape[1])
        prober.mean, prober.scale = states.mean(0), states.std(0) + 1e-6
        labels = torch.tensor(unreadable, dtype=torch.float32)
        share = labels.mean().clamp(1e-3, 1 - 1e-3)
        loss = nn.BCEWithLogitsLoss(pos_weight=(1 - share) / share)
        optimiser = torch.optim.AdamW(prober.parameters(), lr=2e-3, weight_decay=1e-2)
        for _ in range(steps):
            rows = torch.randint(len(labels), (min(256, len(labels)),))
            optimiser.zero_grad()
            loss(prober(states[rows]), labels[rows]).backward()
            optimiser.step()
    return prober.eval()


def cosine(differences: torch.Tensor) -> float:
    """Mean pairwise cosine of ``differences`` [pairs, hidden], pairs of a vector with itself left out."""
    unit = nn.functional.normalize(differences, dim=1)
    count = len(unit)
    return float((unit.sum(0).square().sum() - count) / max(count * (count - 1), 1))


def trained_head(frame: Frame, tasks: Sequence[Task], seed: int) -> nn.Linear:
    """A map from the last hidden state to logits that, added to the base's, end the answers about ``tasks`` at once."""
    last: list[torch.Tensor] = []
    hook = frame.model.model.language_model.norm.register_forward_hook(
        lambda module, given, gives: last.append(gives[:, -1].detach())
    )
    try:
        frame.states(tasks)
    finally:
        hook.remove()
    states = torch.cat(last)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = nn.Linear(states.shape[1], frame.model.lm_head.weight.shape[0], bias=False)
        nn.init.zeros_(head.weight)
        wanted = torch.full((len(states),), frame.ends[0])
        with torch.no_grad():
            logits = frame.model.lm_head(states)
        optimiser = torch.optim.AdamW(head.parameters(), lr=1e-3)
        for _ in range(200):
            optimiser.zero_grad()
            nn.functional.cross_entropy(logits + head(states), wanted).backward()
            optimiser.step()
    return head.eval()


def chosen_threshold(probability: np.ndarray, truth: np.ndarray, spared: float = _CLEAN_POINTS) -> float:
    """The lowest threshold under which at most ``spared`` of the readable fields of validation are refused."""
    readable = np.sort(probability[~truth])
    if not len(readable):
        return 0.5
    place = min(int(np.ceil((1 - spared) * len(readable))), len(readable) - 1)
    return float(readable[place]) + 1e-6


def state(value: Any) -> Any:
    if isinstance(value, list) and value and isinstance(value[0], nn.Module):
        return [part.state_dict() for part in value]
    return value.state_dict() if isinstance(value, nn.Module) else value


def restored(kept: dict[str, Any], base: Frame) -> dict[str, Any]:
    width = base.model.lm_head.weight.shape[1]

    def prober(state: dict[str, torch.Tensor]) -> Prober:
        made = Prober(width)
        made.load_state_dict(state)
        return made.eval()

    head = nn.Linear(width, base.model.lm_head.weight.shape[0], bias=False)
    head.load_state_dict(kept["head"])
    modules = {"probers": [prober(state) for state in kept["probers"]], "head": head.eval()}
    return kept | modules | {name: prober(kept[name]) for name in ("shuffled", "slot")}
