"""``kie-hvqa eval``: read a dataset with any reader, keep every answer, score them. Run again, it goes on."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from kie_hvqa.commands import json_option


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "eval",
        help="read a dataset with a model, a server or an OCR engine, and score it",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="""readers:
  DIRECTORY                     a checkpoint, or a LoRA adapter over one
  OWNER/NAME[@REVISION]         a model of the hub
  embedded                      the tiny reader that ships with the project
  openai:MODEL@BASE_URL         a server: vLLM, SGLang, llama.cpp, kie-hvqa serve, a vendor (key: OPENAI_API_KEY,
                                over https, to this machine, or with --key-over-http)
  rapidocr[:min_confidence=0.7] an OCR engine; it is told where the asked field lies, and characters below
  tesseract[:min_confidence=…]  min_confidence become marks

data: a dataset directory, the official one as published, or any .jsonl of image (or file_name), problem, answer.
Rows that failed count as unparsed; the same command asks them again (exit status 1 until all are answered).""",
    )
    parser.add_argument(
        "--data", required=True, type=Path, metavar="DIR_OR_JSONL", help="dataset directory, or a file of rows"
    )
    parser.add_argument("--reader", required=True, metavar="SPEC", help="who reads, see below")
    parser.add_argument(
        "--out", required=True, type=Path, metavar="DIR", help="run directory; a finished or interrupted one goes on"
    )
    parser.add_argument("--split", metavar="NAME", help="only the rows of this split")
    parser.add_argument(
        "--limit", type=int, metavar="N", help="only the first documents, as many as have N rows or more together"
    )
    parser.add_argument("--private", action="store_true", help="reports show no value and no picture (docs/privacy.md)")
    parser.add_argument(
        "--suite",
        choices=("twins", "wording", "clean", "nothing"),
        help="ask this instead of the whole dataset: pixels or prior, the same in other words, undamaged pages, pages with nothing on them",
    )
    parser.add_argument(
        "--operating-point",
        type=Path,
        metavar="FILE",
        help="take back what is below its threshold before scoring (kie-hvqa calibrate makes it)",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be read, with how many tokens, and stop")
    json_option(parser, "the scores (--dry-run: the plan)")
    asked = parser.add_argument_group("checkpoints and servers")
    asked.add_argument(
        "--prompt", metavar="NAME", help="official, question, prose … or a .yaml file (default: the checkpoint's own)"
    )
    asked.add_argument("--max-new-tokens", type=int, metavar="N", help="longest response (default 512)")
    asked.add_argument("--max-pixels", type=int, metavar="N", help="pixel budget, for a model without reading.json")
    asked.add_argument(
        "--samples", type=int, metavar="N", help="draw N answers a question; their agreement is the confidence"
    )
    parser.add_argument(
        "--signals",
        type=lambda text: tuple(filter(None, text.split(","))),
        metavar="A,B",
        help="signals of confidence that take passes of their own: contrast, agreement, jitter, crop, refusal_prompt, "
        "mark_margin, rival_margin, sharpness, ink (docs/confidence.md)",
    )
    asked.add_argument("--temperature", type=float, metavar="T", help="of those draws (default 1)")
    model = parser.add_argument_group("checkpoints only")
    model.add_argument("--batch-size", type=int, metavar="N", help="answers a batch (default 8)")
    model.add_argument(
        "--device", metavar="NAME", help="cpu, cuda, cuda:1 … (default: the accelerator if there is one)"
    )
    model.add_argument(
        "--dtype", metavar="NAME", help="float32, bfloat16 or float16 (default: the checkpoint's, float32 on the CPU)"
    )
    model.add_argument("--min-pixels", type=int, metavar="N", help="pixel budget, for a model without reading.json")
    server = parser.add_argument_group("servers only")
    server.add_argument("--concurrency", type=int, metavar="N", help="requests at a time (default 8)")
    server.add_argument("--timeout", type=float, metavar="SECONDS", help="deadline of one attempt (default 120)")
    server.add_argument("--attempts", type=int, metavar="N", help="attempts a request (default 6)")
    server.add_argument(
        "--key-over-http",
        action="store_true",
        default=None,
        help="send OPENAI_API_KEY over plain http to another machine",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    import sys

    from kie_hvqa.console import say, say_json
    from kie_hvqa.data.data_issues import DATA_ISSUES, UNREADABLE_IMAGE, summary
    from kie_hvqa.errors import InputError
    from kie_hvqa.readers import MODEL_OPTIONS
    from kie_hvqa.runs.evaluator import evaluate
    from kie_hvqa.runs.predictions import read_predictions
    from kie_hvqa.scoring.tables import metrics_table

    options = {option: getattr(args, option) for option in MODEL_OPTIONS}
    if args.dry_run:
        import dataclasses

        from kie_hvqa.runs.plan import plan

        wanted = {"split": args.split, "limit": args.limit, "suite": args.suite}
        planned = plan(args.data, args.reader, args.out, **wanted, **options)
        if args.json:
            say_json(dataclasses.asdict(planned))
            return 0
        print(planned.text())
        if args.suite == "wording":
            print("all of that once for each of its wordings, into DIR/wordings/NAME")
        return 0
    if args.suite is not None and args.operating_point is not None:
        raise InputError(
            "a suite asks other questions than the point was made on", field="--operating-point", remedy="Leave it out."
        )
    if args.suite is not None:
        return _run_suite(args, options)
    where = {"split": args.split, "limit": args.limit, "private": args.private}
    metrics = evaluate(args.data, args.reader, args.out, operating_point=args.operating_point, **where, **options)
    if args.json:
        say_json(metrics)
    else:
        say(metrics_table(metrics))
        say(f"\nwrote {args.out / 'metrics.json'} and {args.out / 'predictions.jsonl'}")
        if issues := summary(args.out / DATA_ISSUES):
            say(f"data: {issues}; see {args.out / DATA_ISSUES}")
    if metrics["cut_off"]:
        print(
            f"kie-hvqa eval: {metrics['cut_off']} of {metrics['samples']} answers were cut off at the token limit; "
            "raise --max-new-tokens",
            file=sys.stderr,
        )
    if not metrics["failed"]:
        return 0
    errors = [kept.error or "" for kept in read_predictions(args.out / "predictions.jsonl").values()]
    first = next(error for error in errors if error and not error.startswith(UNREADABLE_IMAGE))
    print(
        f"kie-hvqa eval: {metrics['failed']} of {metrics['samples']} rows failed ({first}) and count as unparsed; "
        "run the same command again to ask them again",
        file=sys.stderr,
    )
    return 1


def _run_suite(args: argparse.Namespace, options: dict[str, Any]) -> int:
    import sys

    from kie_hvqa.console import say, say_json
    from kie_hvqa.suites import SUITE
    from kie_hvqa.suites.run import run_suite
    from kie_hvqa.suites.tables import text

    result = run_suite(
        args.suite,
        args.data,
        args.reader,
        args.out,
        split=args.split,
        limit=args.limit,
        private=args.private,
        **options,
    )
    if args.json:
        say_json(result)
    else:
        say(f"{text(result)}\n\nwrote {args.out / SUITE}")
    if result["failed"]:
        print(
            f"kie-hvqa eval: {result['failed']} answers failed and count as unparsed; run the same command again to ask "
            "them again",
            file=sys.stderr,
        )
    return 1 if result["failed"] else 0
