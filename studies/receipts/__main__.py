"""Trains a line reader on real receipts and says what it reads and invents on companies that it has never seen.

    make receipts ANNOTATIONS=/data/sroie/annotations.jsonl IMAGES=/data/sroie

Several sets: name as many folders, in the same order; ``--format sroie`` takes the set as it is published. Interrupted, the same
command goes on: finished datasets, stages and answers stay. ``results.md`` under ``--out`` has the tables of docs/receipts.md.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import cv2

from kie_hvqa.config import load
from kie_hvqa.data.files import read_json, write_json
from kie_hvqa.errors import InputError, WorkError
from kie_hvqa.readers import embedded_directory
from kie_hvqa.runs.evaluator import evaluate
from studies.receipts.capitals import InCapitals
from studies.receipts.config import ReceiptsConfig
from studies.receipts.data import write_datasets
from studies.receipts.lines import Receipt, read
from studies.receipts.results import SETS, STAGES, results

WHERE = (
    "Receipts with their printed lines annotated are what this needs: the ICDAR 2019 SROIE challenge (Scanned Receipts OCR and "
    "Information Extraction, Huang et al.) publishes a thousand under CC BY 4.0. Then: make receipts ANNOTATIONS=… IMAGES=… "
    "(FORMAT=sroie for its folders as they are), or any file of annotations as docs/degradations.md describes."
)
KINDS = {"rendered": ("rendered",), "real": ("rendered", "real")}
"""Arm → the lines that its base is trained on; its warm start and GRPO see the last kind alone."""
ORDER = (
    ("real", "base"), ("real", "warm_start"), ("real", "grpo"), ("", "rapidocr"), ("", "tesseract"),
    ("rendered", "base"), ("rendered", "warm_start"), ("rendered", "grpo"),
)  # fmt: skip
"""What is asked about first comes first: the tables are written after every step."""


class Study:
    """The steps in their order; each is done once, and what it took is kept in ``seconds.json``."""

    def __init__(self, config: ReceiptsConfig, out: Path, model: Path, workers: int) -> None:
        self.config, self.out, self.model, self.workers = config, out, model, workers
        self.data: dict[str, Path] = {}
        self.seconds: dict[str, float] = read_json(out / "seconds.json") if (out / "seconds.json").is_file() else {}

    def timed(self, name: str, work: Callable[[], object]) -> None:
        """Do ``work`` and add what it took: an interrupted step is the sum of its parts."""
        print(f"[{name}]", file=sys.stderr, flush=True)
        started = time.monotonic()
        try:
            work()
        finally:
            self.seconds[name] = round(self.seconds.get(name, 0.0) + time.monotonic() - started, 1)
            write_json(self.out / "seconds.json", self.seconds)

    def run(self, annotations: Sequence[Path], images: Sequence[Path], layout: str) -> None:
        receipts = read(annotations, images, layout)
        self.timed("datasets", partial(self._write, receipts))
        for arm, stage in ORDER:
            if stage in STAGES:
                self.timed(f"{arm}: {stage}", partial(self._train, arm, stage))
                self.timed(f"{arm}: evaluation", partial(self._evaluate, f"{arm}/{stage}"))
            else:
                self.timed(stage, partial(self._engine, stage))
            results(self.out, self.seconds, self.config.model_dump(mode="json"))

    def _write(self, receipts: Sequence[Receipt]) -> None:
        self.data = write_datasets(self.config, receipts, self.out / "data", self.workers)

    def _train(self, arm: str, stage: str) -> None:
        if stage == "base":
            self._base("rendered", self.model, ["rendered"], "first")
            self._base("more", self.out / "first" / "model", KINDS[arm], f"{arm}/base")
        else:
            self._stage(arm, stage)

    def _base(self, stage: str, start: Path, kinds: Sequence[str], name: str) -> None:
        from studies.receipts.base import train
        from studies.receipts.pools import line_pools

        if (self.out / name / "head.pt").is_file():
            return
        batch = getattr(self.config.base, stage).batch
        pools = []
        for kind in kinds:  # every line as it is, and every line damaged
            pools += line_pools(self.data[f"{kind}_clean"], "train", batch, damaged=False)
            pools += line_pools(self.data[f"{kind}_train"], "train", batch, damaged=True)
        validation = {
            kind: line_pools(self.data["validation"], "validation", 1, damaged=kind == "damaged")
            for kind in ("clean", "damaged")
        }
        train(self.config.base, stage, start, pools, validation, self.out / name)

    def _stage(self, arm: str, stage: str) -> None:
        from rl import grpo, sft

        start, recipe, train = (
            ("base", self.config.sft, sft.run) if stage == "warm_start" else ("warm_start", self.config.grpo, grpo.run)
        )
        where = (
            f"data.path={self.data[f'{arm}_train']}",
            f"model={self.out / arm / start / 'model'}",
            f"output_dir={self.out / arm / stage}",
        )
        train(Path(recipe), where)

    def _evaluate(self, run: str) -> None:
        for name in SETS:
            where = self.out / "runs" / name / run.replace("/", "_")
            evaluate(
                self.data[name],
                str(self.out / run / "model"),
                where,
                split="test",
                batch_size=self.config.batch_size,
                max_new_tokens=self.config.max_new_tokens,
            )

    def _engine(self, engine: str) -> None:
        try:
            reader = InCapitals.of(engine)
        except InputError as error:  # an engine that is not installed is left out, and said so
            print(f"{engine} is left out: {error}", file=sys.stderr)
            return
        for name in SETS:
            evaluate(self.data[name], reader, self.out / "runs" / name / engine, split="test")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m studies.receipts", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--annotations", nargs="*", type=Path, default=[], metavar="PATH", help="one or more sets")
    parser.add_argument(
        "--images", nargs="*", type=Path, default=[], metavar="DIR", help="the folder of each set's images"
    )
    parser.add_argument("--format", default="jsonl", help="how they are annotated, as for kie-hvqa degrade")
    parser.add_argument("--model", type=Path, help="the reader to start from; the embedded one where left out")
    parser.add_argument("--config", type=Path, default=Path("configs/receipts/lines.yaml"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=2, help="processes that make datasets")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="single keys of the plan")
    arguments = parser.parse_args(argv)
    cv2.setNumThreads(1)
    try:
        if not arguments.annotations:
            raise InputError("no receipts are named", field="--annotations", remedy=WHERE)
        config = load(arguments.config, ReceiptsConfig, arguments.overrides)
        arguments.out.mkdir(parents=True, exist_ok=True)
        model = arguments.model or embedded_directory()
        study = Study(config, arguments.out, model, arguments.workers)
        study.run(arguments.annotations, arguments.images, arguments.format)
        print((arguments.out / "results.md").read_text(encoding="utf-8"))
        return 0
    except (InputError, WorkError) as error:
        print(f"receipts: {error}", file=sys.stderr)
        return error.exit_status


if __name__ == "__main__":
    sys.exit(main())
