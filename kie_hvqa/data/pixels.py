"""The pixel budget: the one way in which an image reaches a model, in training and evaluation alike.

Readers drift when training and evaluation resize differently, and memory runs out when nobody bounds the
number of image tokens. So every stage loads images through ``load_budgeted``, which is ``qwen_vl_utils``'s own
``fetch_image`` and ``smart_resize`` under an explicit budget; the budget is stored in the checkpoint
(``kie_hvqa.readers.checkpoint``). The result has sides divisible by ``factor``, so the model's processor, given the
same budget, resizes no second time. ``qwen_vl_utils`` imports torch, hence the imports inside the functions.
"""

from __future__ import annotations

import errno
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from kie_hvqa.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, slots=True)
class PixelBudget:
    """An image is resized to between ``min_pixels`` and ``max_pixels``, its sides to multiples of ``factor``.

    ``factor`` is patch size × merge size, the side of one image token in pixels. Raises InputError where the
    three contradict each other.
    """

    min_pixels: int
    max_pixels: int
    factor: int

    def __post_init__(self) -> None:
        if self.factor < 2 or self.factor % 2:
            raise InputError(
                f"{self.factor} is not an even number of pixels",
                field="factor",
                remedy="It is patch size times merge size, and merge size is 2.",
            )
        if not 0 < self.min_pixels <= self.max_pixels:
            raise InputError(
                f"min_pixels {self.min_pixels} and max_pixels {self.max_pixels} leave no image size",
                field="min_pixels",
                remedy="Use 0 < min_pixels <= max_pixels.",
            )
        if self.max_pixels < self.factor**2:
            raise InputError(
                f"{self.max_pixels} pixels are less than one image token",
                field="max_pixels",
                remedy=f"Use at least factor squared, {self.factor**2}.",
            )


def open_image(path: str | Path | BinaryIO, frame: int = 0) -> Image:
    """Decode ``path`` (or a stream) completely, as RGB and upright; transparency goes onto white, as in ``qwen_vl_utils``.

    Upright is what the file's EXIF orientation says, as every viewer shows it and every server that heeds it. Sixteen bits
    become eight. ``frame`` is the page of a file that has several. Raises InputError for a missing, unreadable, truncated or absurdly large image, and for pixels of 32 bits,
    of which nobody knows how white is written.
    """
    from PIL import Image

    try:
        with Image.open(path) as opened:
            if frame:
                opened.seek(frame)
            turn = _turn(opened)
            opened.load()
            image = opened if turn is None else opened.transpose(turn)
            if image.mode in ("F", "I"):
                kind = "floating-point numbers" if image.mode == "F" else "numbers of 32 bits"
                raise InputError(
                    f"its pixels are {kind}, and nobody knows which of them is white",
                    file=path if isinstance(path, str | Path) else None,
                    remedy="Save it with 8 or 16 bits a channel.",
                )
            if image.mode.startswith("I;16"):
                return _eight_bits(image).convert("RGB")
            if image.mode == "RGB":
                return image.copy()
            if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
                layered = image.convert("RGBA")
                white = Image.new("RGB", layered.size, (255, 255, 255))
                white.paste(layered, mask=layered.getchannel("A"))
                return white
            return image.convert("RGB")
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError("no such image", file=str(path), remedy="Check the path, or fetch the missing file.") from None
    except (*_DAMAGED, Image.DecompressionBombError) as error:
        _raise_if_the_machines(error)
        raise InputError(
            f"unreadable or truncated image ({error})",
            file=path if isinstance(path, str | Path) else None,
            remedy="Replace the file with a whole one.",
        ) from None


def image_size(path: str | Path) -> tuple[int, int]:
    """(width, height) of the upright image at ``path``, from its header alone. Raises InputError."""
    from PIL import Image

    try:
        with Image.open(path) as header:
            width, height = header.size
            return (height, width) if _turn(header) in _SIDEWAYS else (width, height)
    except (*_DAMAGED, Image.DecompressionBombError) as error:
        _raise_if_the_machines(error)
        raise InputError(
            f"unreadable image ({error})", file=path, remedy="Replace the file with a whole one."
        ) from None


def orientation_of(path: str | Path) -> int:
    """The EXIF orientation (1 to 8) that ``open_image`` heeds; 1, which is upright, where there is none. Raises OSError."""
    from PIL import Image

    with Image.open(path) as header:
        turn = _turn(header)
    return 1 if turn is None else next(value for value, known in _TURNS.items() if known == turn)


_ORIENTATION = 0x0112
_SIDEWAYS = {2, 4, 5, 6}  # Image.Transpose: ROTATE_90, ROTATE_270, TRANSPOSE, TRANSVERSE
# EXIF orientation → Image.Transpose, its other values (1 is upright) mean nothing.
_TURNS = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, ArithmeticError)  # what Pillow's decoders raise


def _raise_if_the_machines(error: BaseException) -> None:
    """No image is to blame for a process that may not open any more files."""
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        raise error


def _turn(image: Image) -> Any:
    """The ``Image.Transpose`` that puts an image, just opened, upright; None for one that is. Damaged EXIF says nothing.

    Pillow turns TIFF on its own. EXIF behind a PNG's pixels is not looked for: all of it would have to be decoded.
    """
    from PIL import Image as Pillow

    if image.format == "TIFF" or (image.format == "PNG" and "exif" not in image.info):
        return None
    try:
        turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # struct.error, KeyError, TypeError …: Pillow reads what anybody wrote there
        return None
    return None if turn is None else Pillow.Transpose(turn)


def _eight_bits(image: Image) -> Image:
    import numpy as np
    from PIL import Image as Pillow

    return Pillow.fromarray((np.asarray(image) >> 8).astype(np.uint8))


def budgeted_size(width: int, height: int, budget: PixelBudget) -> tuple[int, int]:
    """(width, height) in pixels after ``smart_resize``; InputError where no size fits (more than 200:1, say)."""
    from qwen_vl_utils.vision_process import smart_resize

    try:
        new_height, new_width = smart_resize(height, width, budget.factor, budget.min_pixels, budget.max_pixels)
    except (ValueError, ZeroDivisionError) as error:
        raise _unfit(width, height, str(error)) from None
    if min(new_width, new_height) < budget.factor:
        raise _unfit(width, height, f"it would be {new_width} x {new_height} under {budget.max_pixels} pixels")
    return new_width, new_height


def image_tokens(width: int, height: int, budget: PixelBudget) -> int:
    """The number of tokens that an image of ``width`` × ``height`` pixels becomes under ``budget``."""
    new_width, new_height = budgeted_size(width, height, budget)
    return new_width * new_height // budget.factor**2


def load_budgeted(path: str | Path, budget: PixelBudget) -> Image:
    """The image at ``path``, RGB, resized under ``budget``. Raises InputError (file and remedy)."""
    try:
        return budgeted(open_image(path), budget)
    except InputError as error:
        raise InputError(error.what, file=path, remedy=error.remedy) from None


def budgeted(image: Image, budget: PixelBudget) -> Image:
    """``image`` (RGB) resized under ``budget``. Raises InputError where no size fits."""
    from qwen_vl_utils.vision_process import fetch_image

    budgeted_size(*image.size, budget)
    request = {"image": image, "min_pixels": budget.min_pixels, "max_pixels": budget.max_pixels}
    return fetch_image(request, image_patch_size=budget.factor // 2)  # it multiplies by its merge size, 2


def bounded_size(width: int, height: int, max_pixels: int | None) -> tuple[int, int]:
    """(width, height) shrunk to at most ``max_pixels`` at the same proportions; as it is where it is no larger."""
    if max_pixels is None or width * height <= max_pixels:
        return width, height
    scale = math.sqrt(max_pixels / (width * height))
    new_width = min(max(1, math.floor(width * scale)), max_pixels)
    return new_width, min(max(1, math.floor(height * scale)), max_pixels // new_width)


def bounded(image: Image, max_pixels: int | None) -> Image:
    """``image`` shrunk to at most ``max_pixels``, for readers that resize on their own: a server, another family."""
    from PIL import Image as Pillow

    size = bounded_size(*image.size, max_pixels)
    return image if size == image.size else image.resize(size, Pillow.Resampling.BICUBIC, reducing_gap=3.0)


def _unfit(width: int, height: int, why: str) -> InputError:
    return InputError(
        f"an image of {width} x {height} does not fit the pixel budget: {why}", remedy="Crop it, or raise max_pixels."
    )
