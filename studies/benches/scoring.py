"""How fast answers are scored: parsing, alignment, every score, every interval, risk against coverage.

    python -m studies.benches.scoring [--answers 100000] [--bar 10]

Two questions a document; fields of 5 to 24 slots, a third of them damaged; three readers in four make one to three
mistakes (a character misread, marked, invented, left out or added; the last two make an alignment several times
slower). Seconds are of this process's own time on one core, so that a busy machine counts less; run it with
OMP_NUM_THREADS=1. Ends with status 1 where scoring takes longer than ``--bar`` seconds.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from kie_hvqa.answers.answer import render, truth
from kie_hvqa.data.ledger import LEGIBILITIES, Row, Slot
from kie_hvqa.scoring.metrics import score_rows, summarise

BAR = 10.0  # seconds for ANSWERS
ANSWERS = 100_000
MISTAKES = {"misread": 0.35, "marked": 0.25, "invented": 0.2, "left out": 0.1, "added": 0.1}
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_OPERATORS = ("blur", "glare", "jpeg", "noise", "occluder", "shadow")
_DIFFERENT = 4000  # questions and answers that are made; the rest repeat them under other ids


def made(count: int, seed: int = 0) -> tuple[list[Row], dict[str, str | None], dict[str, float | None]]:
    """``count`` rows, what was answered about each, and with which confidence."""
    rng = np.random.default_rng(seed)
    kinds = [_question(rng, number) for number in range(min(count, _DIFFERENT))]
    rows: list[Row] = []
    responses: dict[str, str | None] = {}
    confidences: dict[str, float | None] = {}
    for number in range(count):
        row, response = kinds[number % len(kinds)]
        name = f"q{number}"
        # A document's severity and damage are the same in all of its questions.
        document, like = f"d{number // 2}", kinds[(number - number % 2) % len(kinds)][0]
        rows.append(replace(row, id=name, document_id=document, severity=like.severity, recipe=like.recipe))
        responses[name] = response
        confidences[name] = -float(rng.exponential())
    return rows, responses, confidences


def _question(rng: np.random.Generator, number: int) -> tuple[Row, str]:
    value = rng.choice(list(_ALPHABET), int(rng.integers(5, 25)))
    shares = (0.7, 0.1, 0.2)
    slots = tuple(Slot(str(char), str(rng.choice(LEGIBILITIES, p=shares)), 0.5, (0, 0, 1, 1)) for char in value)  # type: ignore[arg-type]
    recipe = [{"operator": str(name)} for name in rng.choice(_OPERATORS, int(rng.integers(1, 3)), replace=False)]
    row = Row(
        id=f"q{number}",
        file_name="page.png",
        document_id=f"d{number}",
        document_type=("id_card", "invoice", "receipt")[number % 3],
        split="test",
        field="name",
        question_kind="answerable",
        problem="<image>What is the name in the image?",
        answer=render(truth(slots)),
        slots=slots,
        severity=int(rng.integers(0, 7)),
        recipe=recipe,
    )
    return row, render(truth(_misread(slots, rng)), tags=True)


def _misread(slots: Sequence[Slot], rng: np.random.Generator) -> list[Slot]:
    """What a reader says who sees these slots, as a ledger whose truth is that answer."""
    read = list(slots)
    if rng.random() < 0.25:
        return read
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(len(read)))
        wrong = Slot(str(rng.choice(list(_ALPHABET))), "clear", 1.0, (0, 0, 1, 1))
        change = rng.choice(list(MISTAKES), p=list(MISTAKES.values()))
        if change == "marked":
            read[at] = replace(read[at], legibility="hidden")
        elif change == "left out" and len(read) > 1:
            del read[at]
        elif change == "added":
            read.insert(at, wrong)
        else:
            hidden = [i for i, slot in enumerate(read) if slot.legibility == "hidden"]
            read[hidden[0] if hidden and change == "invented" else at] = wrong
    return read


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", type=int, default=ANSWERS, help="how many are scored (default %(default)s)")
    parser.add_argument("--bar", type=float, default=BAR, help="seconds allowed for them (default %(default)s)")
    arguments = parser.parse_args()
    rows, responses, confidences = made(arguments.answers)
    began = time.process_time()
    scores = score_rows(rows, responses, confidences)
    scored = time.process_time()
    metrics = summarise(scores)
    ended = time.process_time()
    print(f"{arguments.answers:,} answers about {metrics['documents']:,} documents, seconds of one core")
    print(f"  parsed, aligned, counted     {scored - began:6.2f}")
    print(f"  intervals                    {ended - scored:6.2f}")
    print(f"  together                     {ended - began:6.2f}   (bar {arguments.bar:g})")
    print(f"  most memory held             {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:6,.0f} MB")
    return 0 if ended - began <= arguments.bar else 1


if __name__ == "__main__":
    sys.exit(main())
