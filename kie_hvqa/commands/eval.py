"""``kie-hvqa eval``: read a dataset with any reader, keep every answer, score them. Run again, it goes on."""

from __future__ import annotations

import argparse
from pathlib import Path


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "eval",
        help="read a dataset with a model or an OCR engine, and score it",
        description=__doc__,
        epilog="Readers: a checkpoint directory; `embedded`, the tiny reader that ships with the project; "
        "`rapidocr` or `rapidocr:min_confidence=0.7`, an OCR engine that is told where the field lies.",
    )
    parser.add_argument(
        "--data", required=True, type=Path, metavar="DIR_OR_JSONL", help="dataset directory, or a file of rows"
    )
    parser.add_argument("--reader", required=True, metavar="SPEC", help="who reads, see below")
    parser.add_argument(
        "--out", required=True, type=Path, metavar="DIR", help="run directory; a finished or interrupted one goes on"
    )
    parser.add_argument("--split", metavar="NAME", help="only the rows of this split")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N rows")
    model = parser.add_argument_group("checkpoints only")
    model.add_argument("--batch-size", type=int, metavar="N", help="images a batch (default 8)")
    model.add_argument(
        "--device", metavar="NAME", help="cpu, cuda, cuda:1 … (default: the accelerator if there is one)"
    )
    model.add_argument(
        "--dtype", metavar="NAME", help="float32, bfloat16 or float16 (default: the checkpoint's, float32 on the CPU)"
    )
    model.add_argument("--max-new-tokens", type=int, metavar="N", help="longest response (default 512)")
    model.add_argument("--prompt", metavar="NAME", help="prompt template, for a checkpoint without reading.json")
    model.add_argument(
        "--min-pixels", type=int, metavar="N", help="pixel budget, for a checkpoint without reading.json"
    )
    model.add_argument(
        "--max-pixels", type=int, metavar="N", help="pixel budget, for a checkpoint without reading.json"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    from kie_hvqa.evaluator import evaluate
    from kie_hvqa.tables import metrics_table

    options = ("batch_size", "device", "dtype", "max_new_tokens", "prompt", "min_pixels", "max_pixels")
    metrics = evaluate(
        args.data,
        args.reader,
        args.out,
        split=args.split,
        limit=args.limit,
        **{option: getattr(args, option) for option in options},
    )
    print(metrics_table(metrics))
    print(f"\nwrote {args.out / 'metrics.json'} and {args.out / 'predictions.jsonl'}")
