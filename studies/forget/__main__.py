"""Over-trains a tiny reader on a few people until covered cards leak, lets every method forget some of them, and says what is left.

    python -m studies.forget --out runs/forget                      the whole study
    python -m studies.forget --out runs/forget --seeds 1            part of it; the same command with more seeds goes on
    python -m studies.forget --out runs/small --small               a minute, to see that it runs

Interrupted, the same command goes on: datasets, over-trained readers, forgotten ones and their measures stay. ``results.md`` and
``results.json`` under ``--out`` have what docs/forgetting.md reports; they are written after every cell.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from kie_hvqa.config import assignments, validate
from kie_hvqa.data.files import read_json, write_json, write_text
from kie_hvqa.errors import InputError, WorkError
from rl.forget.losses import Name
from rl.forget.run import MEASURES
from studies.forget.config import SMALL, StudyConfig
from studies.forget.people import EVERY, write_memorised, write_people, write_sets
from studies.forget.results import markdown, results

OVERTRAIN = Path(__file__).with_name("overtrain.yaml")
FORGET = Path(__file__).resolve().parents[2] / "configs" / "forget" / "tiny.yaml"


ORDER: tuple[Name, ...] = ("relearn", "ga", "npo", "idk", "gd", "kl")
"""What the claims are about comes first: the tables are written after every cell."""


class Cell(NamedTuple):
    """One forgetting: ``lora`` trains an adapter."""

    method: Name
    decoupled: bool
    lora: bool = False

    @property
    def name(self) -> str:
        return self.method + ("-decoupled" if self.decoupled else "") + ("-lora" if self.lora else "")


def cells(config: StudyConfig) -> list[Cell]:
    """What is trained with every seed, in this order."""
    order = sorted(config.methods, key=ORDER.index)
    found = [Cell(method, decoupled) for method in order for decoupled in (True, False)]
    return found + [Cell(method, True, lora=True) for method in config.adapters]


class Study:
    """The steps in their order, each done once; what each took is kept in ``seconds.json``."""

    def __init__(self, config: StudyConfig, out: Path, model: str) -> None:
        self.config, self.out, self.model = config, out, model
        self.times = out / "seconds.json"
        self.seconds: dict[str, float] = read_json(self.times) if self.times.is_file() else {}

    def run(self) -> None:
        self.timed("datasets", self._data)
        for seed in range(self.config.seeds):
            self.timed(f"seed {seed}: over-training", partial(self._memorise, seed))
            for cell in cells(self.config):
                self.timed(f"seed {seed}: {cell.name}", partial(self._forget, seed, cell))
                found = results(list(self._done()), self.config.model_dump(mode="json"), self.seconds)
                write_json(self.out / "results.json", found)
                write_text(self.out / "results.md", markdown(found))

    def timed(self, name: str, work: Callable[[], object]) -> None:
        print(f"[{name}]", file=sys.stderr, flush=True)
        started = time.monotonic()
        try:
            work()
        finally:  # what an interrupted step took is added up
            self.seconds[name] = round(self.seconds.get(name, 0.0) + time.monotonic() - started, 1)
            write_json(self.times, self.seconds)

    def _data(self) -> None:
        people, crowd, self.strangers = write_people(self.config, self.out / "data")
        self.memorised = write_memorised(people, crowd, self.out / "data" / "memorised")
        self.sets = [
            write_sets(people, crowd, self.out / "data" / f"seed-{seed}", seed, self.config.forgotten)
            for seed in range(self.config.seeds)
        ]

    def _memorise(self, seed: int) -> None:
        from rl import sft

        steps = {
            "training.max_steps": self.config.overtrain,
            "training.save_steps": self.config.overtrain,
            "training.seed": seed,
        }
        where = {
            "model": self.model,
            "data.path": self.memorised,
            "output_dir": self.out / f"seed-{seed}" / "memorises",
        }
        sft.run(OVERTRAIN, overrides(where | steps))

    def _forget(self, seed: int, cell: Cell) -> None:
        from rl.forget import run

        home = self.out / f"seed-{seed}"
        out, before = home / cell.name, home / "before.json"
        if before.is_file() and not (out / MEASURES).is_file():  # the same for every cell of a seed
            write_json(out / MEASURES, read_json(before))
        config = self.config
        given: dict[str, Any] = {
            "model": home / "memorises" / "model", "forget": self.sets[seed][0], "data.path": self.sets[seed][1],
            "strangers": self.strangers, "output_dir": out, "method": cell.method, "decoupled": float(cell.decoupled),
            "held_out": 1 / EVERY, "wordings": config.wordings, "measured": config.measured, "samples": config.samples,
            "relearn": config.relearn, "relearn_steps": config.relearn_steps, "max_new_tokens": config.max_new_tokens,
            "training.max_steps": config.steps, "training.seed": seed,
        }  # fmt: skip
        if cell.lora:
            given |= {"lora": {"rank": 16, "alpha": 32}, "training.learning_rate": 1e-3}
        run.run(FORGET, overrides(given))
        write_json(before, {"before": read_json(out / MEASURES)["before"]})

    def _done(self) -> Iterator[tuple[int, str, dict[str, Any]]]:
        for seed in range(self.config.seeds):
            for cell in cells(self.config):
                path = self.out / f"seed-{seed}" / cell.name / MEASURES
                if path.is_file() and "after" in (found := read_json(path)):
                    yield seed, cell.name, found


def overrides(given: dict[str, Any]) -> list[str]:
    return [f"{key}={json.dumps(str(value) if isinstance(value, Path) else value)}" for key, value in given.items()]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m studies.forget", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default="embedded", help="the reader to start from")
    parser.add_argument("--seeds", type=int, help="how often everything is trained, each time with other people")
    parser.add_argument("--steps", type=int, help="steps of a method, at most")
    parser.add_argument("--methods", type=lambda text: text.split(","), help="some of ga,gd,kl,idk,npo,relearn")
    parser.add_argument("--small", action="store_true", help="the smallest setting")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="single keys of studies/forget/config.py")
    arguments = parser.parse_intermixed_args(argv)
    given = {name: getattr(arguments, name) for name in ("seeds", "steps", "methods") if getattr(arguments, name)}
    try:
        config = validate((SMALL if arguments.small else {}) | given | assignments(arguments.overrides), StudyConfig)
        arguments.out.mkdir(parents=True, exist_ok=True)
        Study(config, arguments.out, arguments.model).run()
        print((arguments.out / "results.md").read_text(encoding="utf-8"))
        return 0
    except (InputError, WorkError) as error:
        print(f"forget: {error}", file=sys.stderr)
        return error.exit_status


if __name__ == "__main__":
    sys.exit(main())
