"""Encodes each image of a GRPO batch once.

A group holds G completions of one prompt, and TRL repeats the prompt's image G times: in generation and again in
every loss pass the vision tower does the same work G times. With the tower frozen its output is a constant, so the
repeats can share it. Only neighbours are compared, because a group's copies lie side by side; what is not a repeat is
encoded as ever. Nothing is kept from one call to the next.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling


def share_repeated_images(model: PreTrainedModel) -> None:
    """Make ``model``'s vision tower encode runs of equal images once. The tower must be frozen.

    Raises ValueError where it is not: gradients of shared work would be summed over copies that a batch
    split elsewhere does not have.
    """
    visual = model.model.visual
    if any(parameter.requires_grad for parameter in visual.parameters()):
        raise ValueError("the vision tower is being trained: its repeats cannot share a forward pass")
    encode = visual.forward

    def forward(hidden_states: torch.Tensor, grid_thw: torch.Tensor, **kwargs: Any) -> BaseModelOutputWithPooling:
        patches = grid_thw.prod(-1).tolist()
        images = hidden_states.split(patches)
        first, owner = first_of_runs(images, grid_thw.tolist())
        if len(first) == len(images):
            return encode(hidden_states, grid_thw=grid_thw, **kwargs)
        output = encode(torch.cat([images[index] for index in first]), grid_thw=grid_thw[first], **kwargs)
        unit = visual.spatial_merge_size**2
        tokens = output.pooler_output.split([patches[index] // unit for index in first])
        states = output.last_hidden_state.split([patches[index] for index in first])
        return BaseModelOutputWithPooling(
            last_hidden_state=torch.cat([states[index] for index in owner]),
            pooler_output=torch.cat([tokens[index] for index in owner]),
        )

    visual.forward = forward


def first_of_runs(images: Any, grids: list[list[int]]) -> tuple[list[int], list[int]]:
    """The index of each run's first image, and for every image the number of its run."""
    first: list[int] = []
    owner: list[int] = []
    for index, image in enumerate(images):
        same = first and grids[index] == grids[first[-1]] and torch.equal(image, images[first[-1]])
        if not same:
            first.append(index)
        owner.append(len(first) - 1)
    return first, owner
