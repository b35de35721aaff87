"""Datasets of people by hand: white pages with a ledger, covered and legible cards of each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from kie_hvqa.answers.answer import render, truth
from kie_hvqa.data.ledger import Row, Slot, kind_of

FIELDS = {"surname": "surname", "document_number": "document number"}


def slots(value: str, hidden: str = "") -> tuple[Slot, ...]:
    """``hidden`` has an ``x`` over every slot that is hidden; shorter ones leave the rest clear."""
    marks = hidden.ljust(len(value))
    return tuple(
        Slot(char, "hidden" if mark == "x" else "clear", 0.0 if mark == "x" else 1.0, (0, 0, 8, 8))
        for char, mark in zip(value, marks, strict=True)
    )


def row(person: str, number: int, field: str, value: str, hidden: str = "") -> Row:
    ledger = slots(value, hidden)
    return Row(
        f"{person}-q{number}", f"images/{person}-{number}.png", person, "id_card", "train", field, kind_of(ledger),
        f"<image>What is the {FIELDS[field]} in the image?", render(truth(ledger)), ledger, severity=4 if hidden else 0,
    )  # fmt: skip


def rows_of(person: str, surname: str) -> list[Row]:
    """Four covered rows and four legible ones, of two fields."""
    values = {"surname": surname, "document_number": surname[::-1] + "7"}
    covers = [("surname", "xxxx"), ("document_number", "xx"), ("surname", "  xx"), ("document_number", "xxxxx")]
    made = [row(person, n, field, values[field], hidden) for n, (field, hidden) in enumerate(covers)]
    return made + [row(person, 4 + n, field, values[field]) for n, field in enumerate([*FIELDS, *FIELDS])]


def write(folder: Path, rows: Sequence[Row]) -> Path:
    (folder / "images").mkdir(parents=True)
    for one in rows:
        shade = sum(map(ord, one.file_name)) % 200
        Image.new("RGB", (56, 56), (shade, 255 - shade, 90)).save(folder / one.file_name)
    lines = [json.dumps(one.to_json()) for one in rows]
    (folder / "metadata.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return folder


def people(folder: Path, names: Sequence[str]) -> Path:
    return write(folder, [one for name in names for one in rows_of(f"p-{name}", name)])
