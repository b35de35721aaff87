"""Portraits of nobody: a head modelled as a lit surface, with hair, clothes and the grain of a printed photograph.

No photograph of a person goes into these, so none comes out. A height field (ovoid, nose, sockets, lips) gives normals,
a Lambert term lights them, and everything is softened as a card printer softens it: enough for a document to look
inhabited, not enough to be anyone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np

from degradations.documents.subjects.identities import Sitter

Array = np.ndarray

SKIN = ((236, 200, 174), (222, 180, 148), (196, 148, 112), (158, 112, 82), (112, 78, 58), (244, 214, 194))
FAIR = ((236, 200, 174), (222, 180, 148), (244, 214, 194), (238, 206, 186))
HAIR = {
    "black": (30, 25, 23), "brown": (78, 54, 36), "blond": (176, 142, 92), "grey": (142, 138, 134), "red": (122, 62, 34),
    "bald": (90, 70, 56),
}  # fmt: skip
IRIS = {
    "brown": (62, 46, 36),
    "blue": (84, 110, 138),
    "green": (88, 104, 74),
    "hazel": (96, 80, 50),
    "grey": (104, 110, 114),
}
CLOTH = ((44, 54, 78), (90, 36, 42), (58, 72, 62), (70, 70, 78), (176, 172, 166), (28, 28, 34), (120, 132, 150))
BACKDROP = ((226, 228, 230), (206, 216, 226), (232, 226, 218), (196, 206, 214), (238, 238, 236))
WORK_HEIGHT = 320  # drawn at most this high and resized: a card's portrait never holds more detail
FINE = 200  # from this height on, single strands of hair and the unevenness of skin show


def _colour(rgb: Sequence[float]) -> Array:
    return np.asarray(rgb, np.float32)


def _bump(u: Array, v: Array, cu: float, cv: float, su: float, sv: float) -> Array:
    return np.exp(-(((u - cu) / su) ** 2) - ((v - cv) / sv) ** 2)


def _edge(distance: Array, softness: float) -> Array:
    """1 inside (distance < 0), 0 outside, smooth between."""
    return np.clip(0.5 - distance / (2 * softness), 0, 1)


def _over(canvas: Array, colour: Array | tuple[float, ...], mask: Array) -> None:
    canvas += mask[..., None] * (np.asarray(colour, np.float32) - canvas)


def _strands(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Noise drawn out along the hair, about -1..1."""
    coarse = rng.standard_normal((16, 128)).astype(np.float32)
    return cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)


def _combed(rng: np.random.Generator, u: Array, v: Array) -> Array:
    """Noise drawn out along hair that falls from the crown to all sides, about -1..1."""
    away = np.hypot(u, v + 1.5).astype(np.float32)
    down = np.minimum(v, 0) + 1.5  # below the eyes it hangs
    turn = np.arctan2(u, down).astype(np.float32) + np.float32(0.10) * np.sin(3 * away).astype(np.float32)
    found = np.zeros(u.shape, np.float32)
    for across, along, strength in ((60, 4, 0.55), (240, 9, 0.5)):
        locks = rng.standard_normal((along * 4, across * 2)).astype(np.float32)
        places = (turn / np.float32(np.pi) + 1) * np.float32(across), away * np.float32(along)
        found += np.float32(strength) * cv2.remap(locks, *places, cv2.INTER_CUBIC, borderMode=cv2.BORDER_WRAP)
    return found


def _uneven(rng: np.random.Generator, shape: tuple[int, ...], cells: int) -> Array:
    """Lumps, about -1..1."""
    return cv2.resize(
        rng.standard_normal((cells, cells)).astype(np.float32), (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC
    )


def _face(
    canvas: Array,
    u: Array,
    v: Array,
    skin: Array,
    hair: Array,
    sitter: Sitter,
    rng: np.random.Generator,
    art: np.random.Generator | None,
) -> None:
    """Lit skin with eyes, brows, nose and mouth. ``u``, ``v`` are face coordinates: the ovoid is about 1 x 1; ``art`` draws
    what shows on a large portrait alone."""
    man, young, old = sitter.sex == "M", sitter.age < 17, float(np.clip((sitter.age - 38) / 40, 0, 1))
    jaw = rng.uniform(0.12, 0.22) if man else rng.uniform(0.22, 0.33)
    wide = 1 - jaw * np.clip(v, 0, 1.2) ** 2
    r = np.sqrt((u / wide) ** 2 + v**2)
    # Turned a little to one side: what stands out of the ovoid moves more than its edge.
    turn = rng.uniform(-0.16, 0.16)
    u = u - turn * np.clip(1 - r**2, 0, 1)
    eye_v, eye_u = -0.10 + rng.uniform(-0.03, 0.03), 0.40 + rng.uniform(-0.03, 0.03)
    nose_w, mouth_v = rng.uniform(0.12, 0.17), 0.60 + rng.uniform(-0.04, 0.04)
    height = np.sqrt(np.clip(1.02 - r**2, 0.0, None)) * 0.9
    height += 0.22 * _bump(u, v, 0, 0.22, nose_w, 0.20) + 0.12 * _bump(u, v, 0, 0.0, nose_w * 0.8, 0.30)
    height += 0.05 * _bump(u, v, 0, mouth_v, 0.26, 0.10) + 0.05 * _bump(u, v, 0, 0.88, 0.22, 0.12)
    for side in (-1, 1):
        height -= 0.13 * _bump(u, v, side * eye_u, eye_v, 0.24, 0.13)
        height += 0.05 * _bump(u, v, side * 0.52, 0.22, 0.22, 0.18)
    step = abs(float(u[0, 1] - u[0, 0]))
    dv, du = np.gradient(height, abs(float(v[1, 0] - v[0, 0])), step)
    lamp = (-1.0 if rng.random() < 0.5 else 1.0) * rng.uniform(0.15, 0.45)
    lit = (-du * lamp + dv * 0.35 + 1.0) / np.sqrt(du**2 + dv**2 + 1) / np.sqrt(lamp**2 + 0.35**2 + 1)
    shade = 0.50 + 0.62 * np.clip(lit, 0, 1)
    flush = 0.5 * _bump(u, v, 0, 0.28, 0.2, 0.2)
    for cheek in (-0.5, 0.5):
        flush += 0.7 * _bump(u, v, cheek, 0.3, 0.26, 0.2)
    albedo = skin * (1 - flush[..., None] * _colour([0.0, 0.09, 0.10]))
    for sign in (-1, 1):  # folds from the nose to the mouth, and lines across the forehead
        fold = np.abs(u - sign * (0.20 + 0.35 * (v - 0.25))) / 0.03
        albedo *= (1 - (0.02 + 0.16 * old) * np.exp(-(fold**2)) * _edge(np.abs(v - 0.45) - 0.2, 0.08))[..., None]
    for crease in (-0.52, -0.63, -0.73):
        albedo *= (
            1
            - 0.17 * old * np.exp(-(((v - crease - 0.03 * np.cos(3 * u)) / 0.018) ** 2)) * _edge(np.abs(u) - 0.45, 0.15)
        )[..., None]
    askew, narrow = (0.0, 0.0), 1.0
    if art is not None:  # no face is even in colour, nor the same on both sides
        blotches = 0.55 * _uneven(art, u.shape, 6) + 0.35 * _uneven(art, u.shape, 26) + 0.3 * _uneven(art, u.shape, 90)
        albedo = albedo * (1 + blotches[..., None] * _colour([0.022, 0.034, 0.036]))
        if man and sitter.age > 16:
            jawline = _edge(0.40 + 0.20 * np.cos(2.6 * u) - v, 0.16) * (1 + 0.25 * blotches)
            albedo = albedo * (1 - art.uniform(0.03, 0.16) * jawline[..., None] * _colour([1.0, 0.86, 0.74]))
        shade = shade * (1 - 0.16 * _bump(u, v, 0, 0.42, 0.17, 0.06) - 0.10 * _bump(u, v, 0, 0.72, 0.20, 0.05))
        askew, narrow = tuple(art.uniform(-0.014, 0.014, 2)), art.uniform(0.72, 0.86)
    mask = _edge(r - 1.0, 0.02)
    canvas += mask[..., None] * (albedo * shade[..., None] - canvas)
    dark = skin * 0.42
    level = eye_v
    thick = rng.uniform(0.036, 0.052) if man else rng.uniform(0.024, 0.034)
    for cu, off in zip((-eye_u, eye_u), askew, strict=True):
        eye_v = level + off
        # Almonds: the upper lid cuts the iris, and its shadow lies on the white below it.
        tall = (1.12 if young else 1.0) * (1.06 if not man else 1.0) * (1 - 0.18 * old) * narrow
        opening = np.maximum(
            ((u - cu) / 0.205) ** 2 + ((v - eye_v + 0.030) / (0.100 * tall)) ** 2,
            ((u - cu) / 0.205) ** 2 + ((v - eye_v - 0.035) / (0.108 * tall)) ** 2,
        )
        white = _colour([222, 216, 210]) * (0.74 + 0.26 * skin.mean() / 255)
        shadow = 0.72 + 0.28 * np.clip((v - eye_v + 0.05) / 0.06, 0, 1)
        _over(canvas, white * shadow[..., None], _edge(opening - 1, 0.16) * 0.9)
        iris = np.sqrt(((u - cu) / 0.090) ** 2 + ((v - eye_v - 0.004) / 0.098) ** 2)
        _over(canvas, IRIS[sitter.eyes], _edge(iris - 1, 0.16) * _edge(opening - 1, 0.14))
        _over(canvas, (20, 17, 16), _edge(iris - 0.5, 0.14) * _edge(opening - 1, 0.14))
        _over(canvas, (232, 232, 232), _bump(u, v, cu - 0.03, eye_v - 0.018, 0.016, 0.018) * 0.6)
        lid = np.abs(v - (eye_v - 0.058 + 1.55 * (u - cu) ** 2)) / 0.024
        _over(canvas, dark, np.exp(-(lid**2)) * _edge(np.abs(u - cu) - 0.19, 0.05) * 0.9)
        fold = np.abs(v - (eye_v - 0.105 + 1.3 * (u - cu) ** 2)) / 0.02
        _over(canvas, skin * 0.68, np.exp(-(fold**2)) * _edge(np.abs(u - cu) - 0.18, 0.06) * 0.6)
        lower = np.abs(v - (eye_v + 0.060 - 1.3 * (u - cu) ** 2)) / 0.028
        _over(canvas, dark, np.exp(-(lower**2)) * _edge(np.abs(u - cu) - 0.17, 0.05) * 0.3)
        _over(canvas, skin * 0.78, _bump(u, v, cu, eye_v + 0.13, 0.17, 0.045) * (0.25 + 0.6 * old))
        brow = np.abs(v - (eye_v - 0.20 + 0.7 * (np.abs(u) - eye_u - 0.02) ** 2)) / thick
        _over(canvas, hair * 0.8 + skin * 0.15, np.exp(-(brow**2)) * _edge(np.abs(u - cu) - 0.23, 0.06) * 0.8)
        _over(canvas, dark, _bump(u, v, 0.085 * np.sign(cu), 0.365, 0.045, 0.022) * 0.7)
    lips = _colour([0.86, 0.62, 0.60]) if man else _colour([0.88, 0.48, 0.48])
    _over(canvas, skin * lips, _bump(u, v, 0, mouth_v, 0.24, 0.055 if man else 0.066) * (0.55 if man else 0.85))
    line = np.abs(v - (mouth_v - 0.004 + 0.08 * u**2)) / 0.016
    _over(canvas, dark * 0.8, np.exp(-(line**2)) * _edge(np.abs(u) - 0.27, 0.05) * 0.75)


def _glasses(canvas: Array, u: Array, v: Array, rng: np.random.Generator) -> None:
    """A frame, its shadow, and a trace of reflection in the lenses."""
    wide, high, power = rng.uniform(0.27, 0.33), rng.uniform(0.17, 0.24), rng.uniform(2.0, 4.5)
    frame = _colour(((30, 28, 30), (92, 62, 40), (120, 122, 128), (60, 30, 36))[rng.integers(4)])
    line = rng.uniform(0.018, 0.04)
    for side in (-1, 1):
        lens = (np.abs((u - side * 0.40) / wide) ** power + np.abs((v + 0.07) / high) ** power) ** (1 / power)
        _over(canvas, (236, 240, 244), _edge(lens - 0.94, 0.05) * 0.05)
        _over(canvas, (250, 250, 252), _edge(lens - 0.9, 0.05) * np.exp(-(((u - side * 0.40 + v) / 0.05) ** 2)) * 0.16)
        _over(canvas, canvas * 0.8, np.exp(-(((lens - 1.06) / 0.07) ** 2)) * 0.35)
        _over(canvas, frame, np.exp(-(((lens - 1.0) / (line / high)) ** 2)) * 0.95)
        arm = np.exp(-(((v + 0.10) / 0.025) ** 2)) * _edge(np.abs(u * side - 0.86) - 0.15, 0.03)
        _over(canvas, frame, arm * 0.85)
    _over(canvas, frame, np.exp(-(((v + 0.10 - 0.3 * u**2) / 0.022) ** 2)) * _edge(np.abs(u) - 0.13, 0.03) * 0.9)


def _draw(sitter: Sitter, rng: np.random.Generator, w: int, h: int, backdrop: float | None = None) -> Array:
    """Float32 [h, w, 3]; ``backdrop`` is a level to use instead of the drawn one."""
    yy, xx = np.mgrid[0:h, 0:w].astype(np.float32)
    x, y = xx / w, yy / h
    man, young = sitter.sex == "M", sitter.age < 17
    back = _colour(BACKDROP[rng.integers(len(BACKDROP))])
    canvas = np.ones((h, w, 3), np.float32) * back * (1.04 - 0.16 * y - 0.10 * np.abs(x - 0.5))[..., None]
    if backdrop is not None:
        canvas[...] = backdrop
    tones = SKIN if sitter.hair in ("black", "brown", "grey", "bald") and sitter.eyes in ("brown", "hazel") else FAIR
    skin = _colour(tones[rng.integers(len(tones))]) + rng.uniform(-10, 10) + rng.uniform(-3, 3, 3)
    hair = _colour(HAIR[sitter.hair]) + rng.uniform(-8, 8)
    if sitter.hair not in ("grey", "bald"):
        hair += (150 - hair) * float(np.clip((sitter.age - 40) / 60, 0, 0.45))
    cloth = _colour(CLOTH[rng.integers(len(CLOTH))])
    cx, cy = 0.5 + rng.uniform(-0.025, 0.025), 0.44 + rng.uniform(-0.025, 0.025)
    size = rng.uniform(0.93, 1.06) * (0.93 if young else 1.0)
    fw = (rng.uniform(0.232, 0.255) if man else rng.uniform(0.218, 0.240)) * size
    fh = rng.uniform(0.255, 0.285) * size * (0.95 if young else 1.0)
    lean = rng.uniform(-0.07, 0.07)  # the head leans, the shoulders do not
    bx, by = (x - cx) / fw, (y - cy) / fh
    cos, sin = float(np.cos(lean)), float(np.sin(lean))
    u, v = bx * cos + by * sin, by * cos - bx * sin
    bald = sitter.hair == "bald"
    style = (
        "bald"
        if bald
        else "long"
        if rng.random() < (0.05 if man else 0.52)
        else "short"
        if man
        else (("bob", "tied", "short")[int(rng.integers(3))])
    )
    strands = _strands(rng, (h, w))
    art = np.random.default_rng([sitter.seed, 11]) if h >= FINE else None
    if art is not None:
        strands = _combed(art, u, v)
    crown = np.sqrt((u / rng.uniform(1.14, 1.24)) ** 2 + ((v + 0.2) / rng.uniform(1.10, 1.22)) ** 2)
    if rng.random() < 0.25:  # curls leave no smooth outline
        curls = cv2.resize(rng.standard_normal((36, 28)).astype(np.float32), (w, h), interpolation=cv2.INTER_CUBIC)
        crown = crown + 0.035 * curls - 0.05
    gloss = 1 + 0.22 * strands[..., None] + 0.35 * np.exp(-(((crown - 0.72) / 0.16) ** 2))[..., None]
    if art is not None:  # each lock has its own light, and none falls on what turns away
        gloss = 1 + 0.26 * strands[..., None] - 0.30 * np.clip((crown - 0.78) / 0.22, 0, 1)[..., None]
        gloss = gloss + (0.20 + 0.22 * strands[..., None]) * np.exp(-(((crown - 0.66) / 0.2) ** 2))[..., None]
    if style in ("long", "bob"):
        reach = 1.65 if style == "long" else 1.08
        fall = np.sqrt((u / (1.30 + 0.1 * v)) ** 2 + ((v - 0.25) / reach) ** 2)
        canvas += (_edge(fall - 1, 0.04) * 0.98)[..., None] * (hair * 0.8 * gloss - canvas)
    if style == "tied":
        knot = np.sqrt((u / 0.42) ** 2 + ((v + 1.28) / 0.32) ** 2)
        canvas += (_edge(knot - 1, 0.06) * float(rng.random() < 0.6))[..., None] * (hair * 0.85 * gloss - canvas)
    # Neck as a cylinder in the shadow of the chin, shoulders as a rounded ridge.
    neck = _edge(np.abs(bx) - (rng.uniform(0.58, 0.70) if man else rng.uniform(0.46, 0.56)), 0.04) * _edge(
        0.5 - by, 0.1
    )
    tube = np.sqrt(np.clip(1 - (bx / 0.74) ** 2, 0, 1)) * 0.45 + 0.42 - 0.16 * np.exp(-(((by - 1.0) / 0.3) ** 2))
    canvas += neck[..., None] * (skin * tube[..., None] - canvas)
    slope = rng.uniform(1.20, 1.36) + (0.20 if man else 0.28) * np.abs(bx) ** 1.4
    opening = rng.uniform(0.25, 0.6)
    collar = slope - 0.12 + opening * np.exp(-((bx / 0.5) ** 2))
    body = _edge(np.maximum(slope, collar) - by, 0.05) * _edge(np.abs(bx) - 2.3, 0.1)
    folds = 0.86 - 0.13 * np.abs(bx) + 0.06 * np.sin(bx * 5 + by * 2) + 0.03 * strands
    canvas += body[..., None] * (cloth * folds[..., None] - canvas)
    _over(canvas, cloth * 0.55, np.exp(-(((by - collar) / 0.035) ** 2)) * _edge(np.abs(bx) - 0.75, 0.1) * 0.7)
    if man and rng.random() < 0.35:  # shirt and tie
        shirt = _edge(np.abs(bx) - 0.42 + 0.25 * (by - 1.2), 0.03) * _edge(1.12 - by, 0.03) * body
        _over(canvas, (232, 234, 238), shirt * 0.95)
        tie = _edge(np.abs(bx) - 0.09 - 0.05 * (by - 1.3), 0.02) * _edge(1.28 - by, 0.02) * body
        _over(canvas, _colour(CLOTH[rng.integers(len(CLOTH))]) * 0.9, tie)
    cap = _edge(crown - 1, 0.035)
    ears = style in ("short", "tied", "bald")
    if style in ("short", "bald"):  # short hair ends at the ears
        cap = cap * _edge(v - rng.uniform(-0.15, 0.1), 0.1)
    if not bald:
        canvas += cap[..., None] * (hair * gloss - canvas)
    if ears:
        for ear in (-1, 1):
            r = np.sqrt(((u - ear * 0.99) / 0.12) ** 2 + ((v - 0.06) / 0.22) ** 2)
            _over(canvas, skin * (0.78 - 0.2 * _bump(u, v, ear * 0.99, 0.06, 0.05, 0.12)[..., None]), _edge(r - 1, 0.1))
    brows = hair if not bald else _colour(HAIR["grey"]) * 0.8
    # Only a part of the picture is face.
    down, across = (np.flatnonzero(near) for near in (np.abs(v).min(1) < 1.3, np.abs(u).min(0) < 1.45))
    rows, columns = slice(int(down[0]), int(down[-1]) + 1), slice(int(across[0]), int(across[-1]) + 1)
    _face(canvas[rows, columns], u[rows, columns], v[rows, columns], skin, brows, sitter, rng, art)
    part, lift = rng.uniform(-0.5, 0.5), rng.uniform(0.50, 0.66)
    if man:
        lift += 0.12 * float(np.clip((sitter.age - 35) / 40, 0, 1))  # foreheads grow
    line = -lift + 0.20 * (u - part) ** 2 + (0.10 * strands if rng.random() < 0.5 else 0.03 * strands)
    soft = 0.05
    if art is not None:  # a fringe thins out, and its shadow lies on the forehead
        line, soft = -lift + 0.20 * (u - part) ** 2 + art.uniform(0.03, 0.09) * strands, art.uniform(0.07, 0.12)
        if not bald:
            below = np.exp(-np.clip(v - line, 0, None) / 0.09) * _edge(np.hypot(u, v) - 1, 0.02)
            canvas *= 1 - 0.30 * below[..., None]
    if not bald:
        canvas += (cap * _edge(v - line, soft))[..., None] * (hair * gloss - canvas)
    if man and sitter.age > 20 and rng.random() < 0.38:
        beard = _edge(0.42 + 0.25 * np.cos(u * 2.4) - v, 0.12) * _edge(np.sqrt(u**2 / 0.9 + v**2) - 1.0, 0.05)
        beard *= 1 - _bump(u, v, 0, 0.60, 0.26, 0.08)
        _over(canvas, brows * 0.9, beard * rng.uniform(0.25, 0.8) * (0.9 + 0.1 * strands))
    if rng.random() < (0.16 if sitter.age < 45 else 0.38):
        _glasses(canvas[rows, columns], u[rows, columns], v[rows, columns], rng)
    return canvas


@lru_cache(maxsize=128)
def portrait(width: int, height: int, sitter: Sitter, tone: str = "colour") -> Array:
    """uint8 [height, width, 3], read-only and shared. ``tone`` is ``colour``, ``grey`` or ``engraved``."""
    rng = np.random.default_rng([sitter.seed, 7])
    h = min(WORK_HEIGHT, 2 * height)
    w = round(width * h / height)
    canvas = _draw(sitter, rng, w, h)
    canvas = cv2.GaussianBlur(canvas, (0, 0), 1.0 * h / WORK_HEIGHT + 0.1)
    # Skin and cloth are never even, and a portrait printer adds a grain of its own.
    for cell, strength in ((24, 2.2), (9, 2.0), (2, 3.2)):
        lumps = rng.normal(0, strength, (max(2, h // cell), max(2, w // cell))).astype(np.float32)
        canvas += cv2.resize(lumps, (w, h), interpolation=cv2.INTER_CUBIC)[..., None]
    result = np.clip((canvas - 12) * rng.uniform(0.96, 1.06) + 10, 0, 255).astype(np.uint8)
    smaller = height < h
    result = cv2.resize(result, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)
    if tone != "colour":
        grey = cv2.cvtColor(result, cv2.COLOR_RGB2GRAY)[..., None].astype(np.float32)
        if tone == "engraved":  # laser engraving works in lines
            grey += (np.sin(np.arange(height) * 2 * np.pi / max(3.0, height / 130)) * 8)[:, None, None]
        result = np.repeat(np.clip(grey, 0, 255).astype(np.uint8), 3, axis=2)
    result.setflags(write=False)
    return result


@lru_cache(maxsize=64)
def cut_out(width: int, height: int, sitter: Sitter) -> Array:
    """Where ``portrait`` of the same arguments shows a person and not the backdrop, uint8 [height, width], 255 inside.

    Whatever is painted over the backdrop leaves 1 - mask of it, so two backdrops tell the mask.
    """
    h = min(WORK_HEIGHT, 2 * height) // 2  # an outline needs less than a face
    w = round(width * h / height)
    light, dark = (_draw(sitter, np.random.default_rng([sitter.seed, 7]), w, h, level) for level in (255.0, 0.0))
    mask = np.clip(255 - (light - dark).mean(2), 0, 255).astype(np.uint8)
    result = cv2.resize(cv2.GaussianBlur(mask, (0, 0), 1.2), (width, height), interpolation=cv2.INTER_LINEAR)
    result.setflags(write=False)
    return np.asarray(result, np.uint8)
