"""``kie-hvqa degrade``: damage real documents that have word or line boxes or are PDF files, with the same operators and ledger."""

from __future__ import annotations

import argparse
from pathlib import Path

from kie_hvqa.commands.simulate import describe
from kie_hvqa.shipped import recipe_argument


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "degrade", help="damage real annotated documents into a dataset directory", description=__doc__
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--annotations",
        type=Path,
        metavar="PATH",
        help="JSON Lines, one document a line with boxes; or the file or folder of --format",
    )
    source.add_argument("--pdf", nargs="+", type=Path, metavar="FILE", help="PDF files with a text layer")
    parser.add_argument(
        "--fields",
        type=Path,
        metavar="JSON",
        help="with --pdf: {FILE: {field: value as printed}}; where left out, every 'Label: value' is asked about",
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
    parser.add_argument(
        "--config",
        type=recipe_argument("simulate"),
        metavar="RECIPE",
        help="a .yaml file, or a name from configs/simulate/; its defaults where left out",
    )
    parser.add_argument(
        "--view",
        choices=("page", "field"),
        help="what each image shows: the page, or a crop around the asked field; the recipe's where left out",
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="single keys of the recipe")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    from degradations.config import DegradeConfig
    from degradations.degrade import write_degraded
    from kie_hvqa.config import load
    from kie_hvqa.console import say
    from kie_hvqa.errors import InputError

    if args.overrides and args.config is None:
        raise InputError("keys change a recipe, and none is named", field=args.overrides[0], remedy="Add --config.")
    config = DegradeConfig() if args.config is None else load(args.config, DegradeConfig, args.overrides)
    if (args.pdf or args.format not in ("jsonl", "sroie")) and "fields" not in config.model_fields_set:
        config = config.model_copy(update={"fields": None})  # each of these sources knows what it asks
    if args.view is not None:
        config = config.model_copy(update={"view": args.view})
    if args.pdf:
        from degradations.annotated.pdf import write_pdfs

        say(describe(write_pdfs(config, args.pdf, args.fields, args.out, progress=True)))
        return
    if args.fields is not None:
        raise InputError("--fields goes with --pdf", field="--fields", remedy="Annotations hold their fields.")
    say(describe(write_degraded(config, args.annotations, args.images, args.out, layout=args.format, progress=True)))
