"""The distinct prompts of a generation batch: tokenised, shown and encoded once, however many completions each gets.

A page under the large recipes' pixel budget takes one core about 156 ms to read and cut into patches, and TRL does that for every
completion: with groups of five that is 0.6 s a question on the training thread for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from trl.trainer.utils import pad

from rl.families import Features
from rl.tower.service import image_key

VISUAL = ("pixel_values", "image_grid_thw")
"""The processor's outputs that have a row for each patch or image, and not for each prompt."""


@dataclass(frozen=True)
class Generation:
    """A generation batch after its prompts were tokenised.

    ``owner`` names the distinct prompt of each row; ``images`` are the rows' images, as TRL passes them on; ``fields``
    is what the processor says about the rows besides their token ids. ``grids`` int64 [prompts, 3] and either ``features``
    or ``pixels`` ([patches, features] each) are those of the distinct prompts.
    """

    owner: list[int]
    images: list[Any]
    fields: dict[str, Any]
    grids: torch.Tensor
    pixels: Sequence[torch.Tensor]
    features: Sequence[Features] | None

    @property
    def first(self) -> list[int]:
        """The first row of each distinct prompt."""
        return first_of_each(self.owner)


class KnownPrompts:
    """The processor, except that it answers from memory about the batch that was tokenised last.

    TRL processes every completion's image a second time, only to get the same pixels again.
    """

    def __init__(self, processor: Any, known: Callable[[], Generation | None]) -> None:
        self._processor = processor
        self._known = known

    def __getattr__(self, name: str) -> Any:
        return getattr(self._processor, name)

    def __call__(self, *args: Any, images: Any = None, **kwargs: Any) -> Any:
        known = self._known()
        if known is None or images is not known.images:
            return self._processor(*args, images=images, **kwargs)
        return {
            name: values
            if name in VISUAL
            else pad([torch.as_tensor(value) for value in values], padding_value=0, padding_side="left")
            for name, values in known.fields.items()
        }


def distinct_prompts(prompts: Sequence[list[dict[str, Any]]]) -> tuple[list[int], list[int], list[tuple[str, ...]]]:
    """(row of each distinct prompt, its number for every row, the image keys of each distinct prompt).

    Prompts are the same when their roles, their texts and their images' pixels are.
    """
    known: dict[int, str] = {}  # a group's copies hold one image object

    def key_of(image: Any) -> str:
        if id(image) not in known:
            known[id(image)] = image_key(image)
        return known[id(image)]

    numbers: dict[Any, int] = {}
    first: list[int] = []
    owner: list[int] = []
    keys: list[tuple[str, ...]] = []
    for row, prompt in enumerate(prompts):
        parts = [(message["role"], *part) for message in prompt for part in _parts(message["content"])]
        images = tuple(key_of(value) for _, kind, value in parts if kind == "image")
        said = tuple((role, kind, None if kind == "image" else value) for role, kind, value in parts)
        number = numbers.setdefault((said, images), len(first))
        if number == len(first):
            first.append(row)
            keys.append(images)
        owner.append(number)
    return first, owner, keys


def _parts(content: Any) -> list[tuple[str, Any]]:
    if isinstance(content, str):
        return [("text", content)]
    return [(part["type"], part[part["type"]]) for part in content]


def first_of_each(owner: Sequence[int]) -> list[int]:
    """The first row of each number 0, 1, … in ``owner``."""
    first: dict[int, int] = {}
    for row, number in enumerate(owner):
        first.setdefault(number, row)
    return [first[number] for number in range(len(first))]
