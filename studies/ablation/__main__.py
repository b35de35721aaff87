"""``python -m studies.ablation``: see the package's docstring."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from kie_hvqa.data.files import read_json, write_json
from kie_hvqa.errors import InputError, WorkError
from studies.ablation.cells import cells_of, estimate, run
from studies.ablation.config import load_plan
from studies.ablation.page import write_page
from studies.ablation.results import results

DOCS = Path(__file__).resolve().parents[2] / "docs" / "rewards-measured.md"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m studies.ablation", description="Compares rewards on one reader.")
    parser.add_argument("--config", required=True, type=Path, metavar="YAML", help="plan, see configs/ablation/")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder for everything it writes")
    parser.add_argument("--time", action="store_true", help="say how long what is left will take, and do nothing")
    parser.add_argument(
        "--write-docs",
        nargs="?",
        type=Path,
        const=DOCS,
        metavar="MD",
        help="write the results of a finished run into this page (default: docs/rewards-measured.md), and do nothing else",
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="single keys of the plan, e.g. seeds=[0]")
    arguments = parser.parse_args(argv)
    try:
        plan = load_plan(arguments.config, arguments.overrides)
        if arguments.write_docs is not None:
            for path in write_page(read_json(arguments.out / "ablation.json"), arguments.write_docs):
                print(path)
            return 0
        print(estimate(plan, arguments.out), flush=True)
        if arguments.time:
            return 0
        for seeds in run(plan, arguments.out):
            write_json(arguments.out / "ablation.json", results(plan, arguments.out, seeds))
            print(f"{arguments.out / 'ablation.json'}: {len(seeds)} of {len(plan.seeds)} seeds", flush=True)
        cells = cells_of(plan, arguments.out)
        left = [f"{cell.reward}/seed-{cell.seed}" for cell in cells if not cell.done]
        print(f"{len(cells) - len(left)} of {len(cells)} cells done")
        if left:
            print(f"another process is at {', '.join(left)}")
        return 0
    except (InputError, WorkError) as error:
        print(f"ablation: {error}", file=sys.stderr)
        return error.exit_status


if __name__ == "__main__":
    sys.exit(main())
