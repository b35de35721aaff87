"""Documents in, fields out: the loop behind ``kie-hvqa read``, ``kie_hvqa.read`` and ``/v1/read``.

Pages go through in chunks: while a reader reads one, the pages of the next are decoded or rendered, and what a chunk left on
the disk is removed with it. All fields of a page are asked together, and a checkpoint's batches end where a page ends, so that it is encoded once. Every answer is kept as it comes, under a hash of the page, of what is asked and of who reads, so the
same command goes on wherever it was ended, asks nothing twice, and asks again what failed. A document's result is made of kept
answers alone, when its last page is through.

    OUT/read.json          whose readings these are
    OUT/predictions.jsonl  every answer, as it came
    OUT/pages.jsonl        what each page looks like
    OUT/results.jsonl      one object a document (``reading.results``)
"""

from __future__ import annotations

import copy
import hashlib
import itertools
import json
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kie_hvqa.confidence.operating_point import OperatingPoint
from kie_hvqa.console import Progress
from kie_hvqa.data.files import sweep, write_json
from kie_hvqa.data.json_lines import objects
from kie_hvqa.data.ledger import Row
from kie_hvqa.data.lock import Lock
from kie_hvqa.errors import InputError, WorkError
from kie_hvqa.readers import Reader, Task
from kie_hvqa.readers.asked import key_of, settings
from kie_hvqa.readers.base import told
from kie_hvqa.reading.fields import Field
from kie_hvqa.reading.looks import Looks, hint, looks_of
from kie_hvqa.reading.results import DocumentResult, FieldResult, best, nothing, of_empty_page, page_results
from kie_hvqa.reading.sources import DPI, Document, Page, Pages
from kie_hvqa.runs.predictions import Prediction, PredictionLog, cut_half_line

if TYPE_CHECKING:
    from PIL.Image import Image

RECORD, PREDICTIONS, LOOKS = "read.json", "predictions.jsonl", "pages.jsonl"
CHUNK = 64
"""Pages that are prepared and read together: enough that a batch or a server's queue is seldom short of work at its end."""


MOST_TOGETHER = 32
"""Fields of a page that a batch may hold beyond the size that it was given."""


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A page ready to be shown, or why it is not."""

    page: Page
    file: Path | None
    looks: Looks | None
    error: str | None = None


class Run:
    """One reading of ``documents`` into ``out``. ``results`` does the work and gives each document as it is done.

    ``most_pages`` bounds the pages of a document that are read. Raises InputError where ``out`` holds another reader's answers, and
    for an operating point of another reader.
    """

    def __init__(
        self,
        documents: Sequence[Document],
        reader: Reader,
        fields: Sequence[Field],
        out: Path,
        *,
        dpi: int = DPI,
        workers: int = 2,
        most_pages: int | None = None,
        point: OperatingPoint | None = None,
        point_file: Path | None = None,
        progress: bool = True,
    ) -> None:
        for name, value in (("dpi", dpi), ("workers", workers), ("max-pages", most_pages)):
            if value is not None and value < 1:
                raise InputError(f"must be at least 1, not {value}", field=f"--{name}", remedy="Mend the value.")
        if point is not None:
            point.check(reader.identity, told(reader), settings(reader), file=point_file)
        self.documents = documents
        self.reader = whole_pages(reader, len(fields))
        self.fields = tuple(fields)
        self.out = out
        self.point = point
        self._pages = Pages(out / ".pages", dpi)
        self._workers = workers
        self._most = most_pages
        self._progress = progress
        self._errors: dict[str, str] = {}
        self._digests: dict[str, str] = {}
        self._by_id: dict[str, Document] | None = None

    def picture(self, document: str, number: int) -> Image | None:
        """Page ``number`` (from 1) of the document of that id, upright; None where it cannot be had (any more)."""
        if self._by_id is None:
            self._by_id = {one.id: one for one in self.documents}
        try:
            return self._pages.image(Page(self._by_id[document], number))
        except (KeyError, InputError, OSError):
            return None

    def kept_picture(self, document: str, number: int) -> Path:
        """Where that page lies as a picture: the file itself, or one in ``out/pages`` that is written for it."""
        page = Page(next(one for one in self.documents if one.id == document), number)
        if page.document.kind == "image":
            return page.document.path
        kept = Pages(self.out / "pages", self._pages.dpi)
        return kept.put(page, self._pages.image(page))

    def pages(self, document: Document) -> int:
        """How many of its pages are read."""
        if document.error is not None:
            return 0
        return document.pages if self._most is None else min(document.pages, self._most)

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Hold ``out`` for this run; ``results`` is for within. InputError, with nothing changed, where it is another's."""
        self._check()
        with Lock(self.out, "reading"):
            self._check()
            sweep(self.out)
            write_json(self.out / RECORD, self._record())
            yield

    def results(self) -> Iterator[DocumentResult]:
        """Each document's result, in order, as soon as it and those before it are read.

        Where the reader ends the run (InputError, WorkError), the documents behind whose answers are all there come first.
        """
        with (
            PredictionLog(self.out / PREDICTIONS) as log,
            _LooksLog(self.out / LOOKS) as looks,
            ThreadPoolExecutor(self._workers, "page") as pool,
        ):
            waiting = deque(self.documents)
            try:
                for done in self._done(log, looks, pool):
                    while waiting[0] is not done:
                        yield self._result(waiting.popleft(), log, looks)
                    yield self._result(waiting.popleft(), log, looks)
            except (Exception, KeyboardInterrupt):
                for document in waiting:
                    if not any(self._missing(page, log, looks) for page in self._pages_of(document)):
                        yield self._result(document, log, looks)
                raise
            finally:
                pool.shutdown(cancel_futures=True)
                self._pages.close()
                self._clear()
            for document in waiting:
                yield self._result(document, log, looks)

    def _done(self, log: PredictionLog, looks: _LooksLog, pool: ThreadPoolExecutor) -> Iterator[Document]:
        """Read every page; gives each document with its last one."""
        chunks = _batched((page for document in self.documents for page in self._pages_of(document)), CHUNK)
        total = sum(map(self.pages, self.documents)) * len(self.fields)
        with Progress(self.reader.name, total, "fields", shown=self._progress) as bar:
            coming = self._begin(next(chunks, []), log, looks, pool)
            while coming:
                prepared = [(page, None if future is None else future.result()) for page, future in coming]
                following = self._begin(next(chunks, []), log, looks, pool)
                self._read(prepared, log, looks, bar)
                for page, _ in prepared:
                    self._pages.release(page)
                    if page.number == self.pages(page.document):
                        yield page.document
                coming = following

    def _pages_of(self, document: Document) -> Iterator[Page]:
        return (Page(document, number) for number in range(1, self.pages(document) + 1))

    def _begin(
        self, pages: Sequence[Page], log: PredictionLog, looks: _LooksLog, pool: ThreadPoolExecutor
    ) -> list[tuple[Page, Future[_Prepared] | None]]:
        """Prepare the pages that something is still to be asked about."""
        return [(page, pool.submit(self._prepare, page) if self._missing(page, log, looks) else None) for page in pages]

    def _missing(self, page: Page, log: PredictionLog, looks: _LooksLog) -> bool:
        known = looks.kept.get(page.id)
        if known is None or known[0] != self._digest(page):
            return True
        return not known[1].empty and bool(self._unanswered(page, log))

    def _prepare(self, page: Page) -> _Prepared:
        try:
            image = self._pages.image(page)
            seen = looks_of(image)
            return _Prepared(page, None if seen.empty else self._pages.file(page, image), seen)
        except InputError as error:
            return _Prepared(page, None, None, error.what)

    def _read(
        self, prepared: Sequence[tuple[Page, _Prepared | None]], log: PredictionLog, looks: _LooksLog, bar: Progress
    ) -> None:
        tasks: list[Task] = []
        keys: dict[str, str] = {}
        for page, ready in prepared:
            waiting = 0
            if ready is not None and ready.error is not None:
                self._errors[page.id] = ready.error
            elif ready is not None and ready.looks is not None:
                looks.append(page.id, self._digest(page), ready.looks)
                if ready.file is not None:
                    tasks += [Task(self.row(page, field), ready.file) for field in self.fields]
                    keys |= {row.id: self._key(page, row) for row in self._unanswered(page, log)}
                    waiting = sum(name in keys for name in (task.row.id for task in tasks[-len(self.fields) :]))
            bar.advance(len(self.fields) - waiting)
        done = {task.row.id for task in tasks} - keys.keys()
        left = set(keys)
        for answer in self.reader.read(tasks, done) if left else ():
            if answer.id not in left:
                raise WorkError(f"the reader {self.reader.name} answered {answer.id!r}, which was not asked")
            left.discard(answer.id)
            log.append(Prediction.of(answer, keys[answer.id]))
            bar.advance()
        if left:
            raise WorkError(f"the reader {self.reader.name} left out {len(left)} fields; run it again")

    def _unanswered(self, page: Page, log: PredictionLog) -> list[Row]:
        rows = [self.row(page, field) for field in self.fields]
        return [
            row
            for row in rows
            if (kept := log.kept.get(row.id)) is None or kept.error is not None or kept.key != self._key(page, row)
        ]

    def row(self, page: Page, field: Field) -> Row:
        """The question about ``field`` on ``page``, as readers take one: without a truth, and without a ledger."""
        return Row(
            id=f"{page.id}/{field.name}",
            file_name=page.document.id,
            document_id=page.document.id,
            document_type="unknown",
            split="read",
            field=field.name,
            question_kind="answerable",
            problem=f"<image>{field.question}",
            answer="",
        )

    def _digest(self, page: Page) -> str:
        if page.id not in self._digests:
            self._digests[page.id] = page.digest(self._pages.dpi)
        return self._digests[page.id]

    def _key(self, page: Page, row: Row) -> str:
        parts = (self._digest(page), self.reader.identity, self.reader.asks(row), key_of(self.reader))
        return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()

    def _result(self, document: Document, log: PredictionLog, looks: _LooksLog) -> DocumentResult:
        count = self.pages(document)
        base = DocumentResult(
            document.id, count, (), self.reader.name, None if self.point is None else self.point.named()
        )
        if document.error is not None:
            return replace(
                base,
                fields=tuple(nothing(field, "failed", document.error) for field in self.fields),
                error=document.error,
            )
        pages = list(self._pages_of(document))
        found = [self._page_result(page, log, looks) for page in pages]
        fields = tuple(best(several) for several in zip(*found, strict=True))
        errors = [self._errors[page.id] for page in pages if page.id in self._errors]
        return replace(base, fields=fields, error=errors[0] if errors else None, hint=self._hint(pages, fields, looks))

    def _hint(self, pages: Sequence[Page], fields: Sequence[FieldResult], looks: _LooksLog) -> str | None:
        known = [looks.kept[page.id][1] if page.id in looks.kept else Looks((0, 0)) for page in pages]
        unread = [(one.page - 1, one.box) for one in fields if one.status in ("partly", "unreadable") and one.page]
        return hint(known, unread)

    def _page_result(self, page: Page, log: PredictionLog, looks: _LooksLog) -> list[FieldResult]:
        if page.id in self._errors:
            return [nothing(field, "failed", self._errors[page.id], page.number) for field in self.fields]
        known = looks.kept.get(page.id)
        if known is not None and known[1].empty:
            return [of_empty_page(field, known[1].empty, page.number) for field in self.fields]
        asked = [(field, log.kept[self.row(page, field).id]) for field in self.fields]
        return page_results(asked, page.number, self.point)

    def _clear(self) -> None:
        for left in self._pages.folder.glob("*.png"):
            left.unlink(missing_ok=True)
        if self._pages.folder.is_dir():
            self._pages.folder.rmdir()

    def _record(self) -> dict[str, Any]:
        return {"reader": self.reader.name, "reader_identity": self.reader.identity, "dpi": self._pages.dpi}

    def _check(self) -> None:
        """InputError where the directory holds somebody else's work."""
        if self.out.exists() and not self.out.is_dir():
            raise InputError("this is a file", file=self.out, remedy="Name a directory for --out.")
        log, record = self.out / PREDICTIONS, self.out / RECORD
        if not log.is_file() or log.stat().st_size == 0:
            return
        try:
            held = json.loads(record.read_text(encoding="utf-8"))
            name, identity = held["reader"], held["reader_identity"]
        except (OSError, ValueError, KeyError, TypeError):
            raise InputError(
                f"this directory holds answers of something else (there is no {RECORD})",
                file=self.out,
                remedy="Name another --out.",
            ) from None
        if identity != self.reader.identity:
            raise InputError(
                f"this directory holds what another reader read ({name}), or this one with other weights or options",
                file=record,
                remedy="Name another --out, or remove this directory if its answers are not needed.",
            )


def whole_pages(reader: Reader, fields: int) -> Reader:
    """``reader`` with batches of whole pages, as near to its own size as they come: a page whose questions lie in two batches is
    encoded twice. Its answers are the same up to rounding. Other readers as they are."""
    size = getattr(reader, "batch_size", None)
    if size is None or fields > MOST_TOGETHER:
        return reader
    other = copy.copy(reader)
    other.batch_size = fields * max(1, round(size / fields))  # type: ignore[attr-defined]
    return other


class _LooksLog:
    """What pages look like, by page, with the hash of the page that was looked at; appended like the answers."""

    def __init__(self, path: Path) -> None:
        self._stream = path.open("ab+")
        cut_half_line(self._stream)
        self.kept: dict[str, tuple[str, Looks]] = {}
        for line, data in objects(path, what="a page"):
            try:
                self.kept[data["page"]] = data["key"], Looks.of_json(data)
            except (KeyError, TypeError, ValueError, IndexError):
                raise InputError("not a page's line", file=path, line=line, remedy="Remove that line.") from None

    def append(self, page: str, key: str, looks: Looks) -> None:
        if self.kept.get(page) == (key, looks):
            return
        line = json.dumps({"page": page, "key": key, **looks.to_json()}, ensure_ascii=True)
        self._stream.write(line.encode("ascii") + b"\n")
        self._stream.flush()
        self.kept[page] = key, looks

    def __enter__(self) -> _LooksLog:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()


def _batched(pages: Iterator[Page], size: int) -> Iterator[list[Page]]:
    while chunk := list(itertools.islice(pages, size)):
        yield chunk
