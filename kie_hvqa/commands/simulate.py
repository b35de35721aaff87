"""``kie-hvqa simulate``: render documents, damage them, and write them with their ledgers."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from degradations.writer import DatasetSummary


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "simulate", help="render and damage documents into a dataset directory", description=__doc__
    )
    parser.add_argument("--config", required=True, type=Path, metavar="YAML", help="recipe, see configs/simulate/")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="dataset directory to write")
    parser.add_argument("--count", type=int, metavar="N", help="number of documents, over the recipe's")
    parser.add_argument("--seed", type=int, metavar="S", help="dataset seed, over the recipe's")
    parser.add_argument(
        "--workers", type=int, default=1, metavar="W", help="processes; the result does not depend on it"
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="any other key of the recipe")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    from degradations.dataset import SimulateConfig, write_dataset
    from kie_hvqa.config import load
    from kie_hvqa.errors import InputError

    if args.workers < 1:
        raise InputError(f"must be at least 1, not {args.workers}", field="--workers", remedy="Mend the value.")
    overrides = list(args.overrides)
    overrides += [f"{key}={getattr(args, key)}" for key in ("count", "seed") if getattr(args, key) is not None]
    config = load(args.config, SimulateConfig, overrides)
    print(describe(write_dataset(config, args.out, workers=args.workers, progress=True)))


def describe(summary: DatasetSummary) -> str:
    """What was written, in lines for the terminal."""
    verb = "already there:" if summary.reused else "wrote"
    lines = [f"{verb} {summary.path}: {summary.rows} questions, {summary.images} images, {summary.documents} documents"]
    return "\n".join([*lines, *(f"note: {note}" for note in summary.notes)])
