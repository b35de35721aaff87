"""What every damage operator is: a frozen dataclass of drawn parameters over a pure image function.

Departs from albumentations' core, which it follows in spirit, in three places: the draw depends on the text
it is going to damage (sizes are multiples of the text height, so severity 4 means the same on a card 96 pixels
high and on one 638 pixels high); a drawn operator holds everything that its effect needs, its own noise seed
included, so that ``from_json(to_json(op)).apply(image)`` is bit-exact; and it can be applied to a *window* of
a page with the draws of the whole page (``origin``), which is what an observer that damages re-typeset
candidates needs.
"""

from __future__ import annotations

import dataclasses
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, ClassVar, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from kie_hvqa.config import nearest
from kie_hvqa.data.ledger import MAX_SEVERITY, Box
from kie_hvqa.errors import InputError

Image = NDArray[np.uint8]
Rng = np.random.Generator
Origin = tuple[int, int]

Severity = Annotated[int, Field(ge=0, le=MAX_SEVERITY)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Grey = Annotated[int, Field(ge=0, le=255)]
Colour = tuple[Grey, Grey, Grey]

# The share of a field's slots that severities 1 to 6 take out of ``clear``, on average over draws and documents.
OUT_OF_CLEAR = (0.08, 0.20, 0.36, 0.54, 0.72, 0.90)
# And the share that severity 6 hides at least. Blur, noise or a coder that leave no character certain may hide none of them:
# without this the worst severity of a cover would be worse than theirs.
HIDDEN_AT_TOP = 0.50

# Where in the life of a photograph an effect happens; a recipe is applied in this order. What is worn or bends (WEAR, BEND)
# happens to the document alone, what covers or lights it (COVER, LIGHT) in the scene that the capture lays it in, a pose
# (GEOMETRY) moves the capture's camera, and the rest happens to the picture, in its pixels.
WEAR, BEND, COVER, LIGHT, GEOMETRY, OPTICS, SENSOR, COMPRESSION = range(8)

ANYTHING = frozenset(("paper", "plastic", "thermal", "screen"))
SHEETS = frozenset(("paper", "thermal"))

Points = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Context:
    """What a draw may know of the page: its size, the slots of the field it is aimed at, and the text height.

    ``size`` is (height, width) in pixels; ``boxes`` one (x0, y0, x1, y1) a slot, in reading order; ``copies``
    the slots of further prints of the same value on the page, each with as many boxes as ``boxes``, which an
    occluder has to cover alike (otherwise the page still tells what the ledger says is gone). ``density`` is the pixels to
    a millimetre of the document, by which things have their size (0: not known, and then a line of print is 3 mm high);
    ``desk`` is what shows where the document ends.
    """

    size: tuple[int, int]
    boxes: tuple[Box, ...]
    text_height: float
    copies: tuple[tuple[Box, ...], ...] = ()
    density: float = 0.0
    desk: Any = None

    @property
    def millimetre(self) -> float:
        """Pixels."""
        return self.density or self.text_height / 3

    @classmethod
    def of(
        cls,
        image: Image,
        boxes: Sequence[Box],
        copies: Sequence[Sequence[Box]] = (),
        density: float = 0.0,
        desk: Any = None,
    ) -> Context:
        """``text_height`` is the 80th percentile of the box heights: commas and dots do not shrink it."""
        if not boxes:
            raise ValueError("a context needs the boxes of at least one slot")
        heights = [box[3] - box[1] for box in boxes]
        return cls(
            (image.shape[0], image.shape[1]),
            tuple(boxes),
            max(4.0, float(np.percentile(heights, 80))),
            tuple(tuple(copy) for copy in copies),
            density,
            desk,
        )

    @property
    def lines(self) -> list[list[int]]:
        """Indices of ``boxes`` by printed line: a new line starts where the reading order turns back."""
        return split_lines(self.boxes)

    @property
    def bounds(self) -> Box:
        array = np.asarray(self.boxes)
        return tuple(float(v) for v in (*array[:, :2].min(0), *array[:, 2:].max(0)))  # type: ignore[return-value]

    @property
    def prints(self) -> tuple[tuple[Box, ...], ...]:
        """The slots of every print of the value: ``boxes`` first, then each copy."""
        return (self.boxes, *self.copies)

    def moved(self, operator: Operator) -> Context:
        """The same slots where ``operator`` puts them; the text height stays what it was printed at."""
        copies = tuple(operator.map_boxes(copy) for copy in self.copies)
        return dataclasses.replace(self, boxes=operator.map_boxes(self.boxes), copies=copies)


def split_lines(boxes: Sequence[Box]) -> list[list[int]]:
    """Group consecutive boxes into printed lines (a box left of its predecessor's centre starts a new line)."""
    lines: list[list[int]] = []
    for index, box in enumerate(boxes):
        if lines and (box[0] + box[2]) / 2 > boxes[lines[-1][-1]][0]:
            lines[-1].append(index)
        else:
            lines.append([index])
    return lines


@dataclass(frozen=True, slots=True)
class Operator(ABC):
    """One physical effect with every parameter drawn. Severity 0 is the identity."""

    name: ClassVar[str]
    stage: ClassVar[int]
    # A window is exact only if its origin is a multiple of this (compression blocks).
    grid: ClassVar[int] = 1
    # False where a coder adapts to the whole picture: a window then differs from that part of the damaged page.
    exact_windows: ClassVar[bool] = True
    # True where the effect lies on one field, so that a page asked about several gets one draw for each.
    local: ClassVar[bool] = False
    # True where what is printed lies elsewhere afterwards: boxes follow by ``map_boxes``, and a window is damaged by
    # ``Recipe.apply_window``, which says where on the page its result lies.
    moves: ClassVar[bool] = False
    # How far from one end of its ladder to the other severity 1 … 6 takes this operator (below 0 and above 1: beyond the
    # ends). ``studies.ladders.rungs`` finds them, so that severity k does the same under every operator (``OUT_OF_CLEAR``).
    rungs: ClassVar[tuple[float, ...]] = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    # What a document has to be made of for this to happen to it.
    applies_to: ClassVar[frozenset[str]] = ANYTHING
    # Parameters that a row names after all others: those that a class has from one above it.
    last: ClassVar[tuple[str, ...]] = ()

    severity: Severity

    @classmethod
    @abstractmethod
    def draw(cls, severity: int, rng: Rng, context: Context) -> Self:
        """Draw the parameters for ``severity`` (0..6) on the page that ``context`` describes."""

    @classmethod
    def ladder(cls, severity: int, low: float, high: float, rng: Rng, *, jitter: float = 0.06) -> float:
        """A parameter from ``low`` at severity 1 to ``high`` at 6 (geometrically if both are positive), ± ``jitter``.

        Severity 0 gives the value of 1; the effect is the identity then.
        """
        step = cls.rungs[max(0, severity - 1)]
        value = low * (high / low) ** step if low > 0 and high > 0 else low + (high - low) * step
        return number(value * rng.uniform(1 - jitter, 1 + jitter))

    @abstractmethod
    def _apply(self, image: Image, origin: Origin) -> Image: ...

    def apply(self, image: Image, origin: Origin = (0, 0)) -> Image:
        """Damage ``image`` (uint8 [H, W, 3] RGB) into a new array of the same shape.

        ``image`` may be a window of the page whose top left pixel is at ``origin`` = (x, y): away from the
        window's border the result equals that part of the damaged page.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"an image is uint8 [H, W, 3], not {image.dtype} {list(image.shape)}")
        if self.severity == 0:
            return image.copy()
        return self._apply(np.ascontiguousarray(image), origin)

    def map_points(self, points: Points) -> Points:
        """Where points of the page (float64 [n, 2] of x, y in pixels) lie after this operator."""
        return points

    def view(self, image: Image, known: Mask, origin: Origin) -> tuple[Image, Mask, Origin]:
        """What a moving operator makes of a window of the page: the part of its result that the window decides.

        ``known`` (bool [H, W]) is False where ``image`` is not to be relied on; so is the mask that comes back.
        """
        return self.apply(image, origin), known, origin

    def map_boxes(self, boxes: Sequence[Box]) -> tuple[Box, ...]:
        """The upright boxes around where the corners of ``boxes`` lie after this operator."""
        if not self.moves or self.severity == 0:
            return tuple(boxes)
        return boxes_around(self.map_points, boxes)

    def to_json(self) -> dict[str, str]:
        """``{"operator": name, "parameters": JSON text}``: one shape for all, so that rows load as a table."""
        parameters = dataclasses.asdict(self)
        parameters |= {name: parameters.pop(name) for name in self.last}
        return {"operator": self.name, "parameters": json.dumps(parameters, separators=(",", ":"), allow_nan=False)}


def boxes_around(map_points: Callable[[Points], Points], boxes: Sequence[Box]) -> tuple[Box, ...]:
    """The upright boxes around where ``map_points`` puts the corners and the middle of ``boxes``: a bend may push the middle out."""
    if not boxes:
        return ()
    edges = np.asarray(boxes, np.float64)
    corners = edges[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)
    points = np.concatenate([corners, (edges[:, None, :2] + edges[:, None, 2:]) / 2], axis=1)
    found = map_points(points.reshape(-1, 2)).reshape(-1, 5, 2)
    return tuple((*low, *high) for low, high in zip(found.min(1).tolist(), found.max(1).tolist(), strict=True))


T = TypeVar("T", bound=type[Operator])
OPERATORS: dict[str, type[Operator]] = {}


def register(cls: T) -> T:
    OPERATORS[cls.name] = cls
    return cls


def operator_class(name: str, *, field: str = "operator") -> type[Operator]:
    """Raises InputError with the nearest name for an operator that does not exist."""
    try:
        return OPERATORS[name]
    except (KeyError, TypeError):
        raise InputError(f"unknown operator {name!r}", field=field, remedy=nearest(str(name), OPERATORS)) from None


@cache
def _adapter(cls: type[Operator]) -> TypeAdapter[Operator]:
    return TypeAdapter(cls)


def from_json(step: Mapping[str, Any]) -> Operator:
    """The operator that ``to_json`` wrote; ``parameters`` may be JSON text or a mapping.

    Raises InputError naming the operator and parameter for anything unknown, missing or out of range.
    """
    if not isinstance(step, Mapping) or set(step) != {"operator", "parameters"}:
        raise InputError(
            f"a recipe step is {{operator, parameters}}, not {step!r:.80}", field="recipe", remedy="Copy it from a row."
        )
    cls = operator_class(step["operator"])
    parameters = step["parameters"]
    text = parameters if isinstance(parameters, str) else json.dumps(parameters)
    try:
        return _adapter(cls).validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        where = f"{cls.name}.{key}" if key else cls.name
        if first["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
            known = [field.name for field in dataclasses.fields(cls)]
            raise InputError("unknown parameter", field=where, remedy=nearest(str(first["loc"][-1]), known)) from None
        raise InputError(str(first["msg"]), field=where, remedy="Mend the recipe.") from None


def number(value: float) -> float:
    """Parameters keep four decimals: enough for any pixel, and rows stay short."""
    return round(float(value), 4)


def draw_at(cls: type[Operator], place: float, rng: Rng, context: Context) -> Operator:
    """As ``draw``, with the whole ladder at ``place`` (0 its foot, 1 its head, beyond them too): for calibration, not data."""
    held: type[Operator] = type(cls.__name__, (cls,), {"rungs": (place,) * MAX_SEVERITY})
    return held.draw(MAX_SEVERITY, rng, context)


def draw_seed(rng: Rng) -> int:
    return int(rng.integers(0, 2**32))


def to_uint8(values: NDArray[Any]) -> Image:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def coordinates(shape: Sequence[int], origin: Origin) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Page coordinates of pixel centres: x as [1, W], y as [H, 1]."""
    x = np.arange(shape[1], dtype=np.float32)[None, :] + (origin[0] + 0.5)
    y = np.arange(shape[0], dtype=np.float32)[:, None] + (origin[1] + 0.5)
    return x.astype(np.float32), y.astype(np.float32)
