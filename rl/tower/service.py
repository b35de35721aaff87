"""The frozen vision tower as a service: images in, features out, and no image encoded twice.

TRL encodes an image once for each of G completions in generation, again in every loss pass, again for a reference model
and again in every epoch. With the tower frozen its output is a constant of the image. The service keeps it, and the
trainer hands it to whichever model asks (``mm_encoder_outputs``, transformers' own argument for it). It stands outside
the training engine: under ZeRO-3 it holds a copy of the tower, whole (1.3 GB at 7B in bfloat16), so that no
process waits for another one's images.

Images are encoded one at a time. Batched, a result would depend in its last bit on what an image shared a matrix
product with, and a run that was killed and resumed would no longer equal the one that was not.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from kie_hvqa.errors import InputError
from rl.families import Family, Features

MIB = 1 << 20


def image_key(image: Image.Image) -> str:
    """A digest of mode, size and pixels: the same for equal images, whichever object or process holds them."""
    digest = hashlib.blake2b(f"{image.mode}{image.size}".encode(), digest_size=16)
    digest.update(image.tobytes())
    return digest.hexdigest()


class TowerService:
    """Features of images by ``image_key``. Whoever asked holds them as long as they are needed; the service itself keeps
    ``memory_mib`` of them for the next time, the least recently used leave first. ``autocast`` is the precision that the model itself would encode in.

    Raises ValueError for a tower that is being trained: features kept from one step would be wrong in the next.
    """

    def __init__(
        self,
        family: Family,
        tower: Any,
        *,
        memory_mib: int,
        autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        if any(parameter.requires_grad for parameter in tower.parameters()):
            raise ValueError("the vision tower is being trained: its features cannot be kept")
        self._family = family
        self._tower = tower
        self.autocast = autocast
        self._limit = memory_mib * MIB
        self._kept: OrderedDict[str, Features] = OrderedDict()
        self._used = 0
        self.encoded = 0
        self.reused = 0

    @torch.no_grad()
    def encode(
        self, keys: Sequence[str], pixels: Sequence[torch.Tensor], grids: torch.Tensor, device: torch.device
    ) -> list[Features]:
        """The features of each image: ``pixels`` [patches, features] of each, ``grids`` int64 [images, 3]."""
        if next(self._tower.parameters()).device != device:
            self._tower.to(device)
        found: dict[str, Features] = {}
        for key, pixel, grid in zip(keys, pixels, grids, strict=True):
            if key in found:
                continue
            if key in self._kept:
                found[key] = self._kept[key]
                self.reused += 1
                continue
            with self.autocast():
                found[key] = self._family.encode(self._tower, pixel.to(device), grid[None].to(device))
            self.encoded += 1
        for key, features in found.items():
            self._keep(key, features)
        return [found[key] for key in keys]

    def _keep(self, key: str, features: Features) -> None:
        if key not in self._kept:
            self._used += features.nbytes
        self._kept[key] = features
        self._kept.move_to_end(key)
        while self._used > self._limit and self._kept:
            self._used -= self._kept.popitem(last=False)[1].nbytes


def whole_tower(family: Family, model: Any, directory: Path) -> Any:
    """The tower of ``model``, frozen and whole in this process: its own, or where an engine has partitioned that one, a
    copy read from ``directory``. Raises InputError where the directory's weights are not those of the tower.
    """
    tower = family.tower(model)
    if not any(hasattr(parameter, "ds_id") for parameter in tower.parameters()):
        return tower
    dtype = next(tower.parameters()).dtype
    copy: Any = type(tower)(tower.config).to(dtype)
    copy.config._attn_implementation = tower.config._attn_implementation
    missing = copy.load_state_dict(_stored(directory), strict=False)
    if missing.missing_keys:
        raise InputError(
            f"{missing.missing_keys[0]} of the vision tower is not among its weights",
            file=directory,
            remedy="Name a whole checkpoint, or set sharing.features: false.",
        )
    return copy.eval().requires_grad_(False)


def _stored(directory: Path) -> dict[str, torch.Tensor]:
    """The tower's weights in ``directory`` by their names inside it; checkpoints differ in what stands before those."""
    from safetensors import safe_open

    tensors = {}
    for file in sorted(directory.glob("*.safetensors")):
        with safe_open(file, "pt") as opened:
            for name in opened.keys():  # noqa: SIM118
                if "visual." in name:
                    tensors[name.split("visual.", 1)[1]] = opened.get_tensor(name)
    return tensors
