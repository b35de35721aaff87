"""``kie-hvqa calibrate``: the threshold under which characters become marks, so that a risk is kept with a promise."""

from __future__ import annotations

import argparse
from pathlib import Path

from kie_hvqa.commands import json_option


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "calibrate",
        help="make an operating point: a threshold that keeps a promised risk",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="""RUN is one of kie-hvqa eval over labelled documents that are not the test's. With --confidence, the share of asserted
characters (fields) that are wrong or invented stays at or below --risk, for documents of the same kind. How, and where the promise
ends: docs/confidence.md. eval, score and read take the file with --operating-point. Exit status 1 where the risk is infeasible;
the file then asserts nothing.""",
    )
    parser.add_argument("run_directory", type=Path, metavar="RUN", help="a finished run of kie-hvqa eval")
    parser.add_argument("--risk", required=True, type=float, metavar="R", help="share that may be wrong, 0.02 say")
    parser.add_argument("--unit", choices=("character", "field"), default="character", help="what is counted")
    parser.add_argument("--confidence", type=float, default=0.95, metavar="C", help="of the promise (default 0.95)")
    parser.add_argument("--signal", metavar="NAME", help="one of the run's, or combined for all (the default)")
    parser.add_argument(
        "--checks",
        action="store_true",
        help="characters that fail a check (dates, check digits, sums) become marks, too",
    )
    parser.add_argument(
        "--bound",
        choices=("betting", "hoeffding-bentkus", "effective"),
        default="betting",
        help="the test (default betting); effective takes a third of the documents and is approximate",
    )
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="operating point to write")
    json_option(parser, "the operating point")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from kie_hvqa.confidence.calibrating import calibrate
    from kie_hvqa.confidence.saying import sentence
    from kie_hvqa.confidence.signals.checks import CHECKS
    from kie_hvqa.console import say, say_json
    from kie_hvqa.data.files import read_json
    from kie_hvqa.errors import InputError
    from kie_hvqa.runs.run_directory import load_run

    if args.out.is_dir():
        raise InputError("this is a directory", file=args.out, remedy="Name a .json file.")
    point = calibrate(
        load_run(args.run_directory),
        risk=args.risk,
        unit=args.unit,
        confidence=args.confidence,
        signal=args.signal,
        vetoes=(CHECKS,) if args.checks else (),
        bound=args.bound,
    )
    point.save(args.out)
    if args.json:
        say_json(read_json(args.out))
    else:
        say(f"{sentence(point)}\n\nwrote {args.out}")
    return 1 if point.infeasible else 0
