"""What is to be read: images, TIFF files of many pages, PDF files, folders of them, patterns of names.

``documents`` looks at each file once, at its head, and says how many pages it has. Pages are decoded or rendered one by one,
by ``Pages``, when they are wanted: a PDF of 10,000 pages takes no more memory or disk than one of ten. A file that is named and is not there is wrong input; a file that cannot be opened is a
document that failed, and the others are read.
"""

from __future__ import annotations

import glob
import hashlib
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kie_hvqa.console import Progress
from kie_hvqa.data.files import sha256
from kie_hvqa.data.pixels import open_image
from kie_hvqa.errors import InputError
from kie_hvqa.extras import remedy

if TYPE_CHECKING:
    from PIL.Image import Image

PASSWORD = "KIE_HVQA_PDF_PASSWORD"
DPI = 200
MOST_PIXELS = 40_000_000
"""Of a rendered page: A4 at 600 dots an inch has 35 million. A larger one is rendered with fewer dots an inch."""
_PDF = b"%PDF-"
# Pages are parts of one document in these; an animation or a phone's second picture is none.
_PAGED = ("TIFF",)


@dataclass(frozen=True, slots=True)
class Document:
    """One file. ``id`` is its path as it was named; ``digest`` is the SHA-256 of its bytes; ``error`` says why it has no pages."""

    id: str
    path: Path
    kind: str = "image"
    pages: int = 1
    digest: str = ""
    error: str | None = None


def documents(sources: Sequence[str | Path], *, progress: bool = False) -> list[Document]:
    """Every file that ``sources`` name, each once, folders and patterns in the order of their names.

    Each is hashed, which takes its time over many: ``progress`` shows it. InputError for a source that names nothing.
    """
    found: dict[str, Path] = {}
    for source in sources:
        files = {path.as_posix(): path for path in _files(source)}
        if not files:
            raise InputError("no image and no PDF file is here", file=str(source), remedy="Check the path.")
        found |= {name: path for name, path in files.items() if name not in found}
    bar = Progress("looking at", len(found), "files", shown=progress, delay=2)
    return [_document(path) for path in bar.over(found.values())]


def _files(source: str | Path) -> Iterator[Path]:
    path = Path(source)
    if path.is_file():
        yield path
    elif path.is_dir():
        yield from _inside(path)
    elif glob.has_magic(str(source)):
        for name in sorted(glob.glob(str(source), recursive=True)):
            if os.path.isdir(name):
                yield from _inside(Path(name))
            elif os.path.isfile(name):
                yield Path(name)
    else:
        raise InputError("no such file or folder", file=path, remedy="Check the path.")


def _inside(folder: Path) -> Iterator[Path]:
    """The images and PDF files under ``folder``; what is hidden, or ends like neither, is left alone."""
    from PIL import Image

    Image.init()
    known = {".pdf", *(end for end, kind in Image.registered_extensions().items() if kind in Image.OPEN)}
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and Path(name).suffix.lower() in known:
                yield Path(place, name)


def _document(path: Path) -> Document:
    name = path.as_posix()
    try:
        with path.open("rb") as stream:
            head = stream.read(1024)
        digest = sha256(path)
        if _PDF in head:
            return Document(name, path, "pdf", _pdf_pages(path), digest)
        return Document(name, path, *_image_pages(path), digest)
    except InputError as error:
        return Document(name, path, error=error.what)
    except OSError as error:
        return Document(name, path, error=f"cannot be read ({error.strerror})")


def _image_pages(path: Path) -> tuple[str, int]:
    from PIL import Image

    try:
        with Image.open(path) as opened:
            if opened.format in _PAGED and (pages := int(getattr(opened, "n_frames", 1))) > 1:
                return "tiff", pages
            return "image", 1
    except Image.DecompressionBombError:
        raise InputError("more pixels than any page has", file=path, remedy="Shrink it.") from None
    except Exception as error:  # Pillow's decoders raise what they like
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise InputError("neither an image nor a PDF file, or a damaged one", file=path, remedy="Replace it.") from None


def _pdf_pages(path: Path) -> int:
    with _PDFIUM:
        document = _pdf(path)
        try:
            return len(document)
        finally:
            document.close()


_PDFIUM = threading.Lock()
"""PDFium must not be called by two threads at the same time."""


def _pdf(path: Path) -> Any:
    try:
        import pypdfium2
    except ImportError:
        raise InputError("reading PDF files needs pypdfium2", file=path, remedy=remedy("pdf")) from None
    try:
        return pypdfium2.PdfDocument(path, password=os.environ.get(PASSWORD) or None)
    except pypdfium2.PdfiumError as error:
        # PDFium keeps the reason of an earlier failure where it has none of its own, so the file must say it, too.
        if "password" in str(error).lower() and b"/Encrypt" in path.read_bytes():
            what = f"locked by a password, and {PASSWORD} {'is not it' if os.environ.get(PASSWORD) else 'is not set'}"
            raise InputError(what, file=path, remedy="Set it.") from None
        raise InputError("no PDF file, a damaged one, or one without pages", file=path, remedy="Replace it.") from None


@dataclass(frozen=True, slots=True)
class Page:
    """Page ``number`` (from 1) of ``document``."""

    document: Document
    number: int

    @property
    def id(self) -> str:
        return f"{self.document.id}#{self.number}"

    def digest(self, dpi: int) -> str:
        """What its picture depends on, hashed."""
        how = f"{self.number} at {dpi}" if self.document.kind == "pdf" else str(self.number)
        return hashlib.sha256(f"{self.document.digest}\0{how}".encode()).hexdigest()


@dataclass
class Pages:
    """Pictures of pages, made when they are asked for. Threads may share it.

    ``folder`` takes the pictures that lie in no file of their own; ``release`` removes them. The last PDF file stays open.
    """

    folder: Path
    dpi: int = DPI
    _open: tuple[Path, Any] | None = field(default=None, repr=False)

    def image(self, page: Page) -> Image:
        """The page as RGB, upright. InputError where it cannot be decoded or rendered."""
        if page.document.kind == "pdf":
            return self._rendered(page)
        return open_image(page.document.path, frame=page.number - 1)

    def file(self, page: Page, image: Image) -> Path:
        """Where a reader finds the page: the source itself, or ``image`` written to the folder."""
        return page.document.path if page.document.kind == "image" else self.put(page, image)

    def put(self, page: Page, image: Image) -> Path:
        """``image`` as the page's file in the folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.place(page)
        image.save(path, "PNG", compress_level=1)
        return path

    def place(self, page: Page) -> Path:
        return self.folder / f"{hashlib.sha256(page.id.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}.png"

    def release(self, page: Page) -> None:
        self.place(page).unlink(missing_ok=True)

    def close(self) -> None:
        with _PDFIUM:
            if self._open is not None:
                self._open[1].close()
                self._open = None

    def _rendered(self, page: Page) -> Image:
        import pypdfium2

        path = page.document.path
        with _PDFIUM:
            if self._open is None or self._open[0] != path:
                if self._open is not None:
                    self._open[1].close()
                    self._open = None
                self._open = path, _pdf(path)
            try:
                sheet = self._open[1][page.number - 1]
                try:
                    width, height = sheet.get_size()
                    scale = min(self.dpi / 72, (MOST_PIXELS / max(1.0, width * height)) ** 0.5)
                    picture: Image = sheet.render(scale=scale, rev_byteorder=True).to_pil().convert("RGB")
                    return picture
                finally:
                    sheet.close()
            except (pypdfium2.PdfiumError, ValueError) as error:
                what = f"page {page.number} cannot be rendered ({type(error).__name__})"
                raise InputError(what, file=path, remedy="Replace the file.") from None
