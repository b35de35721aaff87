"""What surrounds the text on a card of full size: signatures, chips, flags, ghost portraits, holograms, logos.

Every function draws on ``image`` (uint8 [H, W, 3] RGB) in place, below the values, from the generator passed in.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from degradations.documents.art.backgrounds import rosette
from degradations.documents.model import Colour
from kie_hvqa.errors import InputError

Rect = tuple[int, int, int, int]  # x0, y0, x1, y1 in whole pixels


def stain(image: np.ndarray, mask: np.ndarray, x: int, y: int, colour: Colour | np.ndarray, opacity: float) -> None:
    """Mixes ``colour`` into ``image`` where ``mask`` (uint8 [h, w], its corner at (x, y)) is set."""
    height, width = image.shape[:2]
    x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + mask.shape[1], width), min(y + mask.shape[0], height)
    if x0 >= x1 or y0 >= y1:
        return
    region = image[y0:y1, x0:x1]
    weight = mask[y0 - y : y1 - y, x0 - x : x1 - x, None].astype(np.float32) * np.float32(opacity / 255)
    target = np.asarray(colour, np.float32)
    if target.ndim == 3:
        target = target[y0 - y : y1 - y, x0 - x : x1 - x]
    region[...] = np.clip(region + weight * (target - region) + 0.5, 0, 255).astype(np.uint8)


def _polyline(mask: np.ndarray, x: np.ndarray, y: np.ndarray, thickness: int) -> None:
    points = np.rint(np.stack([x, y], axis=1) * 16).astype(np.int32)
    cv2.polylines(mask, [points], False, 255, thickness, cv2.LINE_AA, 4)


def signature(image: np.ndarray, rng: np.random.Generator, box: Rect, colour: Colour = (24, 28, 70)) -> None:
    """A pen's path: loops that drift to the right, tall at first, ending in a flourish."""
    x0, y0, x1, y1 = box
    width, height = x1 - x0, y1 - y0
    t = np.linspace(0, 1, 500)
    loops = rng.uniform(7, 12)
    phase = 2 * np.pi * loops * t + 1.5 * np.sin(2 * np.pi * t * rng.uniform(1, 3))
    second = rng.uniform(0.4, 0.7)
    tall = 0.16 + 0.30 * np.exp(-(((t - 0.06) / 0.07) ** 2)) + 0.2 * np.exp(-(((t - second) / 0.05) ** 2))
    x = width * (0.06 + 0.84 * t + 0.035 * np.sin(phase) + 0.02 * np.sin(2.3 * phase))
    y = height * (0.56 - 0.08 * t - tall * np.cos(phase) * (0.7 + 0.3 * np.sin(7 * t + rng.uniform(0, 6))))
    x = x + 0.22 * (height * 0.5 - y)  # a right hand's slant
    mask = np.zeros((height, width), np.uint8)
    _polyline(mask, x, y, 2 if height < 120 else 3)
    if rng.random() < 0.5:
        s = np.linspace(0, 1, 60)
        _polyline(mask, width * (0.15 + 0.75 * s), height * (0.86 - 0.12 * s + 0.06 * np.sin(5 * s)), 2)
    stain(image, mask, x0, y0, colour, 0.85)


def ghost(image: np.ndarray, picture: np.ndarray, x: int, y: int, opacity: float) -> None:
    """A portrait printed faintly in grey, fading out at its border, never lighter than the card."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    height, width = grey.shape
    yy, xx = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    fade = np.clip(1.35 - (np.abs(xx) ** 3 + np.abs(yy) ** 3), 0, 1)
    stain(image, ((235 - np.minimum(grey, 235)) * fade).astype(np.uint8), x, y, (60, 60, 66), opacity)


def chip(image: np.ndarray, rng: np.random.Generator, x: int, y: int, width: int, height: int) -> None:
    """A contact chip: eight gold fields."""
    yy, xx = np.ogrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    light = 0.84 + 0.18 * np.sin(2.2 * (xx + yy * rng.uniform(0.4, 1.4)) + rng.uniform(0, 3))
    gold = np.asarray((214, 178, 96), np.float32) * light[..., None].astype(np.float32)
    mask = np.zeros((height, width), np.uint8)
    r = height // 6
    cv2.rectangle(mask, (r, 0), (width - 1 - r, height - 1), 255, -1)
    cv2.rectangle(mask, (0, r), (width - 1, height - 1 - r), 255, -1)
    for cx in (r, width - 1 - r):
        for cy in (r, height - 1 - r):
            cv2.circle(mask, (cx, cy), r, 255, -1, cv2.LINE_AA)
    stain(image, mask, x, y, gold, 0.96)
    lines = np.zeros((height, width), np.uint8)
    left, right = int(width * 0.34), int(width * 0.66)
    for cx in (left, right):
        cv2.line(lines, (cx, 0), (cx, height), 255, 2, cv2.LINE_AA)
    for part in (0.27, 0.5, 0.73):
        cv2.line(lines, (0, int(height * part)), (left, int(height * part)), 255, 2, cv2.LINE_AA)
        cv2.line(lines, (right, int(height * part)), (width, int(height * part)), 255, 2, cv2.LINE_AA)
    cv2.ellipse(lines, (width // 2, height // 2), (width // 9, height // 5), 0, 0, 360, 255, 2, cv2.LINE_AA)
    stain(image, cv2.min(lines, mask), x, y, (116, 88, 38), 0.8)


def _star(mask: np.ndarray, cx: float, cy: float, radius: float) -> None:
    angles = np.arange(10) * np.pi / 5 - np.pi / 2
    reach = np.where(np.arange(10) % 2 == 0, radius, radius * 0.42)
    points = np.stack([cx + reach * np.cos(angles), cy + reach * np.sin(angles)], axis=1)
    cv2.fillPoly(mask, [np.rint(points * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)


def star_badge(image: np.ndarray, x: int, y: int, radius: int, colour: Colour = (196, 152, 48)) -> None:
    """A filled disc with a star left out of it."""
    mask = np.zeros((2 * radius + 2, 2 * radius + 2), np.uint8)
    cv2.circle(mask, (radius, radius), radius, 255, -1, cv2.LINE_AA)
    hole = np.zeros_like(mask)
    _star(hole, radius, radius, radius * 0.72)
    stain(image, cv2.subtract(mask, hole), x, y, colour, 0.92)


def coat_of_arms(image: np.ndarray, cx: int, cy: int, radius: int, colour: Colour) -> None:
    """A shield with a chevron and three stars in a wreath: nobody's arms."""
    size = 2 * radius + 2
    mask, middle = np.zeros((size, size), np.uint8), radius + 1
    rosette(mask, (middle, middle), radius * 0.86, 24, 4, 0.0)
    shield = np.zeros_like(mask)
    t = np.linspace(0, 1, 24)
    half, top = radius * 0.52, middle - radius * 0.5
    side = np.stack([half * np.sqrt(np.clip(1 - t**3, 0, 1)), t * radius * 1.15], axis=1)
    outline = np.concatenate([side * (1, 1), side[::-1] * (-1, 1)]) + np.array([middle, top])
    cv2.fillPoly(shield, [np.rint(outline * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    inner = np.zeros_like(mask)
    bend = np.array([[-0.42, 0.25], [0, -0.12], [0.42, 0.25], [0.42, 0.45], [0, 0.08], [-0.42, 0.45]]) * radius + middle
    cv2.fillPoly(inner, [np.rint(bend * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    for x, y in ((-0.25, -0.28), (0.25, -0.28), (0.0, 0.42)):
        _star(inner, middle + x * radius, middle + y * radius, radius * 0.13)
    stain(image, cv2.max(mask, cv2.subtract(shield, inner)), cx - radius, cy - radius, colour, 0.85)


def star_flag(image: np.ndarray, box: Rect, colour: Colour = (20, 52, 140)) -> None:
    """Twelve gold stars in a ring on blue."""
    x0, y0, x1, y1 = box
    width, height = x1 - x0, y1 - y0
    stain(image, np.full((height, width), 255, np.uint8), x0, y0, colour, 0.95)
    stars = np.zeros((height, width), np.uint8)
    for k in range(12):
        angle = k * np.pi / 6
        reach = min(width, height) * 0.33
        _star(stars, width / 2 + reach * np.sin(angle), height / 2 - reach * np.cos(angle), height * 0.065)
    stain(image, stars, x0, y0, (250, 210, 60), 0.95)


@lru_cache(maxsize=24)
def _foil(radius: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Mask uint8 [2r, 2r] and colours float32 [2r, 2r, 3] of one patch of foil."""
    rng = np.random.default_rng([seed, 31])
    size = 2 * radius
    mask = np.zeros((size, size), np.uint8)
    rosette(mask, (radius, radius), radius * 0.84, int(rng.integers(7, 19)), 22, rng.uniform(3, 12))
    mask = cv2.GaussianBlur(mask, (5, 5), 0.8)
    yy, xx = np.ogrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    disc = np.clip((1 - np.sqrt(xx**2 + yy**2)) * 6, 0, 1)
    hue = (xx * rng.uniform(40, 110) + yy * rng.uniform(-80, 80) + rng.uniform(0, 180)) % 180
    hsv = np.stack([hue, np.full_like(hue, 120), np.full_like(hue, 255)], axis=-1).astype(np.uint8)
    colours = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB).astype(np.float32)
    return (np.maximum(mask.astype(np.float32), 70) * disc).astype(np.uint8), colours


def hologram(image: np.ndarray, rng: np.random.Generator, cx: int, cy: int, radius: int, opacity: float) -> None:
    """A patch of diffraction foil: wreaths whose colour turns with the place. One of eight, at any brightness."""
    film, colours = _foil(radius, int(rng.integers(8)))
    stain(image, film, cx - radius, cy - radius, colours, opacity * float(rng.uniform(0.6, 1.2)))


def barcode(image: np.ndarray, rng: np.random.Generator, box: Rect, colour: Colour = (22, 22, 26)) -> None:
    """Vertical bars of one to four modules. They encode nothing."""
    x0, y0, x1, y1 = box
    bars = np.zeros(x1 - x0, np.uint8)
    position, module = 0, 2 if x1 - x0 > 160 else 1
    while position < len(bars) - 6 * module:
        width, space = (int(v) * module for v in rng.integers(1, 5, 2))
        bars[position : position + width] = 255
        position += width + space
    stain(image, np.repeat(bars[None], y1 - y0, axis=0), x0, y0, colour, 0.9)


def logo(image: np.ndarray, rng: np.random.Generator, x: int, y: int, size: int, colour: Colour) -> None:
    """A company's mark: two or three plain shapes."""
    mask = np.zeros((size, size), np.uint8)
    half = size // 2
    match int(rng.integers(4)):
        case 0:
            cv2.circle(mask, (half, half), half - 2, 255, -1, cv2.LINE_AA)
            cv2.circle(mask, (int(half * 1.3), int(half * 0.8)), half // 2, 0, -1, cv2.LINE_AA)
        case 1:
            for k in range(3):
                x0 = k * size // 4
                points = np.array([[x0, size - 2], [x0 + half, size - 2], [x0 + half // 2, 4 + k * 8]], np.int32)
                cv2.fillPoly(mask, [points], 255 if k % 2 == 0 else 150, cv2.LINE_AA)
        case 2:
            for k in range(4):
                top = size - 2 - int(size * (0.3 + 0.2 * k))
                cv2.rectangle(mask, (k * size // 4, top), (k * size // 4 + size // 6, size - 2), 255, -1)
        case _:
            rosette(mask, (half, half), half * 0.82, int(rng.integers(3, 7)), 9)
            mask = cv2.dilate(mask, np.ones((2, 2), np.uint8))
    stain(image, mask, x, y, colour, 0.95)


def oval_seal(image: np.ndarray, box: Rect, colour: Colour, opacity: float) -> None:
    """Two rings of a supervising seal, as unevenly inked as a printed one is."""
    x0, y0, x1, y1 = box
    width, height = x1 - x0, y1 - y0
    mask = np.zeros((height, width), np.uint8)
    for inset, line in ((3, 4), (11, 2)):
        axes = (width // 2 - inset, height // 2 - inset)
        cv2.ellipse(mask, (width // 2, height // 2), axes, 0, 0, 360, 255, line, cv2.LINE_AA)
    _star(mask, width / 2, height * 0.62, height * 0.07)
    stain(image, mask, x0, y0, colour, opacity)


def square_code(image: np.ndarray, rng: np.random.Generator, box: Rect, colour: Colour = (24, 24, 28)) -> None:
    """A two-dimensional code of 29 modules a side with its three finders. It encodes nothing."""
    x0, y0, x1, y1 = box
    modules = (rng.random((29, 29)) < 0.5).astype(np.uint8)
    for row, column in ((0, 0), (0, 22), (22, 0)):
        finder = np.zeros((8, 8), np.uint8)
        finder[:7, :7] = 1
        finder[1:6, 1:6] = 0
        finder[2:5, 2:5] = 1
        top, left = (slice(0, 8) if v == 0 else slice(21, 29) for v in (row, column))
        modules[top, left] = finder[:: 1 if row == 0 else -1, :: 1 if column == 0 else -1]
    size = (x1 - x0, y1 - y0)
    stain(image, cv2.resize(modules * np.uint8(255), size, interpolation=cv2.INTER_NEAREST), x0, y0, colour, 0.92)


def stripe(image: np.ndarray, box: Rect, colour: Colour = (24, 24, 26)) -> None:
    """A magnetic stripe."""
    x0, y0, x1, y1 = box
    stain(image, np.full((y1 - y0, x1 - x0), 255, np.uint8), x0, y0, colour, 0.95)


_BARS: dict[str, tuple[Colour, ...]] = {
    "FRA": ((38, 60, 150), (244, 244, 244), (206, 40, 52)), "ITA": ((20, 130, 70), (244, 244, 244), (200, 45, 55)),
    "DEU": ((30, 30, 30), (196, 30, 40), (240, 196, 40)), "ESP": ((186, 30, 40), (246, 196, 30), (186, 30, 40)),
    "MEX": ((20, 110, 70), (244, 244, 244), (196, 30, 45)),
}  # fmt: skip


def tricolour(image: np.ndarray, box: Rect, variant: str) -> None:
    """Three bars, upright, or lying for those countries whose flag lies."""
    x0, y0, x1, y1 = box
    bars = _BARS.get(variant, ((60, 80, 150), (240, 240, 240), (170, 60, 60)))
    lying = variant in ("DEU", "ESP", "NLD")
    for k, colour in enumerate(bars):
        low, high = k / 3, (k + 1) / 3
        part = (
            (x0, round(y0 + low * (y1 - y0)), x1, round(y0 + high * (y1 - y0)))
            if lying
            else (round(x0 + low * (x1 - x0)), y0, round(x0 + high * (x1 - x0)), y1)
        )
        stain(image, np.full((part[3] - part[1], part[2] - part[0]), 255, np.uint8), part[0], part[1], colour, 0.92)


def contactless(image: np.ndarray, box: Rect, colour: Colour) -> None:
    """Four arcs that spread to the right."""
    x0, y0, x1, y1 = box
    mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
    height = y1 - y0
    for k in range(4):
        reach = int(height * (0.2 + 0.18 * k))
        line = max(1, height // 14)
        cv2.ellipse(mask, (0, height // 2), (reach, reach), 0, -38, 38, 255, line, cv2.LINE_AA)
    stain(image, mask, x0, y0, colour, 0.85)


def wreath(image: np.ndarray, rng: np.random.Generator, box: Rect, colour: Colour, opacity: float) -> None:
    """A guilloche rosette."""
    x0, y0, x1, y1 = box
    side = min(x1 - x0, y1 - y0)
    mask = np.zeros((side, side), np.uint8)
    for turn in (rng.uniform(2, 5), -rng.uniform(2, 5)):
        rosette(mask, (side / 2, side / 2), side * 0.42, int(rng.integers(8, 22)), 12, turn)
    stain(image, mask, x0, y0, colour, opacity)


def draw(
    kind: str,
    image: np.ndarray,
    rng: np.random.Generator,
    box: Rect,
    colour: Colour,
    opacity: float,
    picture: np.ndarray | None,
    variant: str = "",
) -> None:
    """Draws ``kind`` into ``box``. ``picture`` is the portrait that a ghost repeats; ``variant`` a country's code."""
    x0, y0, x1, y1 = box
    width, height = x1 - x0, y1 - y0
    radius, cx, cy = max(1, min(width, height) // 2), (x0 + x1) // 2, (y0 + y1) // 2
    match kind:
        case "ghost":
            if picture is not None:
                ghost(image, cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), x0, y0, opacity)
        case "signature":
            signature(image, rng, box, colour)
        case "chip":
            chip(image, rng, x0, y0, width, height)
        case "stars":
            star_flag(image, box)
        case "arms":
            coat_of_arms(image, cx, cy, radius, colour)
        case "hologram":
            hologram(image, rng, cx, cy, radius, opacity)
        case "star":
            star_badge(image, x0, y0, radius)
        case "barcode":
            barcode(image, rng, box, colour)
        case "square":
            square_code(image, rng, box, colour)
        case "logo":
            logo(image, rng, x0, y0, min(width, height), colour)
        case "seal":
            oval_seal(image, box, colour, opacity)
        case "stripe":
            stripe(image, box, colour)
        case "tricolour":
            tricolour(image, box, variant)
        case "contactless":
            contactless(image, box, colour)
        case "rosette":
            wreath(image, rng, box, colour, opacity)
        case _:
            raise InputError(f"unknown kind of art {kind!r}", remedy="see degradations/documents/elements.py")
