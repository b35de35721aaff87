"""``kie-hvqa merge``: folds a LoRA adapter into its base, so that transformers and vLLM open the result as it is."""

from __future__ import annotations

import argparse
from pathlib import Path


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("merge", help="fold a LoRA adapter into its base model", description=__doc__)
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="an adapter, or a stage's directory")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="where the whole model goes")
    parser.add_argument("--base", metavar="DIR", help="the base model, where it is not where the adapter says")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    from kie_hvqa.console import say
    from kie_hvqa.torch_check import require_torch

    require_torch("train")
    from rl.checkpoints.merge import merge

    say(f"wrote {merge(args.checkpoint, args.out, base=args.base)}")
