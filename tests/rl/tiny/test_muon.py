"""The optimiser of the base training beside torch's."""

from __future__ import annotations

import pytest
import torch

from rl.tiny.muon import Muon, orthogonal

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
SHAPES = ((16, 16), (16, 48), (48, 16), (16, 16))


def trained(make, steps: int = 6) -> tuple[list[torch.Tensor], torch.optim.Optimizer]:
    generator = torch.Generator().manual_seed(0)
    parameters = [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]
    optimiser = make(parameters)
    for _ in range(steps):
        for parameter in parameters:
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimiser.step()
    return [parameter.detach() for parameter in parameters], optimiser


def plain(parameters):
    return torch.optim.Muon(parameters, lr=0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 2e-3), (torch.float32, 1e-2)])
def test_steps_are_torchs_to_the_rounding_of_bfloat16(dtype: torch.dtype, tolerance: float) -> None:
    told, _ = trained(plain)
    found, _ = trained(lambda parameters: Muon(parameters, lr=0.02, weight_decay=0.1, dtype=dtype))
    start, _ = trained(plain, steps=0)
    for ours, theirs, before in zip(found, told, start, strict=True):
        moved = (theirs - before).norm()
        assert (ours - theirs).norm() < tolerance * moved


def test_a_checkpoint_of_torchs_optimiser_goes_on() -> None:
    _, theirs = trained(plain)
    _, ours = trained(lambda parameters: Muon(parameters, lr=0.02, weight_decay=0.1, dtype=torch.float32), steps=0)
    ours.load_state_dict(theirs.state_dict())
    group = ours.param_groups[0]
    assert torch.equal(
        ours.state[group["params"][1]]["momentum_buffer"],
        theirs.state[theirs.param_groups[0]["params"][1]]["momentum_buffer"],
    )


def test_singular_values_are_brought_near_one_and_directions_kept() -> None:
    matrix = torch.randn(24, 60, generator=torch.Generator().manual_seed(1))
    (found,) = orthogonal([matrix], COEFFICIENTS, 5, 1e-7, torch.float32)
    assert torch.linalg.svdvals(found).sub(1).abs().max() < 0.4
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    along = left.T @ found @ right.T
    assert (along - along.diag().diag()).abs().max() < 1e-4
