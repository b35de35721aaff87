"""What a template file may say: the declarative form of a document, read strictly.

A template is YAML (``docs/templates.md`` has a worked example): which facts are printed where, in which face and size, with
which labels in which language, on which material, and how it may look in training and in the test. ``renderer`` draws it;
the values come from ``subjects``. Lengths are millimetres and type sizes points (1/72 inch), or both pixels in a layout whose
``unit`` is ``px``.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from degradations.documents.art.palette import GROUNDS, Palette
from degradations.documents.elements import Element, Role, Type
from degradations.documents.model import Material
from degradations.documents.subjects.values import pick
from kie_hvqa.config import Config, load, nearest
from kie_hvqa.errors import InputError

FOLDER = Path(__file__).with_name("templates")
Face = tuple[str, int]
Scale = Literal["tiny", "full"]

SEEN_FACES: tuple[Face, ...] = (
    ("Roboto", 500), ("Roboto", 700), ("Arimo", 400), ("Arimo", 700), ("Inter", 500), ("PT Sans", 400), ("PT Sans", 700),
    ("Open Sans", 500), ("IBM Plex Sans", 500), ("Barlow", 600), ("Roboto Condensed", 600), ("Roboto Mono", 500),
    ("Lato", 400), ("Lato", 700), ("Fira Sans", 500), ("Work Sans", 500), ("Noto Sans", 500), ("Noto Sans", 700),
)  # fmt: skip
HELD_FACES: tuple[Face, ...] = (
    ("Source Sans 3", 600), ("Public Sans", 500), ("Overpass", 600), ("Roboto", 600), ("Arimo", 500),
)  # fmt: skip
# Names for sets of faces, so that a template need not list them.
FACE_SETS: dict[str, tuple[Face, ...]] = {
    "sans": SEEN_FACES,
    "sans-held": HELD_FACES,
    # Faces with Cyrillic and Greek.
    "wide": (("Roboto", 500), ("Roboto", 700), ("Arimo", 400), ("Inter", 500), ("Open Sans", 500), ("Roboto Condensed", 600)),
    "wide-held": (("Source Sans 3", 600), ("Arimo", 500)),
    "office": (("Arimo", 400), ("Lato", 400), ("Open Sans", 400), ("Noto Sans", 400), ("PT Serif", 400), ("Roboto", 400), ("Fira Sans", 400)),
    "office-held": (("Source Sans 3", 400), ("Public Sans", 400), ("Overpass", 400), ("Roboto", 400)),
    "till": (("Roboto Mono", 400), ("Roboto Mono", 500), ("Roboto Condensed", 500)),
    "till-held": (("IBM Plex Mono", 500), ("IBM Plex Mono", 400)),
    "chinese": (("Noto Sans SC", 400),),
    "chinese-held": (("Noto Serif SC", 400),),
}  # fmt: skip


class Arrangement(Config):
    """Which rows stand in which order: it belongs to an issuer. ``labels`` stand left of the values or above them.

    The last ``fixed`` rows keep their place when the others are shuffled. ``mirrored`` puts what stands left to the right.
    """

    name: str
    rows: list[list[str]] = []
    labels: Literal["left", "above"] = "left"
    mirrored: bool = False
    fixed: Annotated[int, Field(ge=0)] = 0

    def shuffled(self, rng: np.random.Generator, apart_from: Collection[list[list[str]]]) -> Arrangement:
        """The same rows in a drawn order, each one's fields too, and none of the orders ``apart_from``: a stress, no issuer's."""
        loose = len(self.rows) - self.fixed
        rows = [[row[i] for i in rng.permutation(len(row))] for row in self.rows]
        rows = [*(rows[i] for i in rng.permutation(loose)), *rows[loose:]]
        if rows in apart_from and len(rows) > 2:
            return self.shuffled(rng, apart_from)
        return self.model_copy(
            update={"name": f"{self.name}-shuffled", "rows": rows, "mirrored": bool(rng.integers(2))}
        )


class Looks(Config):
    """How documents of a split may look; an issuer has one of these looks and keeps it. ``palettes``: name to six colours
    RRGGBB (``Palette``). ``faces``: a set's name, or families with their weights.
    """

    palettes: dict[str, str]
    backgrounds: list[str]
    faces: str | list[list[str | int]]
    arrangements: list[Arrangement] = [Arrangement(name="usual")]
    label_faces: str | list[list[str | int]] | None = None

    @field_validator("backgrounds")
    @classmethod
    def _backgrounds(cls, value: list[str]) -> list[str]:
        for name in value:
            if name not in GROUNDS:
                raise ValueError(f"unknown background {name!r}: {nearest(name, GROUNDS)}")
        return value

    @field_validator("palettes")
    @classmethod
    def _palettes(cls, value: dict[str, str]) -> dict[str, str]:
        for name, colours in value.items():
            try:
                Palette.of(name, colours)
            except (TypeError, ValueError):
                raise ValueError(
                    f"palette {name!r} is not six colours RRGGBB: light second line accent ink label"
                ) from None
        if not value:
            raise ValueError("at least one palette is needed")
        return value

    @field_validator("faces", "label_faces")
    @classmethod
    def _known(cls, value: Any) -> Any:
        if isinstance(value, str) and value not in FACE_SETS:
            raise ValueError(f"unknown set of faces {value!r}: {nearest(value, FACE_SETS)}")
        return value

    def face_list(self, *, labels: bool = False) -> tuple[Face, ...]:
        faces = self.label_faces if labels and self.label_faces is not None else self.faces
        return FACE_SETS[faces] if isinstance(faces, str) else tuple((str(f), int(w)) for f, w in faces)


class PersonRules(Config):
    """The holder and what his issuer's rules are. ``age`` at issue and ``issued`` are bounds (years); ``valid`` possible
    validities in years; ``expires`` on the ``anniversary`` of the issue, its ``eve`` or the holder's ``birthday``. ``number``:
    forms in which A is a letter and 9 a digit. ``names``: ``latin``, ``native`` (with its Latin form) or ``chinese``.
    """

    age: list[int] = [18, 82]
    issued: list[int] = [2018, 2026]
    valid: list[int] = [10]
    expires: Literal["anniversary", "eve", "birthday"] = "anniversary"
    number: list[str] = ["AA9999999"]
    personal_number: str = "{birth}9999"
    names: Literal["latin", "native", "chinese"] = "latin"
    foreign: bool = False
    longest: int = 12
    street: int = 22
    classes: list[str] = ["B"]


class BillRules(Config):
    """What is billed. ``tax`` is ``excluded`` from the prices, ``included``, in two ``halves``, or ``none``; its ``rate`` is the country's
    ``first`` (the standard one), its ``last`` (of food) or ``any``; ``seller`` a company, a store or a house; ``customer`` a company, a person or any.
    """

    goods: str = "office"
    items: list[int] = [3, 9]
    tax: Literal["excluded", "included", "halves", "none"] = "excluded"
    rate: Literal["first", "last", "any"] = "first"
    number: list[str] = ["999999", "INV-9999", "AA-99999", "99-9999", "A999999", "2026/9999"]
    seller: Literal["company", "store", "house"] = "company"
    customer: Literal["company", "person", "any"] = "any"
    dates: list[str] = []
    tip: bool = False
    capitals: bool = False
    longest: int = 12


class FieldRules(Config):
    """``ask``: what a question calls it; left out, it is printed and never asked about. ``says``: ``{fact|form}``. ``sample``:
    the widest ordinary value, by which rows are divided.
    """

    ask: str | None = None
    says: str
    sample: str | None = None


class Layout(Config):
    """``size`` is the document's in millimetres, ``pixels`` the picture's.

    ``cut`` ends the page so far below what was printed last (a till's roll). ``ground``: how strongly the background shows.
    ``language`` of its words, if not the issuer's. ``types``: how values, labels, small print and titles are set where an element does not say.
    """

    size: list[float]
    pixels: list[int]
    unit: Literal["mm", "px"] = "mm"
    types: dict[Role, Type]
    elements: list[Element]
    cut: float | None = None
    ground: Annotated[float, Field(ge=0, le=1)] = 1.0
    language: str | None = None

    @property
    def density(self) -> float:
        """Pixels a unit."""
        return self.pixels[0] / self.size[0] if self.unit == "mm" else 1.0


class Template(Config):
    """A kind of document; ``docs/templates.md`` explains every key."""

    name: str
    document_type: Literal["id_card", "invoice", "receipt"]
    material: Material = "paper"
    corner: Annotated[float, Field(ge=0)] = 0.0
    person: PersonRules | None = None
    bill: BillRules | None = None
    issuers: dict[Literal["train", "test"], list[dict[str, Any]]]
    looks: dict[Literal["train", "test"], Looks]
    words: dict[str, str | dict[str, str]] = {}
    fields: dict[str, FieldRules]
    layouts: dict[Scale, Layout]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.person is None) == (self.bill is None):
            raise ValueError("a template speaks of a `person` or of a `bill`: say which, {} will do")
        for split in ("train", "test"):
            if not self.issuers.get(split) or split not in self.looks:
                raise ValueError(
                    f"`issuers` and `looks` need an entry for {split}; a person's own template may repeat one"
                )
        rows = [row for looks in self.looks.values() for arrangement in looks.arrangements for row in arrangement.rows]
        for layout in self.layouts.values():
            for element in layout.elements:
                for name in element.fields:
                    if name not in self.fields:
                        raise ValueError(f"there is no field {name!r} to put anywhere: {nearest(name, self.fields)}")
        for name in (name for row in rows for name in row):
            if name not in self.fields:
                raise ValueError(f"a row names the field {name!r}: {nearest(name, self.fields)}")
        return self

    @property
    def questions(self) -> dict[str, str]:
        """Concept → what a question calls it, of everything asked at any scale."""
        return {name: rules.ask for name, rules in self.fields.items() if rules.ask is not None}

    @property
    def sizes(self) -> dict[str, tuple[int, int]]:
        """Scale → (width, height) of its largest picture in pixels."""
        return {scale: (layout.pixels[0], layout.pixels[1]) for scale, layout in self.layouts.items()}

    def words_in(self, language: str) -> dict[str, str]:
        """Every word in ``language``, in English or in whatever there is where it lacks one."""
        return {
            name: word if isinstance(word, str) else word.get(language) or word.get("en") or next(iter(word.values()))
            for name, word in self.words.items()
        }


@dataclass(frozen=True, slots=True)
class Look:
    """How one document looks."""

    palette: Palette
    background: str
    arrangement: Arrangement
    value_face: Face
    label_face: Face
    ground_seed: int

    @property
    def description(self) -> dict[str, str]:
        return {
            "palette": self.palette.name,
            "background": self.background,
            "arrangement": self.arrangement.name,
            "value_face": f"{self.value_face[0]} {self.value_face[1]}",
            "label_face": f"{self.label_face[0]} {self.label_face[1]}",
        }


def draw_look(looks: Looks, issuer_rng: np.random.Generator, rng: np.random.Generator) -> Look:
    """The look of an issuer (from ``issuer_rng``, the same for all of its documents); what a single document adds to it (the
    face of the values, which is the printer's) comes from ``rng``.
    """
    palette = pick(issuer_rng, sorted(looks.palettes))
    return Look(
        palette=Palette.of(palette, looks.palettes[palette]),
        background=pick(issuer_rng, looks.backgrounds),
        arrangement=pick(issuer_rng, looks.arrangements),
        label_face=pick(issuer_rng, looks.face_list(labels=True)),
        ground_seed=int(issuer_rng.integers(6)),
        value_face=pick(rng, looks.face_list()),
    )


def rearranged(look: Look, held: Looks, rng: np.random.Generator) -> Look:
    """``look`` with shuffled rows: an order that the test's issuers do not have."""
    return replace(look, arrangement=look.arrangement.shuffled(rng, [a.rows for a in held.arrangements]))


@cache
def _shipped() -> dict[str, Path]:
    return {path.stem: path for path in sorted(FOLDER.glob("*/*.yaml"), key=lambda path: path.stem)}


def names() -> tuple[str, ...]:
    """Every template that comes with the package, in order."""
    return tuple(_shipped())


def is_path(name: str) -> bool:
    return name.endswith((".yaml", ".yml"))


def template(name: str) -> Template:
    """A shipped template by its name, or anybody's by the path of its file (``….yaml``).

    Raises InputError for an unknown name, and naming file, line and key for a template that is not one.
    """
    if is_path(name):
        return _read(Path(name).resolve(), Path(name).stat().st_mtime_ns if Path(name).is_file() else 0)
    if name not in _shipped():
        known = ", ".join(names())
        close = nearest(name, names())
        hint = (
            f"did you mean {close.split('`')[1]!r}?"
            if "Did you mean" in close
            else f"use one of {known}, or a file's path"
        )
        raise InputError(f"unknown template {name!r}", remedy=hint)
    return _read(_shipped()[name], 0)


@cache
def _read(path: Path, changed: int) -> Template:
    del changed  # a file that was edited is read again
    return load(path, Template)
