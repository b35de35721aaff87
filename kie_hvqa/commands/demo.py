"""``kie-hvqa demo``: the whole path on the CPU with the embedded reader: simulate, warm start, GRPO, evaluate, report."""

from __future__ import annotations

import argparse
from pathlib import Path


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "demo", help="the whole path with the embedded tiny reader, on the CPU", description=__doc__
    )
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder for everything it writes")
    parser.add_argument("--long", action="store_true", help="train longer, on five times the documents")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    from kie_hvqa.torch_check import require_torch

    require_torch("train")
    from rl import demo

    demo.run(args.out, long=args.long)
