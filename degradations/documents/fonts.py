"""Faces and glyphs: where the font files come from, how wide a character is, what its coverage looks like.

Fonts come from packages only (``fontpkg-*``, and ``CHINESE`` for faces that no such package has), so that a page looks the
same on every machine. Glyphs are rasterised
by FreeType (through Pillow) one at a time at a quarter-pixel phase, unhinted in effect, and kept; a line is then
assembled from arrays, which is several times faster than one ``ImageDraw.text`` a label. Pairs are kerned as HarfBuzz
says (``kerning``); Pillow's own binding of it needs a library of the system's and would set other pages where that
is missing. Ligatures are left out: every character keeps a glyph and a box of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import fontpkg
import numpy as np
import uharfbuzz
from PIL import ImageFont

from kie_hvqa.errors import InputError

PHASES = 4  # horizontal sub-pixel positions a glyph is kept at
_UNITS = 1000  # advances are measured at this em size, where hinting no longer rounds them
_MISSING = "\uffff"  # a noncharacter: every font answers it with its .notdef glyph


@dataclass(frozen=True, slots=True)
class Glyph:
    """Coverage uint8 [h, w] and where its top left corner lies from (whole-pixel pen, baseline)."""

    coverage: np.ndarray
    left: int
    top: int


# Noto's Simplified Chinese faces in their regular weight: every character of GB 18030's main table, under the OFL.
CHINESE_PACKAGE = "pylopdf-fonts-zh-cn"
CHINESE = {"Noto Sans SC": "NotoSansSC-Regular.otf", "Noto Serif SC": "NotoSerifSC-Regular.otf"}


# OCR-B as Raisty drew it (OFL), which machine readable zones are set in: no package carries it alone, this one does too.
OCR_B_PACKAGE = "glyphive"
OCR_B = {"OCR-B": "assets/fonts/ocr_b/OCR-B.ttf"}


def _inside(package: str, family: str, place: str) -> Path:
    spec = find_spec(package.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        raise InputError(f"font family {family!r} is not installed", remedy=f"pip install {package}")
    return Path(spec.submodule_search_locations[0]) / place


def _path(family: str, weight: int) -> Path:
    for package, families in ((CHINESE_PACKAGE, CHINESE), (OCR_B_PACKAGE, OCR_B)):
        if family in families:
            return _inside(package, family, families[family])
    try:
        return Path(fontpkg.path(family, weight, nearest=True))
    except fontpkg.FontpkgError as error:
        package = "fontpkg-" + family.lower().replace(" ", "-")
        what = f"font family {family!r} is not installed ({error})"
        raise InputError(what, remedy=f"pip install {package}") from error


def _load(family: str, weight: int, size: float) -> ImageFont.FreeTypeFont:
    path = _path(family, weight)
    font = ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)
    try:
        axes = font.get_variation_axes()
    except OSError:  # a static file: fontpkg has already picked the nearest weight
        return font
    font.set_variation_by_axes([_axis_value(axis, weight, size) for axis in axes])
    return font


def _axis_value(axis: Mapping[str, Any], weight: int, size: float) -> float:
    name = axis["name"].decode() if isinstance(axis["name"], bytes) else str(axis["name"])
    wanted = {"weight": float(weight), "optical size": size}.get(name.lower(), float(axis["default"]))
    return min(max(wanted, float(axis["minimum"])), float(axis["maximum"]))


@lru_cache(maxsize=512)
def face(family: str, weight: int, size: float) -> ImageFont.FreeTypeFont:
    """The face at ``size`` pixels per em. Raises InputError when the family's package is not installed."""
    return _load(family, weight, size)


@lru_cache(maxsize=512)
def vertical_metrics(family: str, weight: int, size: float) -> tuple[float, float]:
    """(ascent, descent) in pixels, both positive, of the characters in use: brackets and descenders, not accents."""
    tall = "Hg(/|" if family not in CHINESE else "国警慧翼蠹宇"
    _, top, _, bottom = face(family, weight, float(_UNITS)).getbbox(tall, anchor="ls")
    return -top * size / _UNITS, bottom * size / _UNITS


@lru_cache(maxsize=65536)
def advance(family: str, weight: int, size: float, char: str) -> float:
    """Unrounded advance width in pixels."""
    return face(family, weight, float(_UNITS)).getlength(char) * size / _UNITS


@lru_cache(maxsize=128)
def _shaper(family: str, weight: int) -> uharfbuzz.Font:
    font = uharfbuzz.Font(uharfbuzz.Face(uharfbuzz.Blob.from_file_path(str(_path(family, weight)))))
    # What varies by weight varies here too; a static file ignores it, as ``_path`` has picked the nearest.
    font.set_variations({"wght": float(weight)})
    return font


_PAIR = {"kern": True, "liga": False, "clig": False, "calt": False, "ccmp": False}


def _run(font: uharfbuzz.Font, text: str, *, kern: bool) -> int:
    buffer = uharfbuzz.Buffer()
    buffer.add_str(text)
    buffer.guess_segment_properties()
    uharfbuzz.shape(font, buffer, {**_PAIR, "kern": kern})
    return sum(position.x_advance for position in buffer.glyph_positions)


@lru_cache(maxsize=65536)
def _kerning(family: str, weight: int, first: str, second: str) -> float:
    font = _shaper(family, weight)
    text = first + second
    return (_run(font, text, kern=True) - _run(font, text, kern=False)) / font.face.upem


def kerning(family: str, weight: int, size: float, first: str, second: str) -> float:
    """Pixels by which ``second`` moves away from ``first`` (below 0: closer) when it follows it, unrounded."""
    return _kerning(family, weight, first, second) * size


@lru_cache(maxsize=512)
def _missing_glyph(family: str, weight: int) -> bytes:
    return bytes(face(family, weight, 40.0).getmask(_MISSING, mode="L"))


@lru_cache(maxsize=65536)
def _check_glyph(family: str, weight: int, char: str) -> None:
    if char.isspace():
        return
    if bytes(face(family, weight, 40.0).getmask(char, mode="L")) == _missing_glyph(family, weight):
        raise InputError(
            f"font {family!r} has no glyph for {char!r} (U+{ord(char):04X})",
            remedy="transliterate the text to A-Z, or choose a font that has it",
        )


@lru_cache(maxsize=262144)
def glyph(family: str, weight: int, size: float, char: str, phase: int) -> Glyph:
    """One character, its pen ``phase`` / PHASES of a pixel to the right. Raises InputError if the face lacks it."""
    _check_glyph(family, weight, char)
    # FreeType places bitmaps on whole pixels, so the glyph is drawn PHASES times larger, shifted and averaged down.
    mask, (left, top) = face(family, weight, size * PHASES).getmask2(char, mode="L", anchor="ls")
    width, height = mask.size
    if not width * height:
        return Glyph(np.zeros((0, 0), np.uint8), 0, 0)
    x0, y0 = (left + phase) // PHASES, top // PHASES
    pad_x, pad_y = left + phase - x0 * PHASES, top - y0 * PHASES
    columns, rows = -(-(pad_x + width) // PHASES), -(-(pad_y + height) // PHASES)
    large = np.zeros((rows * PHASES, columns * PHASES), np.float32)
    large[pad_y : pad_y + height, pad_x : pad_x + width] = np.frombuffer(bytes(mask), np.uint8).reshape(height, width)
    mean = cv2.resize(large, (columns, rows), interpolation=cv2.INTER_AREA)
    return Glyph(np.rint(mean).astype(np.uint8), x0, y0)
