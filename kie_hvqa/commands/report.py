"""``kie-hvqa report``: one HTML file that shows what runs read, right and wrong, to people who would rather look."""

from __future__ import annotations

import argparse
from pathlib import Path


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("report", help="write one self-contained HTML file about runs", description=__doc__)
    parser.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN", help="run directories; differences are against the first"
    )
    parser.add_argument("--out", required=True, type=Path, metavar="FILE.html", help="file to write")
    parser.add_argument(
        "--samples", type=int, default=80, metavar="N", help="samples in the gallery, pictures included (default 80)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    from kie_hvqa.report import write_report

    write_report(args.runs, args.out, samples=args.samples)
    print(f"wrote {args.out} ({args.out.stat().st_size / 1e6:.1f} MB)")
