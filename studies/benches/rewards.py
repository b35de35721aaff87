"""How fast the rewards are, beside a plain loop over the official formula.

    python -m studies.benches.rewards [--seconds 2] [--sandbox] [--check]

Completions are about fields of 24 slots, in groups of eight: a quarter are right, the others hold one to three of
``MISTAKES``; one thread. The plain loop does what the published evaluator does for a sample: JSON, three textbook edit distances.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kie_hvqa.answers.answer import KEYS, render, truth
from kie_hvqa.data.ledger import Slot
from rewards.golden import make_slots, wrong_for
from rewards.plugins.spec import LoadedReward, RewardSpec, load_rewards
from rewards.redteam import runaways

SLOTS = 24
GROUP = 8
MISTAKES = {"misread": 0.35, "marked": 0.25, "invented": 0.2, "left out": 0.1, "added": 0.1}
"""How often each mistake is drawn. A character left out or added makes the alignment several times slower."""
RATE_BAR, RUNAWAY_BAR_MS, SANDBOX_BAR_MS = 20_000, 5.0, 1.0
"""Of ``faithful``: completions a second on one core, a runaway completion, what the sandbox adds to a call of ``CALL``."""
CALL = 64
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
            column = [slot.to_json() for slot in slots]  # a group shares its row (rl.rows.training)
        completions.append(render(truth(_misread(slots, rng)), tags=True))
        ledgers.append(column)
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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0, help="spent on each row (default %(default)s)")
    parser.add_argument("--sandbox", action="store_true", help=f"also time a call of {CALL} in a worker process")
    parser.add_argument("--check", action="store_true", help="exit with 1 where `faithful` or the sandbox misses a bar")
    arguments = parser.parse_args()
    completions, columns = batch(4096)
    names = ("faithful", "kie_hvqa_paper", "uncertainty_tags", "format", "draft_leak")
    rewards = load_rewards([RewardSpec(function=name) for name in names])
    print(f"completions/s, {SLOTS} slots each")
    functions: dict[str, Callable[..., Any]] = {reward.name: reward for reward in rewards}
    functions["plain loop, official formula"] = plain_loop
    rates, spent = {}, {}
    for name, function in functions.items():
        rates[name] = rate(function, completions, columns, arguments.seconds)
        print(f"  {name:<32}{rates[name]:>12,.0f}", flush=True)
    print("milliseconds for the slowest runaway completion of a million characters (rewards.redteam)")
    for reward in rewards:
        slowest, spent[reward.name] = _time_runaways(reward, columns)
        print(f"  {reward.name:<32}{spent[reward.name]:>12.2f}  {slowest}", flush=True)
    missed = [f"{RATE_BAR:,} completions/s"] if rates["faithful"] < RATE_BAR else []
    missed += [f"{RUNAWAY_BAR_MS:g} ms for a runaway"] if spent["faithful"] > RUNAWAY_BAR_MS else []
    if arguments.sandbox:
        few = {name: column[:CALL] for name, column in columns.items()}
        more = _time_sandbox(completions[:CALL], few, arguments.seconds)
        missed += [f"{SANDBOX_BAR_MS:g} ms for the sandbox"] if more > SANDBOX_BAR_MS else []
    if not arguments.check:
        return 0
    print(f"missed: {', '.join(missed)}" if missed else "every bar is kept")
    return 1 if missed else 0


def _time_runaways(reward: LoadedReward, columns: dict[str, list[Any]]) -> tuple[str, float]:
    """The runaway that takes longest, and its milliseconds."""
    one = {name: column[:1] for name, column in columns.items()}
    spent = {name: 1e3 / rate(reward, [text], one, 0.1) for name, text in runaways().items()}
    return max(spent.items(), key=lambda item: item[1])


def _time_sandbox(completions: list[str], columns: dict[str, list[Any]], seconds: float) -> float:
    """Milliseconds of processor time that a call costs more in a worker, this process and the worker together."""
    from rewards.plugins.sandbox import Sandbox, SandboxedReward

    (reward,) = load_rewards([RewardSpec(function="faithful")])
    with Sandbox([reward]) as sandbox:
        boxed = sandbox.rewards[0]
        assert isinstance(boxed, SandboxedReward) and boxed.worker.process_id is not None
        own = Path(f"/proc/{boxed.worker.process_id}/schedstat")

        def both() -> float:
            """CPU seconds of this process and the worker's (Linux; nanoseconds in the first field)."""
            return time.process_time() + int(own.read_text().split()[0]) / 1e9

        print(f"milliseconds for a call of {len(completions)} completions")
        more = 0.0
        for kind, clock, alone in (("wall", time.perf_counter, time.perf_counter), ("cpu", both, time.process_time)):
            direct = 1e3 * len(completions) / rate(reward, completions, columns, seconds, alone)
            inside = 1e3 * len(completions) / rate(boxed, completions, columns, seconds, clock)
            more = inside - direct
            print(f"  {kind:<6}{direct:>8.2f} directly{inside:>8.2f} in a worker{more:>8.2f} more")
    return more


if __name__ == "__main__":
    sys.exit(main())
