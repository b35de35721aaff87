"""``python -m studies.refusal``: see the package's docstring. Run again it does only what is missing."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from kie_hvqa.data.files import write_json, write_text
from kie_hvqa.errors import InputError, WorkError
from studies.refusal.arms import check, editing, four_cells, reference, refusal_tokens, steering, suites
from studies.refusal.results import costs, figure, results, tables
from studies.refusal.setting import SMALL, STUDY
from studies.refusal.study import Study

ARMS: dict[str, Callable[[Study], dict[str, Any]]] = {
    "token_probability": reference.run,
    "steering": steering.run,
    "four_cells": four_cells.run,
    "editing": editing.run,
    "check": check.run,
    "tokens": refusal_tokens.run,
    "suites": suites.run,
}
"""In the order in which they are run: the reference first; editing also takes a reader of ``four_cells``."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m studies.refusal", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for everything it writes")
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS), help="which (default: all)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="of what arms draw (default: 0)")
    parser.add_argument(
        "--documents", type=int, metavar="N", help="to learn from (default: 400); the other sets in proportion"
    )
    parser.add_argument("--steps", type=int, help="of a warm start")
    parser.add_argument("--small", action="store_true", help="a few pages and steps, to see that it runs")
    arguments = parser.parse_args(argv)
    setting = SMALL if arguments.small else STUDY
    if arguments.documents is not None:
        setting = setting.scaled(arguments.documents)
    if arguments.steps is not None:
        setting = replace(setting, steps=arguments.steps)
    try:
        for seed in arguments.seeds:
            study = Study(setting, arguments.out, seed)
            for name in ARMS:
                if name in arguments.arms:
                    print(f"seed {seed}: {name}", file=sys.stderr, flush=True)
                    study.once(name, partial(ARMS[name], study))
        found = results(arguments.out, list(ARMS))
        write_json(arguments.out / "results.json", found)
        write_text(arguments.out / "refusal.svg", figure(found))
        print(tables(found), costs(found), sep="\n\n")
        return 0
    except (InputError, WorkError) as error:
        print(f"refusal: {error}", file=sys.stderr)
        return error.exit_status


if __name__ == "__main__":
    sys.exit(main())
