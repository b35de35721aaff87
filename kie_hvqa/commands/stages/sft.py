"""``kie-hvqa sft``: the warm start, one process (``launch.sh sft`` runs it on several)."""

from __future__ import annotations

import argparse

from kie_hvqa.commands.stages import prepare, recipe_options


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("sft", help="warm start: fine-tune a reader on ledger answers", description=__doc__)
    recipe_options(parser, "sft", "training.learning_rate=1e-4")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    prepare(args)
    from rl import sft

    sft.run(args.config, args.overrides)
