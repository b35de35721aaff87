"""``kie-hvqa grpo``: reinforcement learning from the rewards in YAML, one process (``launch.sh grpo`` runs it on several)."""

from __future__ import annotations

import argparse
from pathlib import Path


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "grpo", help="train a warm reader with GRPO on the rewards of a recipe", description=__doc__
    )
    parser.add_argument("--config", required=True, type=Path, metavar="YAML", help="recipe, see configs/grpo/")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="single keys, e.g. training.max_steps=10")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    from kie_hvqa.torch_check import require_torch

    require_torch()
    from rl import grpo

    grpo.run(args.config, args.overrides)
