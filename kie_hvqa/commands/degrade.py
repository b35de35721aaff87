"""``kie-hvqa degrade``: damage real documents that have word or line boxes, with the same operators and ledger."""

from __future__ import annotations

import argparse
from pathlib import Path

from kie_hvqa.commands.simulate import describe


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "degrade", help="damage real annotated documents into a dataset directory", description=__doc__
    )
    parser.add_argument(
        "--annotations",
        required=True,
        type=Path,
        metavar="PATH",
        help="JSON Lines, one document a line with boxes; or the file or folder of --format",
    )
    parser.add_argument(
        "--format",
        choices=("jsonl", "sroie", "funsd", "cord", "wildreceipt", "label-studio"),
        default="jsonl",
        help="how the annotations are kept: a published set's folder (WildReceipt: its train.txt), or an export, as it is",
    )
    parser.add_argument(
        "--images",
        type=Path,
        metavar="DIR",
        help="folder that the annotations' file names start from; where left out, where the annotations are",
    )
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="dataset directory to write")
    parser.add_argument("--config", type=Path, metavar="YAML", help="recipe; its defaults where left out")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="single keys of the recipe")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    from degradations.config import DegradeConfig
    from degradations.degrade import write_degraded
    from kie_hvqa.config import load
    from kie_hvqa.errors import InputError

    if args.overrides and args.config is None:
        raise InputError("keys change a recipe, and none is named", field=args.overrides[0], remedy="Add --config.")
    config = DegradeConfig() if args.config is None else load(args.config, DegradeConfig, args.overrides)
    if args.format not in ("jsonl", "sroie") and "fields" not in config.model_fields_set:
        config = config.model_copy(update={"fields": None})  # each of these sets knows what it asks
    print(describe(write_degraded(config, args.annotations, args.images, args.out, layout=args.format, progress=True)))
