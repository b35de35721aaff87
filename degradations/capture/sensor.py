"""From light to a file as a phone or a scanner makes it: lens, white balance and tone, denoised noise, sharpening, JPEG.

What is left of noise after a camera's denoiser is not white: soft grain in brightness and blotches in colour. It is cut
from one sheet, made once a process, at a place that the capture says, so a window of the picture meets the same noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field

from degradations.capture.textures import repeats
from degradations.operators.base import Finite, Image, NotNegative, Origin, Positive, Seed, Share

_SIDE, _LEVELS = 512, 20.0
_WIDE = 2  # pixels that the unsharp mask reaches
_BAND = 128
Triple = tuple[Positive, Positive, Positive]


@dataclass(frozen=True, slots=True)
class Sensor:
    """``soft``: standard deviation of the lens' spot (pixels). ``sharpen``: amount of the unsharp mask, one pixel wide.

    ``black`` and ``white`` are the grey levels of an ideal black and of white paper in full light, ``gamma`` bends the curve
    between, ``balance`` are the gains of red, green and blue. ``grain`` is the noise in grey levels, ``chroma`` the share of
    colour in it. ``threshold``: above 0 every pixel becomes black or white there (a fax, which has more and smaller pixels than
    this picture: what lies between stays a little grey), then ``soft`` follows.
    The lens is focused on row ``focus`` of the picture; a spot a thousand rows from there has ``defocus`` pixels more (its
    standard deviation, added in squares): a page that is not square to the camera is sharpest in one place.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    soft: NotNegative
    sharpen: NotNegative
    black: Finite
    white: Finite
    gamma: Positive
    balance: Triple
    grain: NotNegative
    chroma: Share
    threshold: Annotated[int, Field(ge=0, le=255)]
    seed: Seed
    focus: Finite = 0.0
    defocus: NotNegative = 0.0

    def exposed(self, image: Image, origin: Origin, *, noise: bool = True) -> Image:
        """A window of the picture at ``origin`` as the sensor and its processor give it."""
        if self.threshold:
            grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
            image = cv2.merge((cv2.LUT(grey, _binary(self.threshold)),) * 3)
        result = np.empty_like(image)
        # In bands of the picture's rows: what is made on the way stays in the processor's cache, and a band has one focus.
        for start in range(-(origin[1] % _BAND), len(image), _BAND):
            top, bottom = max(0, start), min(start + _BAND, len(image))
            away = origin[1] + start + _BAND / 2 - self.focus
            soft = math.hypot(self.soft, self.defocus * away / 1000)
            reach = _radius(soft) + _WIDE
            first, rows = max(0, top - reach), result[top:bottom]
            focused = self._focused(image[first : bottom + reach], soft)[top - first :][: len(rows)]
            cv2.LUT(focused, _curve(self), dst=rows)
            if noise and self.grain:
                self._add_noise(rows, (origin[0], origin[1] + top))
        return result

    def _focused(self, image: Image, soft: float) -> Image:
        """Lens and unsharp mask in one: a difference of two Gaussians."""
        narrow = _gauss(image, soft)
        if not self.sharpen:
            return narrow
        side = 2 * _WIDE + 1
        wide = np.asarray(cv2.GaussianBlur(narrow, (side, side), 1.0, borderType=cv2.BORDER_REFLECT), np.uint8)
        return np.asarray(cv2.addWeighted(narrow, 1 + self.sharpen, wide, -self.sharpen, 0), np.uint8)

    def _add_noise(self, image: Image, origin: Origin) -> None:
        lighter, darker = _noise(self.chroma, self.grain)
        for here, there in repeats(len(lighter), self.seed, origin, image.shape):
            part = image[here]
            cv2.add(part, lighter[there], dst=part)
            cv2.subtract(part, darker[there], dst=part)


# An observer takes the same window again and again, with other characters in it: what does not depend on them is kept.
@lru_cache(maxsize=4)
def _curve(sensor: Sensor) -> NDArray[np.uint8]:
    """White balance and tone of each channel, uint8 [1, 256, 3]."""
    v = (np.arange(256) / 255) ** sensor.gamma
    level = sensor.black + (sensor.white - sensor.black) * v[:, None] * np.asarray(sensor.balance)
    return np.clip(np.rint(level), 0, 255).astype(np.uint8)[None]


def _binary(threshold: int) -> NDArray[np.uint8]:
    """Black below ``threshold``, white above, with a ramp of a third of the scale: black pixels finer than these."""
    return np.clip(np.rint((np.arange(256) - threshold) * 3.0 + 128), 0, 255).astype(np.uint8)


def _radius(sigma: float) -> int:
    """Pixels that a lens' spot reaches."""
    return 0 if sigma < 0.2 else int(np.ceil(2.6 * sigma))


def _gauss(image: Image, sigma: float) -> Image:
    if not _radius(sigma):
        return image
    side = 2 * _radius(sigma) + 1
    return np.asarray(cv2.GaussianBlur(image, (side, side), sigma, borderType=cv2.BORDER_REFLECT), np.uint8)


@lru_cache(maxsize=2)
def _noise(chroma: float, grain: float) -> tuple[Image, Image]:
    """What noise of ``grain`` grey levels adds and what it takes away, uint8 [n, n, 3] each; not to be written to."""
    change = np.rint((np.arange(256) - 128) * (grain / _LEVELS))
    both = [cv2.LUT(_sheet(chroma), np.clip(sign * change, 0, 255).astype(np.uint8)) for sign in (1, -1)]
    return np.asarray(both[0], np.uint8), np.asarray(both[1], np.uint8)


@lru_cache(maxsize=4)
def _sheet(chroma: float) -> Image:
    """Noise of ``_LEVELS`` grey levels around 128, uint8 [n, n, 3], periodic: soft grain in brightness, and blotches of colour
    ``chroma`` times as strong."""
    rng = np.random.default_rng(5407)
    fy, fx = np.fft.fftfreq(_SIDE)[:, None], np.fft.rfftfreq(_SIDE)[None, :]
    radius = np.square(fx) + np.square(fy)

    def field(size: float) -> NDArray[np.floating]:
        spectrum = np.fft.rfft2(rng.standard_normal((_SIDE, _SIDE), dtype=np.float32))
        made = np.fft.irfft2(spectrum * np.exp(-6 * radius * size * size), (_SIDE, _SIDE))
        return made / made.std()

    luma = 0.85 * field(1.1) + 0.5 * field(3.0)
    red, blue = (0.7 * field(4.0) + 0.7 * field(9.0) for _ in range(2))
    colours = np.stack([red, -0.4 * red - 0.4 * blue, blue], axis=-1)
    sheet = np.clip(np.rint(128 + _LEVELS * (luma[:, :, None] + chroma * colours)), 0, 255).astype(np.uint8)
    sheet.setflags(write=False)
    return sheet


def jpeg_bytes(image: Image, quality: int) -> bytes:
    """``image`` (uint8 [H, W, 3] RGB) as a JPEG file at ``quality`` with 4:2:0 chroma."""
    flags = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420]
    return cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), flags)[1].tobytes()


def decoded(data: bytes) -> Image:
    """What is in such a file, uint8 [H, W, 3] RGB."""
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB), np.uint8)
