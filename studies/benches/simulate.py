"""How fast documents are made and damaged, stage by stage, beside Augraphy on the same pages in the same run.

    python -m studies.benches.simulate [--documents 10] [--augraphy 6] [--memory 10000]

Pages are the ID-1 card at 300 dpi and the A4 page at 150 dpi, damaged by ``configs/simulate/cards.yaml``'s weights. Stages
are timed in the processor time of this one process, with one thread, so that a busy machine changes little; workers
have to be timed by the clock, their start included (ask for a hundred documents and more), and the load that was there
before is printed beside them. Augraphy's default pipeline
(MIT, unmaintained since 2023; ``pip install 'kie-hvqa[bench]'``) gets the clean pages; its first pass compiles and is not
counted, and it writes no file and no ledger.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np

from degradations.capture.textures import TEXTURES, tile
from degradations.config import SimulateConfig
from degradations.legibility import ledger
from degradations.operators import Image
from degradations.operators.base import number
from degradations.pages import planned
from degradations.simulate import document_samples
from degradations.storing.writer import Piece, write_document, write_pieces
from degradations.streaming import Stream
from kie_hvqa.config import load
from kie_hvqa.extras import install_line

CONFIGS = Path(__file__).parents[2] / "configs" / "simulate"
PAGES = {"card, 300 dpi": "us_licence", "A4 page": "invoice_classic"}
# One process would let OpenCV have all cores; here processes are the parallelism.
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OPENCV_FOR_THREADS_NUM": "1"}
STAGES = ("document", "damage", "ledger", "encode and write")


def config_of(template: str, documents: int) -> SimulateConfig:
    return load(CONFIGS / "cards.yaml", SimulateConfig, overrides(template, documents))


def overrides(template: str, documents: int) -> list[str]:
    return [f"templates={{{template}: 1}}", f"count={documents}"]


class Stages:
    """Seconds of processor time by stage; a stage within another counts for itself alone."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self._inner = 0.0

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        outer, self._inner = self._inner, 0.0
        began = time.process_time()
        try:
            yield
        finally:
            spent = time.process_time() - began
            self.seconds[stage] += spent - self._inner
            self._inner = outer + spent


def time_stages(config: SimulateConfig, folder: Path) -> tuple[dict[str, float], int]:
    """Seconds by stage over all documents of ``config`` but the first, which warms the caches; and the samples made."""
    (folder / "images").mkdir()
    density = planned(config, 0).render().density
    for texture in TEXTURES:  # desks are made once a process, too
        for turned in (False, True):
            tile(texture, number(density), turned)
    samples = 0
    for index in range(config.count):
        if index <= 1:
            stages, samples = Stages(), 0

        def timed(*args: Any, _stages: Stages = stages, **kwargs: Any) -> Any:
            with _stages("ledger"):
                return ledger(*args, **kwargs)

        with stages("document"):
            document = planned(config, index).render()
        with stages("damage"), patch("degradations.damage.ledger", timed):
            piece = document_samples(config, index, document=document)
        with stages("encode and write"):
            write_document(partial(_same, piece), folder, index)
        samples += len(piece)
    return stages.seconds, samples


def _same(piece: Piece, _: int) -> Piece:
    return piece


def time_augraphy(pages: list[Image]) -> tuple[float, int, int] | None:
    """(seconds of processor time, pages done, pages on which it failed); None where it is not installed."""
    try:
        warnings.simplefilter("ignore")
        import_module("matplotlib.font_manager")  # Augraphy uses it and does not import it
        pipeline = import_module("augraphy").default_augraphy_pipeline
    except ImportError:
        return None
    seconds, failed = 0.0, 0
    with tempfile.TemporaryDirectory() as folder, chdir(folder):  # it leaves a cache in the working directory
        for turn in range(2):
            seconds, failed = 0.0, 0
            for index, page in enumerate(pages):
                random.seed(index)
                np.random.seed(index)  # its only source of chance
                began = time.process_time()
                try:
                    pipeline()(page)
                except Exception:
                    failed += 1
                    continue
                seconds += (time.process_time() - began) * turn
    return seconds, len(pages) - failed, failed


def time_workers(template: str, documents: int, workers: int) -> float:
    """Samples a second by the clock, as the command makes them in an interpreter of its own, its start included."""
    config = config_of(template, documents)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "kie_hvqa", "simulate", "--config", str(CONFIGS / "cards.yaml")]
        command += ["--out", f"{folder}/data", "--workers", str(workers), *overrides(template, documents)]
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, env=ONE_THREAD)
        return config.rows / (time.perf_counter() - began)


def resident() -> float:
    """Memory of this process in MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def memory(config: SimulateConfig, folder: Path) -> list[tuple[int, float]]:
    """(samples written, MiB resident) ten times over one run that writes ``config``."""
    seen: list[tuple[int, float]] = []
    every = max(1, config.count // 10)

    def make(index: int) -> Piece:
        if index and index % every == 0:
            seen.append((index * config.questions_per_document, resident()))
        return document_samples(config, index)

    write_pieces(make, config.count, folder, kind="bench", config={})
    return [*seen, (config.rows, resident())]


def time_stream(config: SimulateConfig, samples: int) -> dict[str, float]:
    """Milliseconds of processor time a sample, on a first visit of a page and on later ones."""
    stream = Stream(config, "train", epochs=2)
    order = np.random.default_rng(0).permutation(stream.rows_per_epoch)[:samples]
    found = {}
    for name, turn in (("first epoch", 0), ("later epochs", 1)):
        began = time.process_time()
        for index in order:
            stream.sample(turn * stream.rows_per_epoch + int(index))
        found[name] = 1e3 * (time.process_time() - began) / len(order)
    return found


def _in_new_folder(work: Callable[..., Any], *arguments: Any) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        return work(*arguments, Path(folder))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=10, help="of each kind; four samples each (default 10)")
    parser.add_argument("--augraphy", type=int, default=6, metavar="N", help="pages for Augraphy; 0 leaves it out")
    parser.add_argument("--workers", type=int, default=2, metavar="W", help="beside one process; 0 leaves it out")
    parser.add_argument("--memory", type=int, default=0, metavar="N", help="also write N tiny samples and watch memory")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    load_before = os.getloadavg()[0]
    for name, template in PAGES.items():
        config = config_of(template, arguments.documents + 1)
        seconds, samples = _in_new_folder(time_stages, config)
        total = sum(seconds.values())
        print(f"{name}: {samples / total:.1f} samples/s on one core, {1e3 * total / samples:.0f} ms each")
        print("  " + ", ".join(f"{stage} {100 * spent / total:.0f} %" for stage, spent in seconds.items()), flush=True)
        if arguments.augraphy:
            pages = [planned(config, index % config.count).render().image for index in range(arguments.augraphy)]
            theirs = time_augraphy(pages)
            if theirs is None:
                print(f"  Augraphy is not installed: {install_line('bench')}")
            else:
                rate = theirs[1] / theirs[0]
                print(
                    f"  Augraphy's default pipeline: {rate:.2f} images/s ({theirs[1]} pages, failed on {theirs[2]}); "
                    f"{samples / total / rate:.0f} times as fast here",
                    flush=True,
                )
        if arguments.workers > 1:
            rates = [time_workers(template, arguments.documents, workers) for workers in (1, arguments.workers)]
            print(
                f"  by the clock: {rates[0]:.1f} samples/s with one process, {rates[1]:.1f} with {arguments.workers} "
                f"({rates[1] / rates[0]:.2f} times; load before {load_before:.1f} on {os.cpu_count()} cores)",
                flush=True,
            )
    tiny = load(CONFIGS / "tiny.yaml", SimulateConfig, [])
    spent = time_stream(tiny, 400)
    print("stream, tiny pages: " + ", ".join(f"{value:.1f} ms a sample in {name}" for name, value in spent.items()))
    if arguments.memory:
        config = load(CONFIGS / "tiny.yaml", SimulateConfig, [f"count={-(-arguments.memory // 4)}"])
        print("memory, MiB after n samples: ", end="")
        print(", ".join(f"{size:.0f} after {rows:,}" for rows, size in _in_new_folder(memory, config)))


if __name__ == "__main__":
    main()
