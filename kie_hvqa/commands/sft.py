"""``kie-hvqa sft``: the warm start, one process (``launch.sh sft`` runs it on several)."""

from __future__ import annotations

import argparse
from pathlib import Path


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("sft", help="warm start: fine-tune a reader on ledger answers", description=__doc__)
    parser.add_argument("--config", required=True, type=Path, metavar="YAML", help="recipe, see configs/sft/")
    parser.add_argument(
        "overrides", nargs="*", metavar="key=value", help="single keys, e.g. training.learning_rate=1e-4"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    from kie_hvqa.torch_check import require_torch

    require_torch()
    from rl import sft

    sft.run(args.config, args.overrides)
