"""Loads a model and its processor for reading: local or from the hub, with an adapter over it, on a chosen device.

The adapter's layers stay beside the base model's, as they were trained: ``kie-hvqa merge`` folds them in, which rounds.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

from kie_hvqa.console import moves, quiet
from kie_hvqa.errors import InputError, WorkError
from kie_hvqa.readers.adapters import with_adapter
from kie_hvqa.readers.model_source import ModelSource
from kie_hvqa.torch_check import require_torch

DTYPES = ("float32", "bfloat16", "float16")


def check_placement(device: str | None, dtype: str | None) -> None:
    """InputError for a dtype or a device that there is not, as far as that shows without torch."""
    if dtype is not None and dtype not in DTYPES:
        raise InputError(f"unknown dtype {dtype!r}", field="dtype", remedy=f"Use {', '.join(DTYPES)}.")
    kind = None if device is None else device.partition(":")[0]
    if kind is not None and kind not in ("cpu", "cuda", "mps", "xpu", "npu"):
        raise InputError(f"unknown device {device!r}", field="device", remedy="Use cpu, cuda, cuda:1, mps …")


def load_model(source: ModelSource, *, device: str | None = None, dtype: str | None = None) -> tuple[Any, Any]:
    """(model in evaluation mode, processor). Where None, the accelerator if there is one, and there the checkpoint's dtype.

    InputError for a model that cannot be loaded and a device that is not there; WorkError where it does not fit.
    """
    require_torch()
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor

    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if place.type == "cuda" and (place.index or 0) >= torch.cuda.device_count():
        raise InputError(
            f"there is no {device} ({torch.cuda.device_count()} GPUs seen)", field="device", remedy="Use cpu."
        )
    kind: Any = dtype or ("auto" if place.type != "cpu" else "float32")
    # A local directory that lacks a file must fail here, not ask a hub for it.
    where: dict[str, Any] = {"revision": source.revision} if source.hub else {"local_files_only": True}
    where["trust_remote_code"] = False  # unsaid, transformers asks at the terminal whether to run the checkpoint's code
    name = source.hub or source.model
    try:
        with _bars_where_they_move():
            own_processor = source.processor != source.model
            processor = (
                AutoProcessor.from_pretrained(source.processor, local_files_only=True, trust_remote_code=False)
                if own_processor
                else AutoProcessor.from_pretrained(name, **where)
            )
            model = AutoModelForImageTextToText.from_pretrained(name, dtype=kind, use_safetensors=True, **where)
            if source.adapter is not None:
                # the transformers class itself, its linear layers replaced by adapted ones
                model = with_adapter(model, source.adapter).get_base_model()
        return model.to(place).eval(), processor
    except InputError:
        raise
    except torch.OutOfMemoryError as error:
        raise WorkError(f"{name} does not fit the memory of {place} ({error})") from None
    except Exception as error:  # the loaders raise OSError, ValueError, SafetensorError, RuntimeError, KeyError, …
        reason = (str(error).strip().splitlines() or [""])[0][:300]
        raise InputError(
            f"the model cannot be loaded ({type(error).__name__}: {reason})",
            file=source.adapter or name,
            remedy="Check that it is a whole image-text-to-text checkpoint with its processor.",
        ) from error


@contextlib.contextmanager
def _bars_where_they_move() -> Iterator[None]:
    """transformers' bar for the weights of a file writes over itself, which a file or a pipe cannot."""
    from transformers.utils import logging

    hidden = logging.is_progress_bar_enabled() and (quiet() or not moves(sys.stderr))
    if hidden:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        if hidden:
            logging.enable_progress_bar()
