"""What ``kie-hvqa read`` costs over a bare ``generate`` loop about the same fields of the same pages.

    python -m studies.benches.reading --pages DIR [--template us_licence] [--reader embedded] [--batch-size 8] [--bar 5]

``bare`` opens the images of a batch, runs the processor, ``generate`` and decodes, in batches of whole pages, the weights loaded before.
``read`` is everything that the command does: it finds, hashes and looks at the files, keeps every answer, makes each document's result and writes
both files. Rounds alternate; what counts is the best of each, in documents a second of this process's own time, so run it
with OMP_NUM_THREADS=1. Beside it stands how often a page was encoded: once is the least. Ends with status 1 where ``read`` costs
more than ``--bar`` per cent over ``bare``, where a page is encoded twice, or where the answers differ.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kie_hvqa.commands.read import template_fields
from kie_hvqa.data.pixels import open_image
from kie_hvqa.readers import Task, open_reader
from kie_hvqa.readers.transformers_reader import TransformersReader
from kie_hvqa.reading.looks import emptiness
from kie_hvqa.reading.run import PREDICTIONS, Run
from kie_hvqa.reading.sources import Page, documents
from kie_hvqa.reading.writing import write_results
from kie_hvqa.runs.predictions import read_predictions
from studies.benches.evaluation import bare


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pages", type=Path, required=True)
    parser.add_argument("--template", default="us_licence")
    parser.add_argument("--reader", default="embedded")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--max-new-tokens", type=int, default=96)
    parser.add_argument("--limit", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bar", type=float, default=5.0)
    args = parser.parse_args(arguments)
    fields = template_fields(args.template)
    opened = open_reader(args.reader, batch_size=args.batch_size, max_new_tokens=args.max_new_tokens)
    # A page without print is asked nothing by `read`, so it would not be the same work.
    found = [one for one in documents([args.pages]) if not emptiness(open_image(one.path))][: args.limit]

    def run(out: Path) -> Run:
        return Run(found, opened, fields, out, workers=1, progress=False)

    with tempfile.TemporaryDirectory() as out:
        plain = run(Path(out))
        reader = plain.reader  # its batches are of whole pages
        tasks = [Task(plain.row(Page(document, 1), field), document.path) for document in found for field in fields]
    assert isinstance(reader, TransformersReader)
    encoded = _count_pages(reader.loaded().model)

    def through_read() -> dict[str, str]:
        with tempfile.TemporaryDirectory() as out:
            reading = run(Path(out))
            with reading.claimed():
                for _ in write_results(reading.out, reading.results(), fields):
                    pass
            return {name: kept.response for name, kept in read_predictions(reading.out / PREDICTIONS).items()}

    ways: dict[str, Callable[[], dict[str, str]]] = {"bare": lambda: bare(reader, tasks), "read": through_read}
    answers = {name: way() for name, way in ways.items()}  # also warms up
    best = dict.fromkeys(ways, float("inf"))
    pages = dict.fromkeys(ways, 0)
    for _ in range(args.rounds):
        for name, way in ways.items():
            encoded.clear()
            start = time.process_time()
            way()
            best[name] = min(best[name], time.process_time() - start)
            pages[name] = sum(encoded)
    print(f"{len(found)} documents of {len(fields)} fields, batches of {reader.batch_size}")
    for name, seconds in best.items():
        more = 100 * (seconds / best["bare"] - 1)
        same = sum(answers[name].get(row) == text for row, text in answers["bare"].items())
        print(
            f"{name:5} {len(found) / seconds:7.2f} documents/s  {more:+6.1f} % over bare  "
            f"{pages[name] / len(found):.2f} encodings a page  {same} of {len(tasks)} answers the same"
        )
    dear = 100 * (best["read"] / best["bare"] - 1) > args.bar
    return int(dear or pages["read"] > len(found) or answers["read"] != answers["bare"])


def _count_pages(model: Any) -> list[int]:
    """The list that every call of the vision tower adds its number of images to."""
    counts: list[int] = []
    real = model.base_model.get_image_features

    def counting(pixel_values: Any, image_grid_thw: Any = None, **more: Any) -> Any:
        counts.append(len(image_grid_thw))
        return real(pixel_values, image_grid_thw=image_grid_thw, **more)

    model.base_model.get_image_features = counting
    return counts


if __name__ == "__main__":
    sys.exit(main())
