"""Annotated receipts as lines to be read: which receipts belong to one company, who is held out, and what is asked.

Receipts of one company look alike, so a company is in one split only, under all the names that it goes by. Every line becomes
a field called "line", cut out of its receipt by ``view: field``; which line is meant is said by the crop alone: it is the one in the middle.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rapidfuzz.fuzz import ratio

from degradations.annotated.formats import documents
from degradations.annotated.values import Annotation
from degradations.chance import generator
from kie_hvqa.data.files import replacing
from kie_hvqa.errors import InputError
from studies.receipts.config import LineChoice

ASKED = "line"
_ALIKE = 80.0  # names of companies nearer than this (rapidfuzz's ratio, 100 is equal) are one company's
_LEGAL = re.compile(r"\([^)]*\)|\b(SDN|BHD|ENTERPRISE|TRADING|CO|THE)\b|[^A-Z0-9 ]")


@dataclass(frozen=True, slots=True)
class Receipt:
    """One annotated receipt and the folder that its image's name starts from."""

    annotation: Annotation
    root: Path


def read(annotations: Sequence[Path], images: Sequence[Path], layout: str) -> list[Receipt]:
    """The receipts of every set, each with its own image folder. Raises InputError for sets without folders, or that are nowhere."""
    if len(annotations) != len(images):
        raise InputError(
            f"{len(annotations)} sets of annotations and {len(images)} folders of images",
            field="--images",
            remedy="Name one folder for each, in the same order.",
        )
    return [
        Receipt(annotation, root)
        for path, root in zip(annotations, images, strict=True)
        for _, _, annotation in documents(layout, path, root)
    ]


def company(receipt: Receipt) -> str:
    """The name of the receipt's company without what says only how it is incorporated; empty where none is annotated."""
    name = receipt.annotation.fields.get("company", "").upper()
    return " ".join(_LEGAL.sub(" ", name).split())


def companies(receipts: Sequence[Receipt]) -> list[list[int]]:
    """Receipts (by number) that belong together: names that are alike, or that begin alike, are one company's. A receipt without a
    name stands alone."""
    groups: list[list[int]] = []
    names = [company(receipt).replace(" ", "") for receipt in receipts]
    for number, name in enumerate(names):
        mine = [group for group in groups if any(_same(name, names[other]) for other in group)]
        groups = [group for group in groups if group not in mine] + [[*(n for group in mine for n in group), number]]
    return groups


def _same(a: str, b: str) -> bool:
    short, long = sorted((a, b), key=len)
    return bool(short) and (ratio(a, b) >= _ALIKE or (len(short) >= 5 and long.startswith(short)))


def split(receipts: Sequence[Receipt], shares: Mapping[Any, float], seed: int) -> list[str]:
    """The split of each receipt: whole companies, drawn until a split holds its share of the receipts; the rest trains."""
    groups = companies(receipts)

    def key(group: Sequence[int]) -> str:
        name = min(company(receipts[n]) or receipts[n].annotation.file_name for n in group)
        return hashlib.sha256(f"{seed} {name}".encode()).hexdigest()

    found = ["train"] * len(receipts)
    waiting = sorted(groups, key=key)
    for name, share in sorted(shares.items()):
        held = 0
        while waiting and held < share * len(receipts):
            group = waiting.pop()
            held += len(group)
            for number in group:
                found[number] = name
    return found


def asked(annotation: Annotation, choice: LineChoice, most: int, seed: int) -> Annotation:
    """``annotation`` with up to ``most`` of its lines as its fields, each called "line", drawn from the document's own generator."""
    able = [
        number
        for number, line in enumerate(annotation.lines)
        if choice.shortest <= len(line.text) <= choice.longest
        and line.text == " ".join(line.text.split())
        and line.text.isascii()
        and line.text.isprintable()
    ]
    rng = generator(seed, annotation.file_name, "lines")
    chosen = sorted(int(n) for n in rng.permutation(able)[:most])
    names = {f"line_{number:03d}": number for number in chosen}
    return annotation.model_copy(
        update={
            "fields": {name: annotation.lines[number].text for name, number in names.items()},
            "where": {name: [number] for name, number in names.items()},
            "names": dict.fromkeys(names, ASKED),
        }
    )


def write(receipts: Sequence[Receipt], splits: Sequence[str], choice: LineChoice, seed: int, out: Path) -> None:
    """``out/SPLIT.jsonl`` of every split, and the images under ``out/images``, named by their set's number."""
    roots = list(dict.fromkeys(receipt.root for receipt in receipts))
    lines: dict[str, list[str]] = {}
    for receipt, name in zip(receipts, splits, strict=True):
        source = receipt.root / receipt.annotation.file_name
        copy = f"images/{roots.index(receipt.root)}-{source.name}"
        if not (out / copy).exists():
            with replacing(out / copy, "wb") as stream:
                stream.write(source.read_bytes())
        most = choice.per_document if name == "train" else choice.per_held_out
        annotation = asked(receipt.annotation.model_copy(update={"file_name": copy}), choice, most, seed)
        lines.setdefault(name, []).append(json.dumps(annotation.model_dump(mode="json")))
    for name, found in lines.items():
        with replacing(out / f"{name}.jsonl", "w") as text:
            text.write("\n".join(found) + "\n")
