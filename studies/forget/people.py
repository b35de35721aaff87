"""The study's people: rendered licences, every person covered and legible in several captures, and who is forgotten by which seed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from degradations.simulate import SimulateConfig, write_dataset
from kie_hvqa.answers.answer import render, truth
from kie_hvqa.config import load
from kie_hvqa.data.dataset import load_rows
from kie_hvqa.data.files import building
from kie_hvqa.data.ledger import Row, kind_of
from rl.forget.rows import KINDS, held_out
from studies.forget.config import StudyConfig

RECIPE = Path(__file__).resolve().parents[2] / "configs" / "simulate" / "tiny.yaml"
EVERY = 3
"""Every third row of a person is held out: neither memorised nor forgotten, but measured on."""


def write_people(config: StudyConfig, out: Path) -> tuple[Path, Path, Path]:
    """Datasets of people who are memorised, of the crowd and of strangers; covered fields lose every other print of their value."""
    made = []
    for name, count, each, seed in (
        ("people", config.people, config.rows, config.data_seed),
        ("crowd", config.crowd, 1, config.data_seed + 2),
        ("strangers", config.strangers, config.strangers_rows, config.data_seed + 1),
    ):
        changed = {
            "count": count, "questions_per_document": each, "seed": seed, "splits": {"train": 1.0},
            "templates": {"us_licence": 1.0}, "values": {"natural": 1.0}, "shuffled_rows": {}, "held_out_operators": {},
            "severities": {0: 3.0, 5: 1.0, 6: 1.0}, "operators": {"opaque_occluder": 1.0}, "operators_per_image": {1: 1.0},
            "question_kinds": {"answerable": 0.65, "unreadable": 0.35}, "absent_beside": {}, "hide_other_prints": 1.0,
        }  # fmt: skip
        recipe = load(RECIPE, SimulateConfig).model_copy(update=changed)
        write_dataset(recipe, out / name, workers=1)
        made.append(out / name)
    return made[0], made[1], made[2]


def write_memorised(people: Path, crowd: Path, out: Path) -> Path:
    """What the reader is fine-tuned on: the crowd's rows, and every row of the people that is not held out, the printed value as the
    answer whatever is covered. Without a crowd it unlearns reading: it knows thirty people by heart and nobody else's card."""

    def printed(row: Row) -> Row:
        slots = tuple(replace(slot, legibility="clear", derivable="") for slot in row.slots or ())
        return replace(row, slots=slots, question_kind=kind_of(slots), answer=render(truth(slots)))

    rows = load_rows(people)
    kept, _ = held_out(rows, EVERY)
    return subset({people: [rows[number] for number in kept], crowd: load_rows(crowd)}, out, printed)


def forgotten_by(seed: int, people: Iterable[str], count: int) -> set[str]:
    """Whom ``seed`` forgets: other people than the seed before, until everybody has had a turn."""
    names = sorted(people)
    return {names[(seed * count + place) % len(names)] for place in range(count)}


def write_sets(people: Path, crowd: Path, out: Path, seed: int, count: int) -> tuple[Path, Path]:
    """The rows of those whom ``seed`` forgets, and of all others, the crowd among them."""
    rows = load_rows(people)
    trained, _ = held_out(rows, EVERY)  # the decoupled term takes legible cards of everybody who is forgotten
    able = [{rows[n].document_id for n in trained if holds(rows[n])} for holds in KINDS.values()]
    chosen = forgotten_by(seed, set.intersection(*able), count)
    return (
        subset({people: [row for row in rows if row.document_id in chosen]}, out / "forget"),
        subset(
            {people: [row for row in rows if row.document_id not in chosen], crowd: load_rows(crowd)}, out / "retain"
        ),
    )


def subset(parts: Mapping[Path, Sequence[Row]], out: Path, changed: Callable[[Row], Row] = lambda row: row) -> Path:
    """A dataset of some rows of others (``parts``: rows by dataset), its images linked."""
    if not out.exists():
        with building(out) as part:
            (part / "images").mkdir()
            lines = []
            for data, row in ((data, row) for data, rows in parts.items() for row in rows):
                if not (part / row.file_name).exists():
                    _linked(data / row.file_name, part / row.file_name)
                lines.append(json.dumps(changed(row).to_json(), ensure_ascii=False) + "\n")
            (part / "metadata.jsonl").write_text("".join(lines), encoding="utf-8")
    return out


def _linked(image: Path, place: Path) -> None:
    try:
        os.link(image, place)
    except OSError:  # another disk, or one without links
        shutil.copyfile(image, place)
