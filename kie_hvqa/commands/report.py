"""``kie-hvqa report``: one HTML file that shows what runs read, right and wrong, to people who would rather look.

With a ``.csv`` file to write, all answers of the runs instead, one line each.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

    from kie_hvqa.data.ledger import Row


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "report",
        help="write one self-contained HTML file about runs",
        description=__doc__,
        epilog="RUN is what eval, eval --suite, score, sft or grpo wrote; differences are against the first run.",
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run directories, suites, training runs")
    parser.add_argument(
        "--out", required=True, type=Path, metavar="FILE", help="file to write: .html, or .csv for the answers alone"
    )
    parser.add_argument(
        "--samples", type=int, default=10_000, metavar="N", help="most samples in the gallery (default 10000)"
    )
    parser.add_argument(
        "--pictures",
        type=int,
        default=100,
        metavar="N",
        help="samples whose pictures go into the file; the others' are read from the dataset (default 100)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    from kie_hvqa.console import say
    from kie_hvqa.report import write_report

    if args.out.suffix.lower() == ".csv":
        from kie_hvqa.data.files import write_text
        from kie_hvqa.report.exports.answers import answers_csv
        from kie_hvqa.runs.run_directory import load_runs

        write_text(args.out, answers_csv(load_runs(args.runs)))
        say(f"wrote {args.out}")
        return
    write_report(args.runs, args.out, samples=args.samples, pictures=args.pictures, replay=_replay)
    say(f"wrote {args.out} ({args.out.stat().st_size / 1e6:.1f} MB)")


def _replay(row: Row) -> Image | None:
    """The image of a rollout's row, made again; what draws pages is loaded for it alone."""
    from degradations.replay import picture

    return picture(row)
