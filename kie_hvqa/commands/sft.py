"""``kie-hvqa sft``: the warm start, one process (``launch.sh sft`` runs it on several)."""

from __future__ import annotations

import argparse
import os

from kie_hvqa.shipped import recipe_argument


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("sft", help="warm start: fine-tune a reader on ledger answers", description=__doc__)
    parser.add_argument(
        "--config",
        required=True,
        type=recipe_argument("sft"),
        metavar="RECIPE",
        help="a .yaml file, or a name from configs/sft/",
    )
    parser.add_argument(
        "overrides", nargs="*", metavar="key=value", help="single keys, e.g. training.learning_rate=1e-4"
    )
    parser.add_argument("--verbose", action="store_true", help="everything that is logged, and what libraries say")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    from kie_hvqa.torch_check import require_torch

    require_torch("train")
    from rl import sft
    from rl.console import VERBOSE

    if args.verbose:
        os.environ[VERBOSE] = "1"
    sft.run(args.config, args.overrides)
