"""Three commands over finished runs of `kie-hvqa eval` (pages: ``kie-hvqa simulate --config studies/confidence/pages.yaml --out PAGES``):

python -m studies.confidence guarantee RUN … --out docs/confidence.json [--carried RUN OTHER]
python -m studies.confidence signals RUN            what each signal is worth, Markdown
python -m studies.confidence plot RUN --out docs/confidence.svg
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

from kie_hvqa.confidence.signals.combination import COMBINED
from kie_hvqa.data.files import write_json, write_text
from kie_hvqa.runs.run_directory import Run, load_run
from kie_hvqa.scoring.signals import FIRST
from studies.confidence.guarantee import RISKS, carried, elsewhere, guarantee
from studies.confidence.tables import hidden_agreement, signals_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    tried = commands.add_parser("guarantee")
    tried.add_argument("runs", nargs="+", type=Path)
    tried.add_argument("--out", type=Path, required=True)
    tried.add_argument("--carried", nargs=2, type=Path, action="append", default=[], metavar=("RUN", "OTHER"))
    tried.add_argument("--bound", default="betting")
    for name in ("signals", "plot"):
        own = commands.add_parser(name)
        own.add_argument("run", type=Path)
        if name == "plot":
            own.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    if args.command == "guarantee":
        found = {str(path): _tried(load_run(path), args.bound) for path in args.runs}
        beyond = {
            f"{one} on {other}": carried(load_run(one), load_run(other), _signal(load_run(one)))
            for one, other in args.carried
        }
        write_json(args.out, {"runs": found, "carried": beyond})
        for name, of_run in found.items():
            print(f"\n{name}\n{_promises(of_run)}")
    elif args.command == "signals":
        run = load_run(args.run)
        print(signals_table(run.metrics["signals"]))
        print(hidden_agreement(run))
    else:
        write_text(args.out, _plot(load_run(args.run)))


def _signal(run: Run) -> str:
    have = {name for kept in run.predictions.values() for name in kept.signals or {}}
    return COMBINED if len(have) > 1 else next(name for name in FIRST if name in have)


def _tried(run: Run, bound: str) -> dict[str, Any]:
    signal = _signal(run)
    units = {unit: guarantee(run, signal, unit=unit, bound=bound) for unit in ("character", "field")}
    return {"reader": Path(run.record.reader).name, "units": units, "elsewhere": elsewhere(run, signal)}


def _promises(own: dict[str, Any]) -> str:
    head = "| unit | risk | made on | feasible | broken | p | mean risk | coverage | with hindsight |"
    lines = [head, "|" + "---|" * 9]
    for unit, found in own["units"].items():
        for risk in RISKS:
            of = found["of"][f"{risk:g}"]
            half = found["documents"] // 2
            rows = [(f"{half} (halves)", of["splits"]), *((f"{n} redrawn", each) for n, each in of["redrawn"].items())]
            lines += [
                f"| {unit} | {100 * risk:g} % | {made} | {each['feasible']} of {each['promises']} | {each['broken']} | {each['p']:.2f} "
                f"| {100 * each['risk']:.2f} | {100 * each['coverage']:.1f} | {100 * each['coverage_with_hindsight']:.1f} |"
                for made, each in rows
            ]
    return "\n".join(lines)


def _plot(run: Run) -> str:
    """The report's own chart of the characters, with colours and names of its own, so that it stands alone."""
    from kie_hvqa.report.signals import chart

    found = run.metrics["signals"]["of"]
    drawn = str(chart(found, "characters"))
    colours = ("#6b7280", "#c2620a", "#0063a8", "#00795c", "#a8437f", "#6d4fc2", "#8a6d00", "#0e7a86")
    style = "text{font:10px sans-serif;fill:#444}.grid{stroke:#ddd}.line{fill:none;stroke-width:1.6}.guide{display:none}circle{stroke:none}"
    style += "".join(f".r{n} .line{{stroke:{colour}}}" for n, colour in enumerate(colours))
    names = "".join(
        f'<text x="40" y="{16 + 12 * n}" style="fill:{colours[n % len(colours)]}">{name.replace("_", " ")}</text>'
        for n, name in enumerate(found)
    )
    drawn = re.sub(r"<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', drawn, count=1)
    drawn = drawn.replace(" data-chart ", " ", 1)  # in a file of its own every attribute has a value
    return drawn.replace(">", f"><style>{style}</style>{names}", 1) + "\n"


if __name__ == "__main__":
    main()
