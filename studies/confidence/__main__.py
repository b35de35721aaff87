"""What signals and promises are worth: the runs, the numbers and the page of docs/confidence.md, one command each.

python -m studies.confidence runs --reader MODEL --out runs/confidence [--receipts ANNOTATIONS IMAGES]
python -m studies.confidence results runs/confidence --out docs/confidence.json
python -m studies.confidence page docs/confidence.json --page docs/confidence.md
python -m studies.confidence plot runs/confidence/trained --out docs/confidence.svg
"""

from __future__ import annotations

import argparse
from pathlib import Path

from kie_hvqa.data.files import read_json, write_json, write_text
from kie_hvqa.runs.run_directory import Run, load_run
from studies.standing import alone


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    runs = commands.add_parser("runs")
    runs.add_argument("--reader", required=True)
    runs.add_argument("--count", type=int, default=300, help="documents")
    runs.add_argument("--drawn", type=int, default=600, help="rows that answers are drawn about")
    runs.add_argument("--limit", type=int, help="rows that the readers are asked")
    runs.add_argument("--receipts", type=Path, nargs=2, metavar=("ANNOTATIONS", "IMAGES"))
    runs.add_argument("--only", type=lambda text: tuple(text.split(",")), default=())
    results = commands.add_parser("results")
    results.add_argument("folder", type=Path)
    page = commands.add_parser("page")
    page.add_argument("results", type=Path)
    page.add_argument("--page", type=Path, required=True)
    plot = commands.add_parser("plot")
    plot.add_argument("run", type=Path)
    for own in (runs, results, plot):
        own.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    if args.command == "runs":
        from studies.confidence.runs import make

        receipts = None if args.receipts is None else tuple(args.receipts)
        make(
            args.reader,
            args.out,
            count=args.count,
            drawn=args.drawn,
            limit=args.limit,
            receipts=receipts,
            only=args.only,
        )
    elif args.command == "results":
        from studies.confidence import results as of

        write_json(args.out, of.results(args.folder))
    elif args.command == "page":
        from studies.confidence.page import write_page

        write_page(read_json(args.results), args.page)
    else:
        write_text(args.out, _plot(load_run(args.run)))


def _plot(run: Run) -> str:
    """The report's own chart of the characters, with colours and names of its own, so that it stands alone."""
    from kie_hvqa.report.signals import chart

    found = run.metrics["signals"]["of"]
    return alone(str(chart(found, "characters")), [name.replace("_", " ") for name in found])


if __name__ == "__main__":
    main()
