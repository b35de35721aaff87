"""Keeps what the frozen vision tower said about an image, so that no image is encoded twice.

TRL encodes an image once for each of G completions in generation, again in every loss pass, and again in every
epoch. With the tower frozen its output is a constant of the image. Here the trainer's ``pixel_values`` hold a
*handle* instead of pixels: an int64 column that repeats the image's number on each of its patch rows, so that TRL may
split, shuffle and join it as it does with pixels, at a thousandth of the memory. ``FeatureStore`` turns handles into
features: from memory (least recently used out first), from a spill file, or by encoding.

Images are encoded one at a time. Batched, a result would depend in its last bit on what an image shared a matrix
product with, and a run that was killed and resumed would no longer equal the one that was not.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

MIB = 1 << 20
Encode = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def image_key(image: Image.Image) -> str:
    """A digest of mode, size and pixels: the same for equal images, whichever object or process holds them."""
    digest = hashlib.blake2b(f"{image.mode}{image.size}".encode(), digest_size=16)
    digest.update(image.tobytes())
    return digest.hexdigest()


class FeatureStore:
    """Features by image, at most ``memory_mib`` of them in memory and ``spill_mib`` in files under ``spill``.

    ``encode(pixel_values [patches, features], grid_thw [1, 3])`` gives the merged tokens of one image
    ([tokens, text hidden]). ``agree(n)`` is the largest n of all processes: under ZeRO-3 a forward pass gathers
    weights, so every process must make as many as the one that needs most.
    """

    def __init__(
        self,
        encode: Encode,
        *,
        memory_mib: int,
        spill: Path | None = None,
        spill_mib: int = 0,
        agree: Callable[[int], int] | None = None,
    ) -> None:
        self._encode = encode
        self._agree = agree or (lambda count: count)
        self._memory: OrderedDict[str, torch.Tensor] = OrderedDict()
        self._memory_limit = memory_mib * MIB
        self._memory_used = 0
        self._spilled: OrderedDict[str, int] = OrderedDict()
        self._spill = spill if spill_mib else None
        self._spill_limit = spill_mib * MIB
        self._spill_used = 0
        self._numbers: dict[str, int] = {}
        self._keys: list[str] = []
        self._pixels: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
        self.encoded = 0
        self.reused = 0

    def handles(self, keys: Sequence[str], pixels: Sequence[torch.Tensor], grids: torch.Tensor) -> list[torch.Tensor]:
        """One int64 handle [patches, 1] an image, standing for its pixels in a batch.

        ``grids`` int64 [images, 3]. Pixels are kept until the next call, because a feature may have been thrown out
        by the time that the loss pass asks for it.
        """
        self._pixels = {key: (pixel, grid[None]) for key, pixel, grid in zip(keys, pixels, grids, strict=True)}
        made = []
        for key, grid in zip(keys, grids, strict=True):
            number = self._numbers.setdefault(key, len(self._keys))
            if number == len(self._keys):
                self._keys.append(key)
            made.append(torch.full((int(grid.prod()), 1), number))
        return made

    def features(self, handles: torch.Tensor, grids: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The features of each image of a batch, in order: ``handles`` int64 [patches of all, 1], ``grids`` [images, 3]."""
        starts = grids.prod(-1).cumsum(0) - grids.prod(-1)
        keys = [self._keys[number] for number in handles[starts, 0].tolist()]
        found = {key: feature for key in dict.fromkeys(keys) if (feature := self._look_up(key)) is not None}
        missing = [key for key in dict.fromkeys(keys) if key not in found]
        self.encoded += len(missing)
        self.reused += len(keys) - len(missing)
        for index in range(self._agree(len(missing))):
            key = missing[index] if index < len(missing) else keys[0]
            with torch.no_grad():
                feature = self._encode(*self._pixels[key])
            if index < len(missing):
                found[key] = feature
                self._keep(key, feature)
        return tuple(found[key] for key in keys)

    def _look_up(self, key: str) -> torch.Tensor | None:
        if key in self._memory:
            self._memory.move_to_end(key)
            return self._memory[key]
        if key in self._spilled:
            device = self._pixels[key][0].device if key in self._pixels else "cpu"
            feature = load_file(self._file(key), device=str(device))["features"]
            self._keep(key, feature)
            return feature
        return None

    def _keep(self, key: str, feature: torch.Tensor) -> None:
        self._memory[key] = feature
        self._memory_used += feature.nbytes
        while self._memory_used > self._memory_limit:
            oldest, dropped = self._memory.popitem(last=False)
            self._memory_used -= dropped.nbytes
            self._to_disk(oldest, dropped)

    def _to_disk(self, key: str, feature: torch.Tensor) -> None:
        if self._spill is None or key in self._spilled or feature.nbytes > self._spill_limit:
            return
        self._spill.mkdir(parents=True, exist_ok=True)
        save_file({"features": feature.contiguous()}, self._file(key))
        self._spilled[key] = feature.nbytes
        self._spill_used += feature.nbytes
        while self._spill_used > self._spill_limit:
            oldest, size = self._spilled.popitem(last=False)
            self._file(oldest).unlink(missing_ok=True)
            self._spill_used -= size

    def _file(self, key: str) -> Path:
        assert self._spill is not None
        return self._spill / f"{key}.safetensors"

    def close(self) -> None:
        """Forget everything and remove the spill files."""
        for key in self._spilled:
            self._file(key).unlink(missing_ok=True)
        if self._spill is not None and self._spill.is_dir():
            self._spill.rmdir()
        self._spilled.clear()
        self._memory.clear()
        self._pixels.clear()
        self._memory_used = self._spill_used = 0


def most_of_all_processes(count: int) -> int:
    """The largest ``count`` of all processes; all of them must call this."""
    device = "cuda" if torch.distributed.get_backend() == "nccl" else "cpu"
    largest = torch.tensor(count, device=device)
    torch.distributed.all_reduce(largest, torch.distributed.ReduceOp.MAX)
    return int(largest)


def tower_encoder(model: PreTrainedModel) -> Encode:
    """The model's own way from one image's pixels to its merged tokens. The tower must be frozen.

    Raises ValueError where it is not: features kept from one step would be wrong in the next.
    """
    if any(parameter.requires_grad for parameter in model.model.visual.parameters()):
        raise ValueError("the vision tower is being trained: its features cannot be kept")
    features_of = model.model.get_image_features

    def encode(pixels: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
        device = model.model.visual.device
        return features_of(pixels.to(device), grid.to(device), return_dict=True).pooler_output[0]

    return encode


def read_handles(model: PreTrainedModel, store: FeatureStore) -> None:
    """Let ``model`` take handles where it takes pixels; pixels it still encodes as ever."""
    features_of = model.model.get_image_features

    def get_image_features(pixel_values: torch.Tensor, image_grid_thw: torch.Tensor, **kwargs: Any) -> Any:
        if pixel_values.is_floating_point():
            return features_of(pixel_values, image_grid_thw, **kwargs)
        return BaseModelOutputWithPooling(pooler_output=store.features(pixel_values, image_grid_thw))

    model.model.get_image_features = get_image_features
