"""Which page a document id stands for: everything that a clean page is drawn from, so that a row can draw it again.

A page is a pure function of its ``PageKey``. The dataset's recipe decides the key (``planned``), a row keeps it
(``Row.page`` and the columns beside it), and ``degradations.replay`` reads it back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from degradations import documents
from degradations.asked.nothing import NOTHINGS, emptied
from degradations.chance import generator
from degradations.config import SPLITS, SimulateConfig
from degradations.documents import Document, templates
from degradations.documents.reprint import reprinted
from degradations.recipe import pick
from kie_hvqa.data.ledger import Row
from kie_hvqa.errors import InputError

_GOLDEN = 0.6180339887498949


@dataclass(frozen=True, slots=True)
class PageKey:
    """What a clean page is drawn from. ``scale`` and ``values`` as in ``SimulateConfig``.

    ``printed`` are (field, value) pairs that stand on the page instead of what was drawn for it (a twin's); ``rows`` as in
    ``documents.render``. ``nothing``: what became of the page before it was damaged, if nothing that is asked for stands on it.
    """

    document_id: str
    split: str
    template: str
    seed: int
    scale: str
    values: str
    printed: tuple[tuple[str, str], ...] = ()
    rows: str = "issuer"
    nothing: str = ""

    def render(self) -> Document:
        rng = generator(self.seed, self.document_id, "page")
        page = documents.render(
            self.template, rng, split=self.split, scale=self.scale, values=self.values, rows=self.rows
        )
        if self.nothing:
            return emptied(page, self.nothing, generator(self.seed, self.document_id, "nothing"))
        return reprinted(page, dict(self.printed)) if self.printed else page

    def to_json(self) -> dict[str, Any]:
        """What the columns of a row do not say already."""
        data: dict[str, Any] = {"seed": self.seed, "scale": self.scale, "values": self.values}
        data |= {"rows": self.rows} if self.rows != "issuer" else {}
        data |= {"nothing": self.nothing} if self.nothing else {}
        return {**data, "printed": dict(self.printed)} if self.printed else data

    @classmethod
    def of(cls, row: Row) -> PageKey:
        """Raises InputError for a row whose page cannot be drawn: a scan, or a page that names no seed."""
        page = row.page
        if page is None:
            raise InputError(
                "this row's clean page is a scan, which no row can hold",
                field="page",
                remedy="Run `kie-hvqa degrade` with the same recipe: it makes the same images again.",
            )
        kinds = {"seed": int, "scale": str, "values": str}
        wrong = [name for name, kind in kinds.items() if not isinstance(page, dict) or type(page.get(name)) is not kind]
        if wrong or row.template is None:
            raise InputError(
                f"the page lacks {', '.join(wrong) or 'a template'}", field="page", remedy="Copy the row whole."
            )
        printed = page.get("printed") or {}
        if not isinstance(printed, dict) or not all(isinstance(value, str) for value in printed.values()):
            raise InputError("`printed` maps fields to texts", field="page.printed", remedy="Copy the row whole.")
        # A table of rows gives every row every key: a field that this page does not print anew is empty there.
        texts = tuple((name, value) for name, value in printed.items() if value)
        seed = {name: page[name] for name in kinds}
        rows = page.get("rows") or "issuer"
        if not isinstance(rows, str):
            raise InputError("`rows` is a word", field="page.rows", remedy="Copy the row whole.")
        nothing = page.get("nothing") or ""
        if nothing and nothing not in NOTHINGS:
            raise InputError(f"{nothing!r} is no kind of page", field="page.nothing", remedy="Copy the row whole.")
        return cls(row.document_id, row.split, row.template, **seed, printed=texts, rows=rows, nothing=nothing)


def document_id(config: SimulateConfig, index: int) -> str:
    return f"s{config.seed}-d{index:06d}"


def split_of(config: SimulateConfig, index: int) -> str:
    """The split of document ``index``: spread evenly, so that even a short dataset has its shares."""
    total = sum(config.splits.values())
    position = (index + 0.5) * _GOLDEN % 1.0 * total
    last = ""
    for name in SPLITS:
        share = config.splits.get(name, 0.0)
        if share > 0:
            last = name
            position -= share
            if position < 0:
                break
    return last


def planned(config: SimulateConfig, index: int) -> PageKey:
    """The page of document ``index`` (0 … count - 1). Raises InputError for an index out of range."""
    if not 0 <= index < config.count:
        raise InputError(
            f"there is no document {index} among {config.count}",
            field="index",
            remedy="Raise count, or lower the index.",
        )
    name = document_id(config, index)
    rng = generator(config.seed, name, "plan")
    weights = config.templates or dict.fromkeys(templates(config.scale), 1.0)
    names = sorted(weights)
    template = pick(rng, names, [weights[name] for name in names])
    kinds = sorted(config.values)
    values = pick(rng, kinds, [config.values[kind] for kind in kinds])
    split = split_of(config, index)
    share = dict(config.shuffled_rows).get(split, 0.0)  # type: ignore[call-overload]
    rows = "shuffled" if share > 0 and rng.random() < share else "issuer"
    nothing = ""
    if config.nothing:
        every = sorted(config.nothing)
        nothing = pick(rng, every, [config.nothing[kind] for kind in every])
    return PageKey(name, split, template, config.seed, config.scale, values, rows=rows, nothing=nothing)
