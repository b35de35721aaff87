"""What an evaluation costs over a bare ``generate`` loop with the same batches.

    python -m studies.benches.evaluation --data DIR [--reader embedded] [--batch-size 16] [--limit 256] [--bar 5]

Three ways to read the same rows, the weights loaded before: ``bare``, what a notebook would do (open the images of a batch,
processor, ``generate``, decode), ``reader``, the same batches through ``TransformersReader``, and ``evaluate``, which also
hashes and checks images, keeps every answer and scores them. Rounds alternate; what counts is the best of each, in
seconds of this process's own time, so run it with OMP_NUM_THREADS=1. Ends with status 1 where ``evaluate`` costs more
than ``--bar`` per cent over ``bare``, or where the answers differ. It may well cost less: a page is encoded once for
all its questions.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from kie_hvqa.answers.prompt import messages
from kie_hvqa.data.dataset import image_path
from kie_hvqa.readers import Task, open_reader
from kie_hvqa.readers.transformers_reader import TransformersReader
from kie_hvqa.runs.evaluator import evaluate
from kie_hvqa.runs.predictions import read_predictions
from kie_hvqa.suites.rows import chosen


def bare(reader: TransformersReader, tasks: list[Task]) -> dict[str, str]:
    """A plain loop over the reader's own batches."""
    import torch

    model, processor, _, suppressed, _ = reader.loaded()
    answers: dict[str, str] = {}
    for batch in reader.batches(tasks):
        texts = [
            processor.apply_chat_template(
                messages(item.task.row, reader.prompt), tokenize=False, add_generation_prompt=True
            )
            for item in batch
        ]
        images = [reader.page(item.task.image) for item in batch]
        inputs = processor(
            text=texts, images=images, padding=True, padding_side="left", do_resize=False, return_tensors="pt"
        ).to(model.device)
        with torch.inference_mode():
            output = model.generate(
                **inputs, max_new_tokens=reader.max_new_tokens, do_sample=False, suppress_tokens=suppressed
            )
        texts = processor.tokenizer.batch_decode(output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        answers |= {item.task.row.id: text for item, text in zip(batch, texts, strict=True)}
    return answers


def through_reader(reader: TransformersReader, tasks: list[Task]) -> dict[str, str]:
    """The answers of ``reader.read``."""
    return {answer.id: answer.response for answer in reader.read(tasks)}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--reader", default="embedded")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--max-new-tokens", type=int, default=96)
    parser.add_argument("--limit", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bar", type=float, default=5.0)
    args = parser.parse_args(arguments)
    reader = open_reader(args.reader, batch_size=args.batch_size, max_new_tokens=args.max_new_tokens)
    assert isinstance(reader, TransformersReader) and reader.budget is not None
    dataset = chosen(args.data, limit=args.limit)
    tasks = [Task(row, image_path(dataset.file.parent, row)) for row in dataset.rows]

    def evaluated() -> dict[str, str]:
        with tempfile.TemporaryDirectory() as out:
            evaluate(args.data, reader, Path(out), limit=args.limit, progress=False)
            return {name: kept.response for name, kept in read_predictions(Path(out) / "predictions.jsonl").items()}

    ways: dict[str, Callable[[], dict[str, str]]] = {
        "bare": lambda: bare(reader, tasks),
        "reader": lambda: through_reader(reader, tasks),
        "evaluate": evaluated,
    }
    found = {name: way() for name, way in ways.items()}  # also warms up
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(args.rounds):
        for name, way in ways.items():
            start = time.process_time()
            way()
            best[name] = min(best[name], time.process_time() - start)
    pages = len({task.image for task in tasks})
    print(f"{len(tasks)} rows about {pages} pages, batches of {args.batch_size}")
    for name, seconds in best.items():
        more = 100 * (seconds / best["bare"] - 1)
        same = sum(found[name][row] == found["bare"][row] for row in found["bare"])
        print(f"{name:9} {seconds:7.2f} s  {more:+6.1f} % over bare  {same} of {len(tasks)} answers the same")
    return int(100 * (best["evaluate"] / best["bare"] - 1) > args.bar or found["evaluate"] != found["bare"])


if __name__ == "__main__":
    sys.exit(main())
