"""``kie-hvqa grpo``: reinforcement learning from the rewards in YAML, one process (``launch.sh grpo`` runs it on several)."""

from __future__ import annotations

import argparse

from kie_hvqa.commands.stages import prepare, recipe_options


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "grpo", help="train a warm reader with GRPO on the rewards of a recipe", description=__doc__
    )
    recipe_options(parser, "grpo", "training.max_steps=10")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    prepare(args)
    from rl import grpo

    grpo.run(args.config, args.overrides)
