"""torch's Muon, whose orthogonalisation is taken in a type that the machine multiplies fast.

torch takes it in bfloat16, matrix by matrix. One core without bfloat16 products (AVX2) needs 5.7 s so for the embedded reader's matrices,
twice a step's forward and backward pass; in float32, all matrices of a shape at once, 0.2 s.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch


class Muon(torch.optim.Muon):
    """``dtype`` is that of the orthogonalisation; learning rates are scaled to AdamW's root mean square."""

    def __init__(self, params: Any, lr: float, weight_decay: float, dtype: torch.dtype) -> None:
        super().__init__(params, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")
        self._dtype = dtype

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One step over every parameter that has a gradient; returns what ``closure`` does."""
        loss = None if closure is None else torch.enable_grad()(closure)()
        for group in self.param_groups:
            alike: dict[torch.Size, list[torch.nn.Parameter]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    alike[parameter.shape].append(parameter)
            for shape, parameters in alike.items():
                rate = group["lr"] * 0.2 * max(shape) ** 0.5
                updates = [self._with_momentum(parameter, group["momentum"]) for parameter in parameters]
                steps = orthogonal(updates, group["ns_coefficients"], group["ns_steps"], group["eps"], self._dtype)
                for parameter, update in zip(parameters, steps, strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.add_(update.to(parameter.dtype), alpha=-rate)
        return loss

    def _with_momentum(self, parameter: torch.nn.Parameter, momentum: float) -> torch.Tensor:
        """The gradient with Nesterov's momentum, whose buffer has torch's name: checkpoints fit both."""
        gradient, state = parameter.grad, self.state[parameter]
        assert gradient is not None
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        return gradient.lerp(state["momentum_buffer"].lerp_(gradient, 1 - momentum), momentum)


def orthogonal(
    matrices: Sequence[torch.Tensor],
    coefficients: tuple[float, float, float],
    steps: int,
    eps: float,
    dtype: torch.dtype,
) -> torch.Tensor:
    """Newton–Schulz: matrices [n, m] of one shape with their singular values brought near 1, as ``dtype`` [len, n, m]."""
    a, b, c = coefficients
    found = torch.stack([matrix.to(dtype) for matrix in matrices])
    upright = found.size(1) > found.size(2)
    if upright:
        found = found.mT
    found = found / found.norm(dim=(1, 2), keepdim=True).clamp(min=eps)
    for _ in range(steps):
        gram = found @ found.mT
        found = torch.baddbmm(found, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), found, beta=a)
    return found.mT if upright else found
