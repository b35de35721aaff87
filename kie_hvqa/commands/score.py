"""``kie-hvqa score``: score answers that already exist, ours by id or the official evaluator's lines."""

from __future__ import annotations

import argparse
from pathlib import Path

from kie_hvqa.commands import json_option


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "score",
        help="score answers that already exist",
        description=__doc__,
        epilog='Lines are {"id": …, "response": …} with --data, and {"answer": …, "response": …}, as the official evaluator '
        "takes them, without. A row of --data without an answer counts as answered wrongly.",
    )
    parser.add_argument("--predictions", required=True, type=Path, metavar="FILE", help="answers, one a line")
    parser.add_argument("--data", type=Path, metavar="DIR_OR_JSONL", help="the dataset that they are about")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="run directory to write")
    parser.add_argument("--split", metavar="NAME", help="only the rows of this split")
    parser.add_argument(
        "--limit", type=int, metavar="N", help="only the first documents, as many as have N rows or more together"
    )
    parser.add_argument("--private", action="store_true", help="reports show no value and no picture (docs/privacy.md)")
    parser.add_argument(
        "--operating-point",
        type=Path,
        metavar="FILE",
        help="take back what is below its threshold before scoring; FILE of --predictions is then one of kie-hvqa eval",
    )
    json_option(parser, "what metrics.json holds")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    import sys

    from kie_hvqa.console import say, say_json
    from kie_hvqa.errors import InputError
    from kie_hvqa.runs.evaluator import score_predictions
    from kie_hvqa.scoring.tables import metrics_table

    if args.data is None and (args.split is not None or args.limit is not None):
        raise InputError("--split and --limit choose rows of a dataset", remedy="Name it with --data.")
    metrics = score_predictions(
        args.predictions,
        args.out,
        data=args.data,
        split=args.split,
        limit=args.limit,
        private=args.private,
        operating_point=args.operating_point,
    )
    if args.json:
        say_json(metrics)
    else:
        say(f"{metrics_table(metrics)}\n\nwrote {args.out / 'metrics.json'}")
    if metrics["missing"]:
        print(
            f"kie-hvqa score: {metrics['missing']} of {metrics['samples']} rows have no answer; they count as wrong",
            file=sys.stderr,
        )
