"""Tesseract as an honest baseline: Debian's engine, which nobody here made. What it is told: ``ocr``.

Run as a process of its own a page (``tesseract … hocr``, with a box and a confidence a character). Its confidences are
those of its LSTM and crowd near the top: most characters that it misreads still have 0.9 and more, so the thresholds
that do something lie far above RapidOCR's (the defaults come from a dozen validation cards, not from a fit). Small pages
are enlarged first, as Tesseract's own advice is: ``scale`` 0 enlarges up to threefold, to 1,000 pixels on the longer side.

    kie-hvqa eval --data DIR --reader tesseract:min_confidence=0.95 --out OUT

Needs the program (Debian: ``apt-get install tesseract-ocr``) and the data of its ``language``.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from kie_hvqa.data.dataset import load_image
from kie_hvqa.data.ledger import Box
from kie_hvqa.errors import InputError, WorkError
from kie_hvqa.readers.ocr import FoundLine, Glyph, OCRReader

PROGRAM = "tesseract"
LONG_SIDE, LARGEST_SCALE = 1000, 3.0  # pixels to which a small page is enlarged, and how far at most
_BOX = re.compile(r"x_bboxes (-?\d{1,9}) (-?\d{1,9}) (-?\d{1,9}) (-?\d{1,9})")
_CONFIDENCE = re.compile(r"x_conf (-?\d{1,9}(?:\.\d{0,9})?)")


class TesseractReader(OCRReader):
    """``psm`` is Tesseract's page segmentation mode (11: text wherever it is), ``scale`` a factor, 0 for automatic.

    ``timeout`` is in seconds, a page: Tesseract's layout analysis can run away on noise.
    """

    def __init__(
        self,
        *,
        min_confidence: float = 0.9,
        flag_below: float = 0.97,
        psm: int = 11,
        language: str = "eng",
        scale: float = 0.0,
        timeout: float = 120.0,
    ) -> None:
        if psm not in (1, 3, 4, 5, 6, 7, 11, 12):
            raise InputError(f"{psm} does not read pages", field="tesseract:psm", remedy="Use 3, 6 or 11.")
        if not 0 <= scale <= 8:
            raise InputError(f"must lie in [0, 8], not {scale}", field="tesseract:scale", remedy="Mend the value.")
        if not re.fullmatch(r"\w+(\+\w+)*", language):
            raise InputError(f"{language!r} is no language", field="tesseract:language", remedy="Write eng or deu+eng.")
        if not timeout > 0:
            raise InputError(f"must be above 0, not {timeout}", field="tesseract:timeout", remedy="Mend the value.")
        self._options = ["--psm", str(psm), "-l", language]
        self._scale = scale
        self._timeout = timeout
        self._page: tuple[Path, list[FoundLine] | WorkError] | None = None  # the last one, read whole
        version = f"{_version(language)} {self._options} {scale:g}"
        super().__init__("tesseract", version, min_confidence=min_confidence, flag_below=flag_below)

    def lines_about(self, path: Path, regions: Sequence[Box]) -> list[FoundLine]:
        """Of the whole page, read once: a page that failed is not waited for again by its other questions."""
        if self._page is None or self._page[0] != path:
            try:
                self._page = path, self._read_page(path)
            except WorkError as error:
                self._page = path, error
        found = self._page[1]
        if isinstance(found, WorkError):
            raise found
        return found

    def _read_page(self, path: Path) -> list[FoundLine]:
        from PIL import Image

        image = load_image(path)
        factor = self._scale or min(LARGEST_SCALE, max(1.0, LONG_SIDE / max(image.size)))
        if factor != 1.0:
            size = (round(image.width * factor), round(image.height * factor))
            image = image.resize(size, Image.Resampling.BICUBIC)
        buffer = io.BytesIO()
        image.save(buffer, "PNG", compress_level=1)
        arguments = ["stdin", "stdout", *self._options, "-c", "hocr_char_boxes=1", "hocr"]
        return lines_of(_run(arguments, buffer.getvalue(), self._timeout), factor)


def lines_of(hocr: bytes, factor: float) -> list[FoundLine]:
    """The lines of an hOCR page with a box a character; coordinates are divided by ``factor``. WorkError for a broken page."""
    try:
        page = ElementTree.fromstring(hocr)
    except (ElementTree.ParseError, ValueError, LookupError) as error:  # the latter two: an encoding that is none
        raise WorkError(f"tesseract wrote a broken page ({error})") from None
    lines = []
    for parent in page.iter():
        words = [child for child in parent if child.get("class") == "ocrx_word"]
        if words:
            glyphs = [glyph for word in words for glyph in _glyphs(word, factor)]
            lines.append(FoundLine(tuple(sorted(glyphs, key=lambda glyph: glyph.x))))
    return lines


def _glyphs(word: ElementTree.Element, factor: float) -> list[Glyph]:
    glyphs = []
    for part in word.iter():
        title, text = part.get("title", ""), part.text or ""
        box, confidence = _BOX.search(title), _CONFIDENCE.search(title)
        if part.get("class") != "ocrx_cinfo" or not text or box is None or confidence is None:
            continue
        x0, y0, x1, y1 = (int(value) / factor for value in box.groups())
        step = (x1 - x0) / len(text)  # a ligature may come as two characters in one box
        sure = min(max(float(confidence[1]) / 100, 0.0), 1.0)
        for index, char in enumerate(text):
            glyphs.append(Glyph(char, sure, (x0 + index * step, y0, x0 + (index + 1) * step, y1)))
    return glyphs


def _run(arguments: list[str], page: bytes, seconds: float) -> bytes:
    # One thread: pages are small, and Tesseract's own threads cost more than they bring.
    environment = {**os.environ, "OMP_THREAD_LIMIT": "1"}
    try:
        done = subprocess.run(
            [PROGRAM, *arguments], input=page, capture_output=True, env=environment, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        what = f"tesseract did not finish within {seconds:g} s (tesseract:timeout=… waits longer)"
        raise WorkError(what) from None
    except OSError as error:
        raise WorkError(f"tesseract cannot be started ({error})") from None
    if done.returncode != 0:
        reason = " ".join(done.stderr.decode("utf-8", "replace").split())[:300]
        raise WorkError(f"tesseract ended with status {done.returncode} ({reason})")
    return done.stdout


def _version(language: str) -> str:
    """Tesseract's own. InputError where the program or its language data are missing."""
    if shutil.which(PROGRAM) is None:
        raise InputError(
            "this reader needs the program tesseract",
            field="tesseract",
            remedy="Install it (Debian: `apt-get install tesseract-ocr`).",
        )
    listed = subprocess.run([PROGRAM, "--list-langs"], capture_output=True, text=True, check=False).stdout.split()
    for part in language.split("+"):
        if part not in listed:
            raise InputError(
                f"tesseract has no data for the language {part!r}",
                field="tesseract:language",
                remedy=f"Install it (Debian: `apt-get install tesseract-ocr-{part}`).",
            )
    done = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).partition("\n")[0]
