"""``kie-hvqa grpo``: reinforcement learning from the rewards in YAML, one process (``launch.sh grpo`` runs it on several)."""

from __future__ import annotations

import argparse
import os

from kie_hvqa.shipped import recipe_argument


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "grpo", help="train a warm reader with GRPO on the rewards of a recipe", description=__doc__
    )
    parser.add_argument(
        "--config",
        required=True,
        type=recipe_argument("grpo"),
        metavar="RECIPE",
        help="a .yaml file, or a name from configs/grpo/",
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="single keys, e.g. training.max_steps=10")
    parser.add_argument("--verbose", action="store_true", help="everything that is logged, and what libraries say")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    from kie_hvqa.torch_check import require_torch

    require_torch("train")
    from rl import grpo
    from rl.console import VERBOSE

    if args.verbose:
        os.environ[VERBOSE] = "1"
    grpo.run(args.config, args.overrides)
