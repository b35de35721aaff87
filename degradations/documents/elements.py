"""What can be put on a document, as a template file says it: one small model an element, told apart by ``draw``.

A place is ``[x, y]`` or a box ``[x, y, width, height]`` in the layout's unit. ``y`` may also be ``"+3"``, 3 below where the
last element ended, or ``"name+3"``, below the one that carries ``as: name``. Colours are names of the palette (``ink``,
``label``, ``accent``, ``line``, ``light``, ``second``), ``white``, ``black``, ``red``, or ``"#RRGGBB"``.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from kie_hvqa.config import Config

Place = list[float | int | str]
Role = Literal["value", "label", "small", "title", "mono", "ocr_b", "serif"]
Face = Role | list[str | int]
COLOURS = ("ink", "label", "accent", "line", "light", "second", "white", "black", "red", "blue", "grey")
_FLOWING = re.compile(r"\w*\+-?\d+(\.\d+)?")


class _Element(Config):
    """``as`` names where this element ends; ``fixed`` keeps it in place where an arrangement is mirrored; ``chance`` says how
    often it is there at all."""

    name: Annotated[str | None, Field(alias="as")] = None
    fixed: bool = False
    chance: Annotated[float, Field(ge=0, le=1)] = 1.0

    @field_validator("at", "box", check_fields=False)
    @classmethod
    def _place(cls, value: Any) -> Any:
        if value is not None:
            for index, part in enumerate(value):
                if isinstance(part, str) and (index != 1 or not _FLOWING.fullmatch(part)):
                    raise ValueError(f'{part!r} is no place: a number, or for y "+3" or "name+3"')
        return value

    @field_validator("colour", check_fields=False)
    @classmethod
    def _colour(cls, value: str) -> str:
        if value not in COLOURS and not re.fullmatch(r"#[0-9a-fA-F]{6}", value):
            raise ValueError(f"unknown colour {value!r}: use one of {', '.join(COLOURS)} or #RRGGBB")
        return value

    @property
    def fields(self) -> tuple[str, ...]:
        """The template's fields that this element puts on the page."""
        return ()


class Type(Config):
    """How something is set; what is left out is the layout's (``Layout.types``). ``size`` is in points (pixels in a layout of
    pixels), or a list of sizes of which a document has one. ``face`` is a role or a family with its weight.
    """

    face: Face | None = None
    size: float | list[float] | None = None
    bold: bool | None = None
    colour: str | None = None
    tracking: float = 0.0
    opaque: bool | None = None


class Band(_Element):
    draw: Literal["band"]
    box: Place
    colour: str = "accent"
    opacity: float = 1.0


class Rule(_Element):
    """A line from ``at``, ``length`` long, across or ``down``; ``dashed`` as a till prints it."""

    draw: Literal["rule"]
    at: Place
    length: float
    down: bool = False
    thickness: float = 0.25
    colour: str = "accent"


class Frame(_Element):
    draw: Literal["frame"]
    box: Place
    colour: str = "accent"
    thickness: float = 0.25


class Text(_Element):
    """Lines of text below each other, ``leading`` apart (of the size, if left out); ``{fact}`` and ``{=word}`` are said.

    ``room``: what does not fit into it is set smaller, down to ``squeeze`` of the size.
    """

    draw: Literal["text"]
    at: Place
    text: str | list[str]
    align: Literal["left", "right", "centre"] = "left"
    type: Type = Type()
    leading: float | None = None
    room: float | None = None
    squeeze: float = 0.7
    down: bool = False


class Put(_Element):
    """One field with its label (the template's word of that name, or none) ``above`` it, ``left`` or ``below``.

    ``at`` is the value's baseline, or the label's corner with ``above``; ``label_at`` places the label alone. ``before`` and
    ``after`` are printed beside the value and do not belong to it.
    """

    draw: Literal["field"]
    field: str
    at: Place
    label: Literal["above", "left", "below", "none"] = "none"
    label_text: str | None = None
    label_at: Place | None = None
    align: Literal["left", "right", "centre"] = "left"
    type: Type = Type()
    label_type: Type = Type()
    gap: float = 1.0
    room: float | None = None
    squeeze: float = 0.75
    before: str = ""
    after: str = ""

    @property
    def fields(self) -> tuple[str, ...]:
        return (self.field,)


class Rows(_Element):
    """Labelled fields in rows that divide ``box``: the arrangement's, or ``rows``; ``without`` leaves some of them out.

    ``labels`` overrides the arrangement's; ``flush`` sets values to the right edge. With ``pitch`` rows are so far apart and the
    box's height does not count.
    """

    draw: Literal["rows"]
    box: Place
    rows: list[list[str]] | None = None
    without: list[str] = []
    labels: Literal["left", "above"] | None = None
    flush: bool = False
    pitch: float | None = None
    gap: float = 2.0
    type: Type = Type()
    label_type: Type = Type()
    squeeze: float = 0.8
    after: str = ""

    @property
    def fields(self) -> tuple[str, ...]:
        return tuple(name for row in self.rows or [] for name in row)


class Zone(_Element):
    """A machine readable zone of ``kind`` (td1, td3, visa) and document type ``code``; its lines are fields, or are not asked."""

    draw: Literal["zone"]
    box: Place
    kind: Literal["td1", "td3", "visa"]
    code: str = "P"
    lines: list[str] = []
    size: float | None = None

    @property
    def fields(self) -> tuple[str, ...]:
        return tuple(self.lines)


class Column(Config):
    """``says`` what stands in it (``{name}``, ``{amount}``); ``to`` is its right edge as a share of the table's width."""

    says: str
    to: float
    head: str = ""
    align: Literal["left", "right", "centre"] = "left"


class Table(_Element):
    """The items of a bill. ``head`` and ``rules``: none, lines, grid or bands; ``second`` is printed below an item's name."""

    draw: Literal["table"]
    at: Place
    width: float
    columns: list[Column]
    pitch: float = 6.0
    rules: Literal["none", "lines", "grid", "bands", "ends"] = "lines"
    type: Type = Type()
    head_type: Type = Type()
    head_fill: bool = False
    second: str | None = None
    least: float = 0.0


class Line(Config):
    """One line of a till's roll: text at the ``left``, ``right`` and ``centre``, or a ``field`` with its label at the left.

    ``repeat: items`` prints it for every item. ``size`` multiplies the roll's.
    """

    left: str = ""
    right: str = ""
    centre: str = ""
    field: str | None = None
    label: str | None = None
    inline: bool = False
    size: float = 1.0
    bold: bool = False
    fill: str = ""
    gap: float = 0.0
    repeat: Literal["items"] | None = None
    only: Literal["many", "one"] | None = None
    chance: float = 1.0
    after: str = ""


class Roll(_Element):
    """Lines one below the other, ``pitch`` apart, between ``x`` and ``x + width``."""

    draw: Literal["roll"]
    at: Place
    width: float
    pitch: float
    type: Type = Type()
    lines: list[Line]

    @property
    def fields(self) -> tuple[str, ...]:
        return tuple(line.field for line in self.lines if line.field is not None)


class Portrait(_Element):
    """The holder. ``tone``: colour, grey or engraved; ``shape``: rect, oval, or cut out of its backdrop."""

    draw: Literal["portrait"]
    box: Place
    tone: Literal["colour", "grey", "engraved"] = "colour"
    shape: Literal["rect", "oval", "cut"] = "rect"
    opacity: float = 1.0


class Art(_Element):
    """Something drawn that says nothing: ``kind`` names it (``decor.KINDS``)."""

    draw: Literal["art"]
    kind: Literal[
        "ghost", "signature", "chip", "stars", "arms", "hologram", "star", "barcode", "square", "logo", "seal", "stripe", "tricolour",
        "contactless", "rosette",
    ]  # fmt: skip
    box: Place
    colour: str = "ink"
    opacity: float = 0.6


Element = Annotated[
    Band | Rule | Frame | Text | Put | Rows | Zone | Table | Roll | Portrait | Art, Field(discriminator="draw")
]
