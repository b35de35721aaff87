"""One renderer for every template: draws whom the document speaks of, how it looks, then each element in its turn.

A page is a pure function of the generator passed in. Where a drawn value has no room at its place, the document is drawn
again with other values, as often as it takes; a template in which nothing fits is an error.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from degradations.documents.art.backgrounds import ground
from degradations.documents.model import Document
from degradations.documents.page import Misfit, Page
from degradations.documents.setting import Setter, draw_all
from degradations.documents.subjects.billing import draw_bill
from degradations.documents.subjects.identities import Sitter, draw_person
from degradations.documents.subjects.names import SPLITS
from degradations.documents.subjects.said import Day
from degradations.documents.subjects.subject import Subject
from degradations.documents.subjects.values import VALUES, pick
from degradations.documents.template import Template, draw_look, rearranged
from kie_hvqa.errors import InputError

ATTEMPTS = 60
ROWS = ("issuer", "shuffled")


def render_template(
    template: Template,
    rng: np.random.Generator,
    *,
    split: str = "train",
    scale: str = "full",
    values: str = "natural",
    rows: str = "issuer",
    called: str | None = None,
) -> Document:
    """One document of ``template``. ``rows`` stand as their issuer has them, or ``shuffled``; ``called`` is the name that
    rows of a dataset know the template by (its file's path, for one's own).

    Raises InputError for an unknown split, scale, kind of values or of rows, and for a template that nothing fits into.
    """
    for what, given, allowed in (
        ("split", split, SPLITS), ("scale", scale, tuple(template.layouts)), ("kind of values", values, VALUES),
        ("order of rows", rows, ROWS),
    ):  # fmt: skip
        if given not in allowed:
            raise InputError(f"unknown {what} {given!r}", remedy=f"use one of {', '.join(allowed)}")
    failed: Misfit | None = None
    for _ in range(ATTEMPTS):
        try:
            return _drawn(template, rng, split, scale, values == "random", rows == "shuffled", called)
        except Misfit as error:
            failed = error
    assert failed is not None
    raise InputError(
        f"{failed.what} in {ATTEMPTS} attempts", field=f"{template.name}.{failed.field}", remedy=failed.remedy
    )


def _drawn(
    template: Template,
    rng: np.random.Generator,
    split: str,
    scale: str,
    random: bool,
    shuffled: bool,
    called: str | None,
) -> Document:
    held = "test" if split == "test" else "train"
    issuer = pick(rng, template.issuers[held])  # type: ignore[index]
    looks, layout = template.looks[held], template.layouts[scale]  # type: ignore[index]
    look = draw_look(looks, issuer_generator(template, issuer, rng), rng)
    if shuffled:
        look = rearranged(look, template.looks["test"], rng)
    subject, sitter = draw_subject(template, rng, split, issuer, random)
    if layout.language is not None:
        subject.words = {**subject.words, **template.words_in(layout.language)}
    palette, (width, height) = look.palette, layout.pixels
    image = ground(look.background, palette, width, height, look.ground_seed, layout.ground).copy()
    page = Page(image)
    setter = Setter(page, template, layout, look, subject, sitter, rng, held == "test")
    draw_all(setter)
    end = None
    if layout.cut is not None:
        end = min(height, round(setter.bottom + layout.cut * layout.density))
    document = page.document(
        document_type=template.document_type,
        template=called or template.name,
        identity=identity(template, subject, issuer),
        drawing={**look.description, "issuer": str(issuer.get("name", issuer.get("country", ""))), "scale": scale},
        rules=subject.rules,
        height=end,
    )
    return replace(document, material=template.material, millimetres=layout.size[0], corner=template.corner)


def issuer_generator(template: Template, issuer: dict[str, Any], rng: np.random.Generator) -> np.random.Generator:
    """What an issuer with a name decides is the same on all of its documents; one without draws anew each time."""
    if "name" not in issuer:
        return rng
    return np.random.default_rng([*template.name.encode(), 0, *str(issuer["name"]).encode()])


def draw_subject(
    template: Template, rng: np.random.Generator, split: str, issuer: dict[str, Any], random: bool
) -> tuple[Subject, Sitter | None]:
    sitter = None
    if template.person is not None:
        subject, sitter = draw_person(rng, split, issuer, template.person.model_dump(), random)
    else:
        assert template.bill is not None
        subject = draw_bill(rng, split, issuer, template.bill.model_dump(), random)
    subject.words = {
        **{key: str(value) for key, value in issuer.items() if isinstance(value, str | int | float)},
        **template.words_in(subject.language),
        **issuer.get("words", {}),
    }
    return subject, sitter


def identity(template: Template, subject: Subject, issuer: dict[str, Any]) -> dict[str, str]:
    """What is known about the holder or the bill, printed or not, by concept where there is one."""
    known = subject.plain(name for name in subject.facts if name in subject.told or name in ("sex", "surname"))
    found = dict(known)
    for name, rules in template.fields.items():
        fact = rules.says.strip("{}").split("|")[0]
        if fact in subject.facts and not isinstance(subject.facts[fact], Day):
            found[name] = subject.say(rules.says).text
    if "items" in subject.tables:
        found["items"] = "; ".join(
            " ".join(subject.say(part, row).text for part in ("{quantity} x {name} @ {price} = {amount}",))
            for row in subject.tables["items"]
        )
        found["tax_rate"] = subject.say("{rate}").text
    if "country" in issuer:
        found["issuer"] = str(issuer["country"])
    return found
