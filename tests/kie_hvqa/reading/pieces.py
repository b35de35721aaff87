"""A reader that answers out of a table, and PDF files written by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

from PIL import Image, ImageDraw

from kie_hvqa.answers.answer import REFUSAL, Reading, render
from kie_hvqa.confidence.symbols import SymbolConfidence
from kie_hvqa.data.ledger import Row
from kie_hvqa.errors import WorkError
from kie_hvqa.readers import Answer, Task


class TableReader:
    """Says ``values[field]`` about every page; ``ends`` answers, and then the server is gone."""

    signals: tuple[str, ...] = ()
    doubted = ""  # characters that it is not sure of, where it has signals

    def __init__(self, values: Mapping[str, str | None], *, ends: int | None = None, name: str = "table") -> None:
        self.values = values
        self.ends = ends
        self.name = name
        self.identity = f"{name}-1"
        self.asked: list[str] = []
        self.look: Callable[[Task], None] = lambda task: None

    def asks(self, row: Row) -> str:
        return row.problem

    def read(self, tasks: Sequence[Task], done: AbstractSet[str] = frozenset()) -> Iterator[Answer]:
        for task in tasks:
            if task.row.id in done:
                continue
            if self.ends is not None and len(self.asked) >= self.ends:
                raise WorkError("the server has not answered the last 16 rows")
            self.asked.append(task.row.id)
            self.look(task)
            value = self.values.get(task.row.field)
            sure = SymbolConfidence(tuple(0.3 if char in self.doubted else 0.99 for char in value or ""), None)
            signals = {"token_probability": sure} if self.signals else None
            yield Answer(task.row.id, said(value), signals=signals)


def said(value: str | None) -> str:
    if value is None:
        return render(REFUSAL, tags=True)
    plain = value.replace(" ", "")
    return render(Reading(value, "", plain, len(plain), 0), tags=True)


def page(text: str = "NAME: QUIST", size: tuple[int, int] = (200, 120)) -> Image.Image:
    image = Image.new("RGB", size, (250, 248, 240))
    ImageDraw.Draw(image).text((12, 20), text, fill=(10, 10, 20))
    return image


def pdf(path: Path, pages: int, password: str | None = None) -> Path:
    """A PDF file of so many pages, each with a black bar; locked where there is a password (40-bit RC4, as PDF 1.4 has it)."""
    drawn = b"0 0 0 rg 20 100 90 12 re f"
    ident, permissions = b"0123456789abcdef", -4
    key, trailer = b"", b""
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>"]
    kids = b" ".join(b"%d 0 R" % (4 + number) for number in range(pages))
    objects.append(b"<< /Type /Pages /Count %d /Kids [%s] >>" % (pages, kids))
    if password is not None:
        padded = (password.encode() + _PAD)[:32]
        owner = rc4(hashlib.md5(padded).digest()[:5], padded)
        key = hashlib.md5(padded + owner + permissions.to_bytes(4, "little", signed=True) + ident).digest()[:5]
        user = rc4(key, _PAD)
        encrypt = b"<< /Filter /Standard /V 1 /R 2 /Length 40 /P %d /O <%s> /U <%s> >>"
        trailer = b" /Encrypt %s /ID [<%s> <%s>]" % (
            encrypt % (permissions, owner.hex().encode(), user.hex().encode()),
            ident.hex().encode(),
            ident.hex().encode(),
        )
        drawn = rc4(hashlib.md5(key + (3).to_bytes(3, "little") + b"\0\0").digest()[:10], drawn)
    objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(drawn), drawn))
    leaf = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 144 144] /Contents 3 0 R >>"
    objects += [leaf] * pages
    data, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, start=1):
        places.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    end = b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<< /Size %d /Root 1 0 R%s >>\nstartxref\n%d\n%%%%EOF\n"
    path.write_bytes(data + end % (len(objects) + 1, table, len(objects) + 1, trailer, len(data)))
    return path


_PAD = bytes.fromhex("28bf4e5e4e758a4164004e56fffa01082e2e00b6d0683e802f0ca9fe6453697a")


def rc4(key: bytes, data: bytes) -> bytes:
    state, j = list(range(256)), 0
    for i in range(256):
        j = (j + state[i] + key[i % len(key)]) % 256
        state[i], state[j] = state[j], state[i]
    out, i, j = bytearray(), 0, 0
    for byte in data:
        i = (i + 1) % 256
        j = (j + state[i]) % 256
        state[i], state[j] = state[j], state[i]
        out.append(byte ^ state[(state[i] + state[j]) % 256])
    return bytes(out)
