"""Draws a capture for a document: how it lay, under what light, seen by what.

Every range here is one in which ordinary pictures of documents lie and in which a reader loses nothing; the law that the
ledger says ``clear`` for every slot under any draw is a test. What goes further than that is damage and belongs to a recipe.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from degradations.capture.camera import Camera, Rows
from degradations.capture.capture import KINDS, Capture, Kind
from degradations.capture.lamp import Lamp, Shade, Sheen
from degradations.capture.scene import Desk, Scene, Sheet
from degradations.capture.sensor import Sensor
from degradations.capture.textures import Texture
from degradations.documents.model import Document, Material
from degradations.operators.base import Colour, Rng, draw_seed, number
from degradations.operators.cover.finger import SKIN, Digit
from degradations.operators.cover.stickers import shift_colour

# How often a document of a material is seen by what.
_HOW: dict[Material, dict[Kind, float]] = {
    "plastic": {"photo": 0.72, "flatbed": 0.22, "screenshot": 0.06},
    "paper": {"photo": 0.46, "flatbed": 0.22, "feeder": 0.18, "fax": 0.05, "screenshot": 0.09},
    "thermal": {"photo": 0.74, "flatbed": 0.20, "feeder": 0.06},
    "screen": {"photo": 0.35, "screenshot": 0.65},
}
_DESKS: tuple[tuple[Texture, tuple[Colour, ...], float], ...] = (
    ("oak", ((190, 150, 104), (206, 172, 128), (164, 124, 82)), 3.0),
    ("walnut", ((108, 76, 54), (86, 60, 44), (132, 92, 62)), 2.0),
    ("laminate", ((200, 198, 194), (172, 170, 166), (98, 100, 104), (226, 222, 214)), 3.0),
    ("linen", ((158, 152, 140), (92, 102, 118), (186, 176, 158)), 1.2),
    ("felt", ((58, 74, 66), (52, 56, 70), (96, 40, 44)), 0.8),
    ("concrete", ((152, 152, 150), (116, 118, 120)), 1.0),
    ("marble", ((222, 220, 216), (196, 194, 190)), 1.0),
    ("leather", ((74, 50, 40), (44, 42, 42)), 0.8),
)
_AREA = 1.75e6  # pixels of a page in its picture: an A4 page at 150 dpi has 2.2 million, more than most readers look at
_DEFOCUS = 0.8  # pixels that are added to the lens' spot at the far end of a page, at most
_HELD = 0.3  # of photographs: by somebody's fingers
TINY = 400  # pages narrower than this are the tiny reader's


def draw_capture(document: Document, rng: Rng, kinds: Mapping[Kind, float] | None = None) -> Capture:
    """A benign capture of ``document``. ``kinds`` weighs the ways in which its material is seen (all 1 if not given)."""
    how = {
        kind: share * (kinds or {}).get(kind, 1.0 if kinds is None else 0.0)
        for kind, share in _HOW[document.material].items()
    }
    if sum(how.values()) <= 0:  # a way that nobody would choose for this thing, and that the recipe insists on
        how = {kind: (kinds or {}).get(kind, 0.0) for kind in KINDS}
    names = [kind for kind in KINDS if how.get(kind, 0) > 0]
    weights = np.array([how[kind] for kind in names])
    kind = names[int(rng.choice(len(names), p=weights / weights.sum()))]
    return {"photo": _photo, "flatbed": _flatbed, "feeder": _feeder, "fax": _fax, "screenshot": _screenshot}[kind](
        document, rng
    )


def _size(document: Document) -> tuple[int, int]:
    return document.image.shape[1], document.image.shape[0]


def _rows(matrix: np.ndarray) -> Rows:
    return tuple(tuple(float(f"{v:.9g}") for v in row) for row in matrix / matrix[2, 2])  # type: ignore[return-value]


def _pose(page: tuple[int, int], turn: float, tilt: float, towards: float, distance: float) -> np.ndarray:
    """The homography, about the page's middle, of a camera ``distance`` page lengths away; angles in degrees."""
    a, b, c = (math.radians(v) for v in (turn, tilt, towards))
    spin = np.array([[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0], [0, 0, 1]])
    axis = np.array([-math.sin(c), math.cos(c), 0.0])
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    whole = (np.eye(3) + math.sin(b) * cross + (1 - math.cos(b)) * cross @ cross) @ spin
    focal = distance * max(page)
    camera = np.zeros((3, 3))
    camera[:2, :2] = focal * whole[:2, :2]
    camera[2, :2] = -whole[2, :2]
    camera[2, 2] = focal
    return camera @ np.array([[1, 0, -page[0] / 2], [0, 1, -page[1] / 2], [0, 0, 1]])


def _framed(
    document: Document, rng: Rng, matrix: np.ndarray, scale: float, margins: tuple[float, float]
) -> tuple[tuple[int, int], Rows]:
    """The picture's size, and ``matrix`` scaled and shifted into it with ``margins`` (least, most; shares of the page's
    longer side) of the scene around the page. A tiny page's picture keeps its size, which the tiny reader knows."""
    page = _size(document)
    scale *= min(1.0, math.sqrt(_AREA / (page[0] * page[1])))
    corners = Camera(page, page, _rows(np.diag([scale, scale, 1.0]) @ matrix))
    box = corners.map_points(np.array([[0, 0], [page[0], 0], [page[0], page[1]], [0, page[1]]], np.float64))
    low, high = box.min(0), box.max(0)
    scaled = np.diag([scale, scale, 1.0]) @ matrix
    if page[0] < TINY:
        fit = min((side - 2) / (b - a) for side, a, b in zip(page, low, high, strict=True))
        fit = min(fit, 1.0) * float(rng.uniform(0.97, 1.0))
        scaled = np.diag([fit, fit, 1.0]) @ scaled
        low, high, size = low * fit, high * fit, page
        left, top = ((side - (b - a)) * rng.uniform(0.3, 0.7) for side, a, b in zip(page, low, high, strict=True))
    else:
        beside = [float(rng.uniform(*margins)) * max(page) * scale for _ in range(4)]
        left, top = beside[0], beside[1]
        size = tuple(math.ceil(b - a + c + d) for a, b, c, d in zip(low, high, beside[:2], beside[2:], strict=True))
    move = np.array([[1, 0, left - low[0]], [0, 1, top - low[1]], [0, 0, 1]])
    return (int(size[0]), int(size[1])), _rows(move @ scaled)


def _outline(document: Document) -> tuple[float, float]:
    """Corner and tooth of the scene, in pixels of the page."""
    return document.corner * document.density, 0.45 * document.density if document.material == "thermal" else 0.0


def _tinted(rng: Rng, colour: Colour, amount: int = 12) -> Colour:
    return tuple(int(v) for v in np.clip(np.add(colour, rng.integers(-amount, amount + 1, 3)), 0, 255))  # type: ignore[return-value]


def _desk(document: Document, rng: Rng) -> Desk:
    weights = np.array([weight for _, _, weight in _DESKS])
    texture, colours, _ = _DESKS[int(rng.choice(len(_DESKS), p=weights / weights.sum()))]
    colour = _tinted(rng, colours[int(rng.integers(len(colours)))])
    return Desk(texture, colour, number(document.density), bool(rng.random() < 0.5), draw_seed(rng))


def _sheets(document: Document, rng: Rng) -> tuple[Sheet, ...]:
    """Now and then another document, half under the edge of the picture."""
    if rng.random() > 0.3:
        return ()
    (width, height), density = _size(document), document.density
    side = int(rng.integers(4))
    tall = rng.random() < 0.5
    size = (210.0, 297.0) if rng.random() < 0.6 else (148.0, 210.0)
    w, h = (v * density for v in (size if tall else size[::-1]))
    gap = float(rng.uniform(2, 9)) * density
    x, y = rng.uniform(0, width), rng.uniform(0, height)
    if side in (0, 2):
        x = -gap - w / 2 if side == 0 else width + gap + w / 2
    else:
        y = -gap - h / 2 if side == 1 else height + gap + h / 2
    white = (246, 245, 240), (238, 238, 236), (248, 242, 224)
    colour = _tinted(rng, white[int(rng.integers(3))], 4)
    angle, pitch = rng.normal(0, 2.0), density * rng.uniform(4.2, 7.0)
    return (Sheet(number(x), number(y), number(w), number(h), number(angle), colour, number(pitch), draw_seed(rng)),)


def _photo(document: Document, rng: Rng) -> Capture:
    """Held over a desk with a phone: nearly square on, a lamp or window to one side."""
    page, density = _size(document), document.density
    tiny = page[0] < TINY
    turn, tilt = (float(v) for v in np.clip(rng.normal(0, (1.6, 3.4)), -4.5, 9.0))
    if tiny:
        turn, tilt = turn * 0.35, tilt * 0.5
    matrix = _pose(page, turn, abs(tilt), float(rng.uniform(0, 360)), float(rng.uniform(1.5, 2.4)))
    size, rows = _framed(document, rng, matrix, float(rng.uniform(0.90, 1.02)), (0.02, 0.11))
    corner, tooth = _outline(document)
    towards = float(rng.uniform(0, 360))
    lift = {"plastic": 0.5, "paper": 0.45, "thermal": 1.1, "screen": 2.5}[document.material] * float(
        rng.uniform(0.7, 2.2)
    )
    scene = Scene(
        _desk(document, rng),
        _sheets(document, rng),
        number(corner),
        number(tooth),
        number(max(1.0, lift * density)),
        number(towards),
        number(rng.uniform(0.25, 0.6)),
        number(rng.uniform(0.02, 0.12) if document.material == "plastic" else rng.uniform(0, 0.03)),
    )
    shades = tuple(_shade(rng) for _ in range(int(rng.choice(3, p=(0.45, 0.4, 0.15)))))
    sheen = None
    if document.material == "plastic" and rng.random() < 0.75:
        sheen = Sheen(
            number(rng.uniform(-0.6, 0.6)),
            number(rng.uniform(0, 180)),
            number(rng.uniform(0.07, 0.3)),
            number(rng.uniform(4, 24)),
        )
    lamp = Lamp(
        number(towards),
        number(rng.uniform(0.02, 0.11)),
        number(rng.uniform(-0.4, 0.4)),
        number(rng.uniform(0.02, 0.12)),
        shades,
        sheen,
        _bends(document, rng),
    )
    # White balance is nearly right: tungsten leaves a warm cast, a window a cool one.
    warm = float(rng.normal(0.0, 0.035))
    balance = (number(1 + max(-0.05, min(0.07, warm))), 1.0, number(1 - max(-0.06, min(0.10, 1.3 * warm))))
    sensor = Sensor(
        soft=number(rng.uniform(0.3, 0.45) if tiny else rng.uniform(0.45, 0.75)),
        sharpen=number(rng.uniform(0.1, 0.4) if tiny else rng.uniform(0.25, 0.8)),
        black=number(rng.uniform(6, 26)),
        white=number(rng.uniform(204, 250)),
        gamma=number(rng.uniform(0.88, 1.08)),
        balance=balance,
        grain=number(rng.uniform(0.6, 2.2)),
        chroma=(0.25, 0.5, 1.0)[int(rng.integers(3))],
        threshold=0,
        seed=draw_seed(rng),
    )
    quality = int(rng.integers(82, 96) if tiny else rng.integers(75, 96))
    if not tiny and rng.random() < _HELD:
        scene = replace(scene, hands=_hands(document, rng))
    if not tiny:  # one place is in focus, and the ends of the page are a little before or behind it
        focus = size[1] * float(rng.uniform(0.1, 0.9))
        farthest = max(focus, size[1] - focus)
        sensor = replace(sensor, focus=number(focus), defocus=number(1000 * rng.uniform(0.1, _DEFOCUS) / farthest))
    return Capture("photo", page, size, rows, scene, lamp, sensor, quality)


def _hands(document: Document, rng: Rng) -> tuple[Digit, ...]:
    """One or two thumbs at the edges of the document, where nothing is printed; none where there is no such place."""
    density, (columns, rows) = document.density, _size(document)
    boxes = np.array([box for line in document.lines for box in line.boxes] or [(0, 0, 0, 0)])
    skin = shift_colour(rng, SKIN[int(rng.integers(len(SKIN)))], 8)
    width = float(rng.uniform(15, 20)) * density
    wanted, found = 1 + int(rng.random() < 0.35), list[Digit]()
    sides = [("left", "right", "below")[i] for i in rng.permutation(3)]
    for side in sides[:wanted]:
        for _ in range(8):
            reach, along = float(rng.uniform(2.5, 10)) * density, float(rng.uniform(0.12, 0.88))
            # A thumb and the dark of its shadow, from the edge inwards.
            deep, half = reach + 0.5 * width, 0.95 * width
            if side == "below":
                taken = (along * columns - half, rows - deep, along * columns + half, float(rows))
                x, y, angle = along * columns, rows - reach + 0.62 * width, 90.0
            else:
                right = side == "right"
                inner = columns - deep if right else 0.0
                taken = (inner, along * rows - half, inner + deep, along * rows + half)
                x, y = columns - reach + 0.62 * width if right else reach - 0.62 * width, along * rows
                angle = 0.0 if right else 180.0
            over = (
                (boxes[:, 0] < taken[2])
                & (boxes[:, 2] > taken[0])
                & (boxes[:, 1] < taken[3])
                & (boxes[:, 3] > taken[1])
            )
            if over.any():
                continue
            found.append(
                Digit(
                    number(x), number(y), number(angle + rng.normal(0, 9)), number(width), number(max(0.8, 0.02 * width)),
                    number(rng.uniform(-0.01, 0.01)), skin, True, draw_seed(rng),
                )
            )  # fmt: skip
            break
    return tuple(found)


def _shade(rng: Rng) -> Shade:
    """A hand, a head or a phone between lamp and page, far off: a wide penumbra."""
    angle = float(rng.uniform(0, 360))
    a = math.radians(angle)
    reach = float(rng.uniform(0.1, 0.5))
    return Shade(
        number(0.5 + reach * math.cos(a)),
        number(0.5 + reach * math.sin(a)),
        number(angle + rng.normal(0, 12)),
        number(rng.uniform(0.10, 0.45)),
        number(rng.uniform(-1.2, 1.2)),
        number(rng.uniform(0.05, 0.24)),
    )


def _bends(document: Document, rng: Rng) -> tuple[tuple[float, float, float], ...]:
    """Where a sheet does not lie flat: a till's roll curls along its length, a letter keeps the folds of its envelope."""
    if document.material == "thermal":
        count, deep = int(rng.integers(3, 7)), 0.09
    elif document.material == "paper":
        count, deep = int(rng.integers(0, 4)), 0.04
    else:
        return ()
    return tuple(
        (number(rng.uniform(0, 1)), number(rng.uniform(0.02, 0.16)), number(rng.uniform(-deep, 0.6 * deep)))
        for _ in range(count)
    )


def _level(document: Document, lid: Colour, rng: Rng) -> tuple[Scene, Lamp]:
    """The scene and light of a scanner: a lid behind, a thin shadow at two edges, the same light everywhere."""
    corner, tooth = _outline(document)
    desk = Desk("plain", _tinted(rng, lid, 5), number(document.density), False, draw_seed(rng))
    towards = number(float(rng.choice([90.0, 270.0])) + rng.normal(0, 6))
    lift = {"plastic": 0.6, "paper": 0.25, "thermal": 0.35, "screen": 1.0}[document.material]
    scene = Scene(
        desk, (), number(corner), number(tooth), number(max(1.0, lift * document.density * rng.uniform(0.7, 1.4))), towards,
        number(rng.uniform(0.2, 0.5)), number(rng.uniform(0.02, 0.10) if document.material == "plastic" else 0.0),
    )  # fmt: skip
    lamp = Lamp(number(rng.uniform(0, 360)), number(rng.uniform(0, 0.02)), 0.0, 0.0, (), None, ())
    return scene, lamp


def _scanned(document: Document, rng: Rng, **changes: float) -> Sensor:
    tiny = document.image.shape[1] < TINY
    values: dict[str, float] = {
        "soft": rng.uniform(0.3, 0.45) if tiny else rng.uniform(0.4, 0.65),
        "sharpen": rng.uniform(0.1, 0.35) if tiny else rng.uniform(0.2, 0.9),
        "black": rng.uniform(4, 30),
        "white": rng.uniform(232, 262),
        "gamma": rng.uniform(0.85, 1.05),
        "grain": rng.uniform(0.3, 1.1),
    }
    values |= changes
    cast = rng.normal(0, 0.006, 2)
    balance = (number(1 + cast[0]), 1.0, number(1 + cast[1]))
    fixed = {name: number(value) for name, value in values.items()}
    return Sensor(**fixed, chroma=0.25, balance=balance, threshold=0, seed=draw_seed(rng))


def _flatbed(document: Document, rng: Rng) -> Capture:
    """On a scanner's glass, under its lid: a little askew."""
    page, turn = _size(document), float(np.clip(rng.normal(0, 0.7), -2, 2))
    turn = 0.3 * turn if page[0] < TINY else turn
    size, rows = _framed(document, rng, _pose(page, turn, 0.0, 0.0, 50.0), float(rng.uniform(0.92, 1.0)), (0.008, 0.05))
    lids: tuple[Colour, ...] = ((236, 238, 238), (226, 226, 222), (246, 246, 246), (30, 31, 33))
    scene, lamp = _level(document, lids[int(rng.choice(4, p=(0.35, 0.25, 0.25, 0.15)))], rng)
    quality = int(rng.integers(82, 96))
    return Capture("flatbed", page, size, rows, scene, lamp, _scanned(document, rng), quality)


def _feeder(document: Document, rng: Rng) -> Capture:
    """Drawn through an office machine: cut to the sheet, white made white, a little skew and stretch."""
    page = _size(document)
    tiny = page[0] < TINY
    turn, stretch = float(np.clip(rng.normal(0, 0.45), -1.2, 1.2)) * (0.3 if tiny else 1), float(rng.normal(1, 0.003))
    matrix = np.diag([1.0, stretch, 1.0]) @ _pose(page, turn, 0.0, 0.0, 50.0)
    size, rows = _framed(document, rng, matrix, float(rng.uniform(0.92, 1.0)), (0.0, 0.006))
    scene, lamp = _level(document, (196, 196, 194) if rng.random() < 0.4 else (250, 250, 250), rng)
    sensor = _scanned(document, rng, white=rng.uniform(250, 272), sharpen=rng.uniform(0.2, 0.4 if tiny else 0.9))
    return Capture("feeder", page, size, rows, scene, lamp, sensor, int(rng.integers(78, 93)))


def _fax(document: Document, rng: Rng) -> Capture:
    """One bit a pixel, as an office machine's fine mode sends it, shown on a screen with a little smoothing."""
    page = _size(document)
    size, rows = _framed(document, rng, _pose(page, float(rng.normal(0, 0.2)), 0.0, 0.0, 50.0), 1.0, (0.0, 0.004))
    scene, lamp = _level(document, (250, 250, 250), rng)
    sensor = Sensor(
        soft=number(rng.uniform(0.45, 0.6)), sharpen=0.0, black=number(rng.uniform(0, 20)), white=255.0, gamma=1.0,
        balance=(1.0, 1.0, 1.0), grain=0.0, chroma=0.0, threshold=int(rng.integers(150, 176)), seed=draw_seed(rng),
    )  # fmt: skip
    return Capture("fax", page, size, rows, scene, lamp, sensor, int(rng.integers(85, 96)))


def _screenshot(document: Document, rng: Rng) -> Capture:
    """Shown by a viewer on a plain ground and copied from the screen: scaled, and nothing else."""
    page = _size(document)
    grounds: tuple[Colour, ...] = ((82, 86, 89), (40, 40, 42), (230, 230, 232), (255, 255, 255))
    size, rows = _framed(document, rng, _pose(page, 0.0, 0.0, 0.0, 50.0), float(rng.uniform(0.9, 1.0)), (0.003, 0.05))
    corner, tooth = _outline(document)
    desk = Desk("plain", grounds[int(rng.integers(4))], number(document.density), False, draw_seed(rng))
    scene = Scene(desk, (), number(corner), number(tooth), number(max(1.0, 0.8 * document.density)), 90.0, 0.25, 0.0)
    sensor = Sensor(0.0, 0.0, 0.0, 255.0, 1.0, (1.0, 1.0, 1.0), 0.0, 0.0, 0, 0)
    lamp = Lamp(0.0, 0.0, 0.0, 0.0, (), None, ())
    return Capture(
        "screenshot", page, size, rows, scene, lamp, sensor, 0 if rng.random() < 0.5 else int(rng.integers(88, 96))
    )
