"""How fast the rewards are, beside a plain loop over the official formula.

    python -m rewards.bench [--seconds 2] [--sandbox]

Completions are about fields of 24 slots, in groups of eight: a quarter are right, the others hold one to three of
``MISTAKES``; one thread. The plain loop does what the published evaluator does for a sample: JSON, three textbook edit distances.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kie_hvqa.answer import KEYS, MAX_BODY, render, truth
from kie_hvqa.ledger import Slot
from rewards.golden import make_slots, wrong_for
from rewards.spec import RewardSpec, load_rewards

SLOTS = 24
GROUP = 8
MISTAKES = {"misread": 0.35, "marked": 0.25, "invented": 0.2, "left out": 0.1, "added": 0.1}
"""How often each mistake is drawn. A character left out or added makes the alignment several times slower."""
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def batch(count: int, seed: int = 0) -> tuple[list[str], dict[str, list[Any]]]:
    """``count`` completions in groups of ``GROUP`` about fields of ``SLOTS`` slots, and their dataset columns."""
    rng = np.random.default_rng(seed)
    completions: list[str] = []
    ledgers: list[Any] = []
    answers: list[str] = []
    for index in range(count):
        if index % GROUP == 0:
            value = "".join(rng.choice(list(_ALPHABET), SLOTS))
            slots = make_slots(value, "".join(rng.choice(list("cccph"), SLOTS)))
            official = render(truth(slots))
        completions.append(render(truth(_misread(slots, rng)), tags=True))
        ledgers.append([slot.to_json() for slot in slots])
        answers.append(official)
    return completions, {"slots": ledgers, "answer": answers, "question_kind": ["answerable"] * count}


def _misread(slots: Sequence[Slot], rng: np.random.Generator) -> list[Slot]:
    """What a reader says who sees these slots, as a ledger whose truth is that answer."""
    read = list(slots)
    if rng.random() < 0.25:
        return read
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(len(read)))
        slot = read[at]
        wrong = Slot(wrong_for(slot.char), "clear", 1.0, slot.box)
        change = rng.choice(list(MISTAKES), p=list(MISTAKES.values()))
        if change == "misread":
            read[at] = wrong
        elif change == "marked":
            read[at] = Slot(slot.char, "hidden", 0.0, slot.box)
        elif change == "invented":
            hidden = [i for i, s in enumerate(read) if s.legibility == "hidden"]
            read[hidden[0] if hidden else at] = wrong
        elif change == "left out" and len(read) > 1:
            del read[at]
        else:
            read.insert(at, wrong)
    return read


def plain_loop(prompts: Any, completions: Sequence[str], answer: Sequence[str], **columns: Any) -> list[float]:
    """The official mean similarity, written the obvious way: what a reward is usually like."""
    return [
        sum(
            _similarity(_stripped(_official(said)[KEYS[part]]), _stripped(json.loads(true)[KEYS[part]]))
            for part in ("clear", "not_clear", "final")
        )
        / 3
        for said, true in zip(completions, answer, strict=True)
    ]


def _official(text: str) -> dict[str, Any]:
    return json.loads(text.split("<answer>")[1].split("</answer>")[0])


def _stripped(text: str) -> str:
    return text.replace(" ", "")


def _similarity(a: str, b: str) -> float:
    previous = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        row = [i]
        for j, y in enumerate(b, 1):
            row.append(min(previous[j] + 1, row[j - 1] + 1, previous[j - 1] + (x != y)))
        previous = row
    return 1.0 - previous[-1] / max(len(a), len(b)) if a or b else 1.0


def rate(
    function: Callable[..., Any],
    completions: list[str],
    columns: dict[str, list[Any]],
    seconds: float,
    clock: Callable[[], float] = time.process_time,
) -> float:
    """Completions a second by ``clock`` (default: of this process's own time, so that a busy machine does not
    count), best of several passes over the batch within ``seconds``."""
    best, spent = float("inf"), 0.0
    while spent < seconds:
        began = clock()
        function(prompts=completions, completions=completions, **columns)
        took = max(clock() - began, 1e-9)
        best, spent = min(best, took), spent + took
    return len(completions) / best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0, help="spent on each row (default %(default)s)")
    parser.add_argument("--sandbox", action="store_true", help="also time a call of 64 completions in a worker process")
    arguments = parser.parse_args()
    completions, columns = batch(4096)
    names = ("faithful", "kie_hvqa_paper", "uncertainty_tags", "format", "draft_leak", "absent")
    rewards = load_rewards([RewardSpec(function=name) for name in names])
    print(f"completions/s, {SLOTS} slots each")
    functions: dict[str, Callable[..., Any]] = {reward.name: reward for reward in rewards}
    functions["plain loop, official formula"] = plain_loop
    for name, function in functions.items():
        print(f"  {name:<32}{rate(function, completions, columns, arguments.seconds):>12,.0f}")
    runaway = ['<answer>{"Final OCR": "' + "A" * length for length in (1_000_000, MAX_BODY - 100)]
    print(f"milliseconds for a runaway completion of 1,000,000 characters, and of {MAX_BODY:,}, the most that is read")
    for reward in rewards:
        spent = [
            1e3 / rate(reward, [text], {name: column[:1] for name, column in columns.items()}, 0.2) for text in runaway
        ]
        print(f"  {reward.name:<32}{spent[0]:>12.2f}{spent[1]:>12.2f}")
    if arguments.sandbox:
        _time_sandbox(completions[:64], {name: column[:64] for name, column in columns.items()}, arguments.seconds)


def _time_sandbox(completions: list[str], columns: dict[str, list[Any]], seconds: float) -> None:
    from rewards.sandbox import Sandbox

    (reward,) = load_rewards([RewardSpec(function="faithful")])
    with Sandbox([reward]) as sandbox:
        direct = 1e3 * len(completions) / rate(reward, completions, columns, seconds, time.perf_counter)
        boxed = 1e3 * len(completions) / rate(sandbox.rewards[0], completions, columns, seconds, time.perf_counter)
    print(f"milliseconds for a call of {len(completions)} completions: {direct:.2f} directly, {boxed:.2f} in a worker")


if __name__ == "__main__":
    main()
