"""Readers of one printed line, and a memory of what they said.

A reading costs far more than anything else here, so it is kept on disk under a hash of the pixels: a second run
over the same crops, or a fit with other constants, asks nobody again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from degradations.operators import Image
from kie_hvqa.errors import InputError, WorkError
from kie_hvqa.extras import remedy

Read = Callable[[Image], str]
READERS = ("rapidocr", "tesseract")


def rapidocr() -> Read:
    """RapidOCR's recogniser alone, on the CPU with one thread: image of one line → text."""
    try:
        from rapidocr_onnxruntime import RapidOCR
    except ImportError:
        raise InputError("rapidocr-onnxruntime is not installed", remedy=remedy("ocr")) from None

    engine = RapidOCR(intra_op_num_threads=1, inter_op_num_threads=1)

    def read(image: Image) -> str:
        result, _ = engine(np.ascontiguousarray(image[:, :, ::-1]), use_det=False, use_cls=False, use_rec=True)
        return str(result[0][0]) if result else ""

    return read


def tesseract() -> Read:
    """Tesseract on one line (page segmentation mode 7), one thread: image → text."""
    program = shutil.which("tesseract")
    if program is None:
        raise InputError("tesseract is not installed", remedy="apt-get install tesseract-ocr, or leave it out.")
    command = [program, "stdin", "stdout", "--psm", "7", "-l", "eng"]
    environment = {**os.environ, "OMP_THREAD_LIMIT": "1"}

    def read(image: Image) -> str:
        data = cv2.imencode(".png", image[:, :, ::-1])[1].tobytes()
        done = subprocess.run(command, input=data, capture_output=True, env=environment, check=False)
        if done.returncode:
            raise WorkError(f"tesseract failed: {done.stderr.decode(errors='replace').strip()[:200]}")
        return done.stdout.decode(errors="replace").strip()

    return read


def open_readers(names: list[str], memory: Path | None) -> dict[str, Read]:
    """Readers by name, each remembering its answers in ``memory`` (a folder) if one is given."""
    makers: dict[str, Callable[[], Read]] = {"rapidocr": rapidocr, "tesseract": tesseract}
    return {name: makers[name]() if memory is None else Remembered(name, makers[name], memory) for name in names}


class Remembered:
    """A reader that is only started, and only asked, for crops it has not seen before."""

    def __init__(self, name: str, make: Callable[[], Read], folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._make, self._read = make, None
        self._file = folder / f"{name}.jsonl"
        self._known: dict[str, str] = {}
        if self._file.is_file():
            for line in self._file.read_text(encoding="utf-8").splitlines():
                try:
                    entry: dict[str, Any] = json.loads(line)
                except ValueError:  # the last line of a run that was cut off
                    continue
                self._known[entry["crop"]] = entry["text"]

    _read: Read | None

    def __call__(self, image: Image) -> str:
        pixels = np.ascontiguousarray(image)
        key = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()[:32]
        if key not in self._known:
            if self._read is None:
                self._read = self._make()
            self._known[key] = self._read(pixels)
            with self._file.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({"crop": key, "text": self._known[key]}) + "\n")
        return self._known[key]
