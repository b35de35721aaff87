"""``kie-hvqa compare``: runs over the same questions, score by score, with paired differences."""

from __future__ import annotations

import argparse
from pathlib import Path

from kie_hvqa.commands import json_option


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "compare",
        help="paired differences between runs, as Markdown or CSV",
        description=__doc__,
        epilog="RUN is what eval or score wrote. Every later run is compared with every earlier one.",
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="two run directories, or more")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="file to write: .md for two tables, .csv for one line a score and run or pair of runs, .json (default: Markdown, printed)",
    )
    json_option(parser, "every score's values and paired differences")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    from kie_hvqa.console import say
    from kie_hvqa.data.files import write_text
    from kie_hvqa.errors import InputError
    from kie_hvqa.report.exports import comparison
    from kie_hvqa.runs.run_directory import load_runs

    kinds = {".md": comparison.markdown, ".csv": comparison.csv, ".json": comparison.json}
    printed = ".json" if args.json else ".md"
    kind = printed if args.out is None else args.out.suffix.lower()
    if kind not in kinds:
        raise InputError(
            "the name says no kind of file", file=args.out, field="--out", remedy="Name a .md, .csv or .json file."
        )
    runs = load_runs(args.runs)
    if args.out is not None:
        write_text(args.out, kinds[kind](runs))
    if args.json or args.out is None:
        print(kinds[printed](runs), end="")
    else:
        say(f"wrote {args.out}")
