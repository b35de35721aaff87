"""Which rows of a dataset a run or a suite reads: one place, so that a run can be read back as it was made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kie_hvqa.data.dataset import Dataset, first_documents, read_dataset
from kie_hvqa.data.ledger import Row
from kie_hvqa.errors import InputError
from kie_hvqa.suites import SUITES
from kie_hvqa.suites.nothing import nothing_of


@dataclass(frozen=True, slots=True)
class Pair:
    """Two rows with the same damage over the same boxes: a plausible value and an implausible one."""

    name: str
    plausible: Row
    implausible: Row

    @property
    def severity(self) -> int | None:
        return self.plausible.severity


def chosen(
    data: str | Path, *, split: str | None = None, limit: int | None = None, suite: str | None = None
) -> Dataset:
    """``read_dataset``, and of its rows those that ``suite`` asks about; ``limit`` counts those, whole documents of them.

    ``twins`` keeps whole pairs only, and of its limit all pairs of the documents of the plausible ones. Raises InputError where nothing is left.
    """
    if suite is None:
        return read_dataset(data, split=split, limit=limit)
    if suite not in SUITES:
        raise InputError(f"there is no suite {suite!r}", field="suite", remedy=f"Use {', '.join(SUITES)}.")
    if limit is not None and limit < 1:
        raise InputError(f"{limit} rows cannot be read", field="limit", remedy="Use 1 or more.")
    dataset = read_dataset(data, split=split)
    rows = dataset.rows
    if suite == "clean":
        rows = first_documents([row for row in rows if row.severity == 0], limit)
        needed = "row of severity 0"
    elif suite == "nothing":
        rows = first_documents([row for row in rows if nothing_of(row) is not None], limit)
        needed = "page with nothing on it"
    elif suite == "twins":
        pairs = twin_pairs(rows, dataset.file)
        asked = first_documents([pair.plausible for pair in pairs], None if limit is None else (limit + 1) // 2)
        own = {row.id for row in asked}
        pairs = [pair for pair in pairs if pair.plausible.id in own]
        ids = {row.id for pair in pairs for row in (pair.plausible, pair.implausible)}
        rows = [row for row in rows if row.id in ids]
        needed = "pair of twins"
    else:
        rows = first_documents([row for row in rows if row.slots is not None], limit)
        needed = "row with a ledger"
    if not rows:
        part = "" if split is None else f" in split {split!r}"
        raise InputError(
            f"there is no {needed} here{part}, so the suite `{suite}` has nothing to ask",
            file=dataset.file,
            remedy="Name a dataset that was simulated for it, or another --split or --limit.",
        )
    return replace(dataset, rows=rows)


def twin_pairs(rows: Sequence[Row], file: Path | str | None = None) -> list[Pair]:
    """The whole pairs among ``rows``, in the order of their first rows; half a pair is left out.

    Two rows are twins where their pair, field and severity agree. InputError for three of them, for two of one kind, and for
    twins whose slots do not lie over each other.
    """
    found: dict[tuple[str, str, int | None], dict[str, Row]] = {}
    for row in rows:
        twin = twin_of(row)
        if twin is None:
            continue
        name, kind = twin
        halves = found.setdefault((name, row.field, row.severity), {})
        if kind in halves:
            raise InputError(
                f"the rows {halves[kind].id!r} and {row.id!r} are both the {kind} half of pair {name!r}",
                file=file,
                field="twin",
                remedy="Make the dataset again.",
            )
        halves[kind] = row
    pairs = []
    for (name, _, _), halves in found.items():
        if len(halves) == 2:
            pair = Pair(name, halves["plausible"], halves["implausible"])
            _check(pair, file)
            pairs.append(pair)
    return pairs


def twin_of(row: Row) -> tuple[str, str] | None:
    """(pair, ``plausible`` or ``implausible``), or None for a row without a twin."""
    return None if row.twin is None else (row.twin["pair"], row.twin["kind"])


def _check(pair: Pair, file: Path | str | None) -> None:
    one, other = pair.plausible.slots, pair.implausible.slots
    if one is None or other is None or [slot.scored for slot in one] != [slot.scored for slot in other]:
        raise InputError(
            f"the slots of {pair.plausible.id!r} and {pair.implausible.id!r} do not lie over each other",
            file=file,
            field="slots",
            remedy="Twins have ledgers of the same length, with their word spaces in the same places.",
        )


def left_out(rows: Sequence[Row]) -> int:
    """How many rows have a twin that is not there."""
    names = Counter((twin[0], row.field, row.severity) for row in rows if (twin := twin_of(row)) is not None)
    return sum(count == 1 for count in names.values())
