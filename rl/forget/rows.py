"""Who is forgotten, who is kept, and what each row teaches.

A forgotten person's row is *covered* where a slot is hidden that no other print gives, *legible* where every slot is clear; what
is neither teaches nothing. Some of each person's rows, of the people to keep too, are held out to be measured on.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kie_hvqa.answers.answer import REFUSAL, Style, perfect, render
from kie_hvqa.answers.prompt import IMAGE_TOKEN, messages, question
from kie_hvqa.data.dataset import rows_file, spread
from kie_hvqa.data.ledger import Row
from kie_hvqa.errors import InputError
from kie_hvqa.readers.checkpoint import ReadingContract
from rl.forget.losses import Role, Target
from rl.forget.recipe import PLACE, ForgetRecipe
from rl.rows.sources import Written
from rl.rows.training import TrainingRows

PASSES = 1000
"""How often a forgotten row comes, each time with other companions: more often than any run takes it."""


def covered(row: Row) -> bool:
    return any(slot.scored and slot.legibility == "hidden" and not slot.derivable for slot in row.slots or ())


def legible(row: Row) -> bool:
    return bool(row.slots) and all(slot.legibility == "clear" for slot in row.slots or () if slot.scored)


KINDS = {"covered": covered, "legible": legible}


def target(row: Row, kind: Target, style: Style) -> str:
    """The answer that ``row`` teaches. There is one, and ``marked`` holds nothing but what can be seen."""
    assert row.slots is not None
    if kind == "refusal":
        return render(REFUSAL, tags=True, style=style)
    if kind == "printed":
        return perfect([replace(slot, legibility="clear", derivable="") for slot in row.slots], style)
    return perfect(row.slots, style)


@dataclass(frozen=True)
class Sets:
    """Three sources, and numbers of rows in the first two: trained on, and held out; by what they are (``covered``, ``legible``, ``kept``)."""

    forgotten: Written
    kept: Written
    strangers: Written | None
    train: Mapping[str, list[int]]
    held: Mapping[str, list[int]]

    @classmethod
    def of(cls, recipe: ForgetRecipe) -> Sets:
        """Raises InputError, naming the file, for an empty set, rows without slots, a person in two sets, and nothing to forget."""
        if recipe.data.path is None:
            raise InputError("the people to keep are a dataset", field="data.path", remedy="Name it (--retain).")
        forgotten = _opened(recipe.forget, None)
        kept = _opened(recipe.data.path, recipe.data.split, recipe.data.limit)
        strangers = None if recipe.strangers is None else _opened(recipe.strangers, None)
        for one, other in itertools.combinations(
            [each for each in (forgotten, kept, strangers) if each is not None], 2
        ):
            _apart(one, other)
        every = round(1 / recipe.held_out)
        train: dict[str, list[int]] = {}
        held: dict[str, list[int]] = {}
        for part, numbers in zip((train, held), held_out(forgotten.rows, every), strict=True):
            part.update({kind: [n for n in numbers if holds(forgotten.row(n))] for kind, holds in KINDS.items()})
        train["kept"], held["kept"] = held_out(kept.rows, every)
        if not train["covered"]:
            what = "no row has a hidden slot, so there is nothing that could be forgotten"
            raise _wrong(recipe.forget, "slots", what, "Name rows about the person's covered cards.")
        wanting, clear = ({forgotten.row(n).document_id for n in train[kind]} for kind in KINDS)
        if recipe.decoupled and wanting - clear:
            what = f"{min(wanting - clear)} has no legible card here, which the decoupled term trains on"
            raise _wrong(recipe.forget, "decoupled", what, "Add rows about such cards, or set decoupled=0.")
        return cls(forgotten, kept, strangers, train, held)

    def measured(self, who: str, what: str, most: int) -> tuple[Written, list[int]]:
        """At most ``most`` ``covered`` or ``legible`` rows (``what``) of the ``forgotten``, ``kept`` or ``strangers`` (``who``), spread evenly.

        They were held out, or where nothing could be, trained on. None of strangers whom nobody named.
        """
        source = {"forgotten": self.forgotten, "kept": self.kept, "strangers": self.strangers}[who]
        if source is None:
            return self.forgotten, []
        if who == "forgotten":
            numbers = self.held[what] or self.train[what]
        else:
            pool = range(len(source)) if who == "strangers" else self.held["kept"] or self.train["kept"]
            numbers = [number for number in pool if KINDS[what](source.row(number))]
        return source, spread(numbers, most)


def held_out(rows: Sequence[Row], every: int) -> tuple[list[int], list[int]]:
    """The numbers of ``rows`` without every ``every``-th of each person, and those."""
    met: dict[str, int] = {}
    parts: tuple[list[int], list[int]] = ([], [])
    for number, row in enumerate(rows):
        met[row.document_id] = met.get(row.document_id, 0) + 1
        parts[met[row.document_id] % every == 0].append(number)
    return parts


def _opened(path: str, split: str | None, limit: int | None = None) -> Written:
    source = Written(path, split, limit)
    if bare := [row.id for row in source.rows if row.slots is None]:
        what = f"row {bare[0]!r} has no slots, so nobody knows what of it is covered"
        raise _wrong(path, "slots", what, "Name a dataset with a ledger (kie-hvqa simulate and degrade write one).")
    return source


def _apart(one: Written, other: Written) -> None:
    if both := {row.document_id for row in one.rows} & {row.document_id for row in other.rows}:
        more = f", and so are {len(both) - 1} others" if len(both) > 1 else ""
        what, remedy = (
            f"{min(both)} is in {one.name} too{more}",
            "A person is in one of the sets: take the rows out of one.",
        )
        raise _wrong(other.name, "document_id", what, remedy)


def _wrong(path: str, field: str, what: str, remedy: str) -> InputError:
    return InputError(what, file=rows_file(path), field=field, remedy=remedy)


class ForgetRows(TrainingRows):
    """Covered rows of the forgotten, each with the companions that the method asks for, which a row's number decides.

    An item is the forgotten row's, as in ``TrainingRows``, with its ``role`` and, in ``companions``, items of the other roles.
    """

    def __init__(self, recipe: ForgetRecipe, contract: ReadingContract, sets: Sets) -> None:
        super().__init__(recipe.data, contract, target=recipe.answer)
        self.sets = sets
        self._recipe = recipe
        self._seed = int(recipe.training.get("seed", 0))
        self._legible: dict[str, list[int]] = {}
        for number in sets.train["legible"]:
            self._legible.setdefault(sets.forgotten.row(number).document_id, []).append(number)
        self._asking: dict[str, list[int]] = {}
        for number in filter(lambda number: legible(sets.kept.row(number)), sets.train["kept"]):
            self._asking.setdefault(question(sets.kept.row(number)), []).append(number)

    def __len__(self) -> int:
        return PASSES * len(self.sets.train["covered"])

    def item(self, index: int, *, image: bool) -> dict[str, Any]:
        chosen, kept = self.sets.train["covered"], self.sets.train["kept"]
        number, rng = chosen[index % len(chosen)], np.random.default_rng([self._seed, index])
        row, method = self.sets.forgotten.row(number), self._recipe.adds

        def one(source: Written, numbers: Sequence[int], role: Role) -> dict[str, Any]:
            return self._item(source, numbers[int(rng.integers(len(numbers)))], role, rng, image=image)

        item = one(self.sets.forgotten, [number], Role.FORGET)
        retained = self._recipe.retained if method.retains else 0
        companions = [one(self.sets.kept, kept, Role.RETAIN) for _ in range(retained)]
        if self._recipe.decoupled:
            companions.append(one(self.sets.forgotten, self._legible[row.document_id], Role.PERSON))
            companions.append(one(self.sets.kept, self._asking.get(question(row), kept), Role.QUESTION))
        return item | {"companions": companions}

    def _item(
        self, source: Written, number: int, role: Role, rng: np.random.Generator, *, image: bool
    ) -> dict[str, Any]:
        row = source.row(number)
        role = Role.RETAIN_COVERED if role == Role.RETAIN and covered(row) else role
        kind: Target = self._recipe.adds.target if role == Role.FORGET else "marked"
        wording = self._recipe.wordings[int(rng.integers(len(self._recipe.wordings)))]
        item = item_of(row, target(row, kind, self._recipe.answer), self._contract, wording) | {"role": int(role)}
        return item | ({"image": source.image(number, self._contract.budget)} if image else {})


def item_of(row: Row, answer: str, contract: ReadingContract, wording: str = PLACE) -> dict[str, Any]:
    """What TRL's collator takes, without the image."""
    asked = replace(row, problem=IMAGE_TOKEN + wording.replace(PLACE, question(row)))
    return {"prompt": messages(asked, contract.prompt), "completion": [{"role": "assistant", "content": answer}]}
