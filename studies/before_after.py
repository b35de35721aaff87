"""Draws what runs say about one field, beside what the pixels support: the README's picture of a mixed field.

The field is not picked by hand: it is the first of the run's data, in the order of its rows, that is mixed, that the first run
invents characters on and that the last is hallucination-free on; with ``--nth`` the n-th such field. How many there are is printed.

Run: python -m studies.before_after DATA base=RUN GRPO=RUN --split test --out docs/before-after.svg
"""

from __future__ import annotations

import argparse
import io
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path

from PIL import Image

from kie_hvqa.answers.answer import EXPLICIT_MARK, parse
from kie_hvqa.answers.verdicts import OUTCOMES, Verdicts, verdicts
from kie_hvqa.data.dataset import dataset_root, image_path, load_image, load_rows
from kie_hvqa.data.files import replacing
from kie_hvqa.data.ledger import Row
from kie_hvqa.errors import InputError
from kie_hvqa.report.pictures import region
from kie_hvqa.runs.predictions import read_predictions
from kie_hvqa.scoring.strata import stratum_of

WIDTH, CELL, LINE, PICTURE = 900, 26, 44, 300
LEGIBILITY = {"clear": "#1f883d", "partial": "#bc6c00", "hidden": "#cf222e"}
OUTCOME = {
    "right": "#1f883d",
    "marked": "#57606a",
    "over_refused": "#bc6c00",
    "misread": "#bc6c00",
    "dropped": "#8250df",
}
WORDS = {outcome.code: outcome.word for outcome in OUTCOMES}


def mixed_fields(rows: list[Row], runs: Sequence[Mapping[str, str]]) -> Iterator[tuple[Row, list[Verdicts]]]:
    """The rows that are mixed, with inventions in the first of ``runs`` (answer by row id) and none of any fault in the last."""
    for row in rows:
        if row.slots is None or stratum_of(verdicts(row.slots, None, row.question_kind).counts) != "mixed":
            continue
        found = [verdicts(row.slots, parse(answers.get(row.id, "")).reading, row.question_kind) for answers in runs]
        if found[0].counts["invented"] and found[-1].free:
            yield row, found


def draw(row: Row, image: Image.Image, found: Mapping[str, Verdicts]) -> str:
    """One SVG: the crop, what the pixels support, and what each run says, symbol by symbol in the colour of its outcome."""
    slots = row.slots or ()
    crop = image.crop(region(image.size, slots))
    scale = min((WIDTH - 40) / crop.width, PICTURE / crop.height)
    wide, high = round(crop.width * scale), round(crop.height * scale)
    stream = io.BytesIO()
    crop.resize((wide, high), Image.Resampling.LANCZOS).save(stream, "JPEG", quality=88)
    left, top = 230, high + 40 + LINE
    parts = [
        f'<text x="20" y="{high + 52}" font-size="17" fill="#57606a">{escape(row.problem.removeprefix("<image>"))}</text>',
        f'<image x="20" y="16" width="{wide}" height="{high}" href="data:image/jpeg;base64,{b64encode(stream.getvalue()).decode()}"/>',
    ]
    printed = [(slot.char, LEGIBILITY[slot.legibility] if slot.scored else "#57606a") for slot in slots]
    lines = [("printed", printed)]
    lines += [(name, [_symbol(one, place) for place in range(len(slots))]) for name, one in found.items()]
    for number, (name, symbols) in enumerate(lines):
        y = top + (number + 1) * LINE - 12
        parts.append(f'<text x="20" y="{y}" font-size="19" fill="#1f2328">{escape(name)}</text>')
        for place, (symbol, colour) in enumerate(symbols):
            x = left + place * CELL
            parts.append(
                f'<text x="{x}" y="{y}" font-size="26" font-weight="bold" fill="{colour}" text-anchor="middle" '
                f'font-family="ui-monospace,Menlo,Consolas,monospace">{escape(symbol)}</text>'
            )
    height = top + len(lines) * LINE + 44
    key = [
        ("read as the pixels show", "#1f883d"),
        ("marked", "#57606a"),
        ("invented or hidden", "#cf222e"),
        ("partly legible, misread or over-refused", "#bc6c00"),
        ("· left out", OUTCOME["dropped"]),
    ]
    x = 20
    for text, colour in key:
        parts.append(f'<circle cx="{x + 6}" cy="{height - 21}" r="6" fill="{colour}"/>')
        parts.append(f'<text x="{x + 18}" y="{height - 16}" font-size="14" fill="#57606a">{text}</text>')
        x += 39 + 7 * len(text)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="system-ui,sans-serif">'
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>{"".join(parts)}</svg>\n'
    )


def _symbol(found: Verdicts, place: int) -> tuple[str, str]:
    """What is said about a slot, and its colour."""
    said, word = found.symbols[place] if place < len(found.symbols) else None, WORDS.get(found.outcomes[place], "space")
    colour = OUTCOME.get(word, "#cf222e")
    if word == "dropped":
        return "·", colour
    return (EXPLICIT_MARK if word in ("marked", "over_refused") else said or " "), colour


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("runs", nargs="+", metavar="NAME=RUN", help="run directories of kie-hvqa eval on these data")
    parser.add_argument("--split", default="test")
    parser.add_argument("--nth", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    named = dict(one.split("=", 1) for one in arguments.runs)
    answers = [
        {id: kept.response for id, kept in read_predictions(Path(run) / "predictions.jsonl", repeated=True).items()}
        for run in named.values()
    ]
    fields = list(mixed_fields(load_rows(arguments.data, split=arguments.split), answers))
    print(f"{len(fields)} mixed fields are invented on by {next(iter(named))} and right by {list(named)[-1]}")
    if len(fields) < arguments.nth:
        raise InputError("there are not so many such fields", field="--nth", remedy=f"Name one of 1 to {len(fields)}.")
    row, found = fields[arguments.nth - 1]
    image = load_image(image_path(dataset_root(arguments.data), row))
    with replacing(arguments.out, "wb") as stream:
        stream.write(draw(row, image, dict(zip(named, found, strict=True))).encode())


if __name__ == "__main__":
    main()
