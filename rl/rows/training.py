"""Dataset rows as TRL takes them: made one by one, so that a run keeps paths in memory and not decoded images."""

from __future__ import annotations

from typing import Any

from datasets import Dataset

from kie_hvqa.answers.answer import Style, perfect, truth
from kie_hvqa.answers.boxes import Coordinates, of_field, written
from kie_hvqa.answers.prompt import messages
from kie_hvqa.data.ledger import Box, Row
from kie_hvqa.data.pixels import budgeted_size
from kie_hvqa.errors import InputError
from kie_hvqa.readers.checkpoint import ReadingContract
from rl.recipes import DataConfig
from rl.rows.curriculum import Curriculum
from rl.rows.sources import open_source


def target(row: Row, style: Style, box: Box | None = None) -> str:
    """The perfect answer about ``row`` in ``style``; the official one where there is no ledger, which cannot tell a mark from
    the space between two words. ``box`` is the field's, as the model writes it."""
    if style == "official" or row.slots is None:
        return f"<answer>{row.answer}</answer>"
    return perfect(row.slots, style, box)


class TrainingRows:
    """The rows that a recipe names, each as a dict that TRL's trainers and rewards understand.

    An item holds ``prompt`` (one user turn with the image's place), ``image`` (PIL RGB under the checkpoint's pixel
    budget), every column of the dataset row but the image's file name, ``box`` (where the field stands, in the numbers that the
    model would write: ``coordinates``; None where it is not known or nothing is due), and, where a ``target`` style is given,
    ``completion`` (the row's truth in that style, inside answer tags). InputError for boxes of a family that has no coordinates.
    """

    def __init__(
        self,
        data: DataConfig,
        contract: ReadingContract,
        *,
        target: Style | None = None,
        coordinates: Coordinates | None = None,
    ) -> None:
        if target == "with_box" and coordinates is None:
            raise InputError(
                "nobody here knows how this family of models writes a box", field="answer", remedy="Set it to explicit."
            )
        self._coordinates = coordinates
        self.source = open_source(data, split=data.split, limit=data.limit)
        self.curriculum: Curriculum | None = data.curriculum
        self.strata = data.strata
        self._contract = contract
        self._target = target

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.item(index, image=True)

    def item(self, index: int, *, image: bool) -> dict[str, Any]:
        """The item ``index``, with its ``image`` or, for who looks at columns only, without."""
        row = self.source.row(index)
        item: dict[str, Any] = row.to_json()
        del item["file_name"]
        item["prompt"] = messages(row, self._contract.prompt)
        box = item["box"] = self._box(index, row)
        if image:
            item["image"] = self.source.image(index, self._contract.budget)
        if self._target is not None:
            item["completion"] = [{"role": "assistant", "content": target(row, self._target, box)}]
        return item

    def _box(self, index: int, row: Row) -> Box | None:
        where = of_field(row.slots)
        if where is None or self._coordinates is None or truth(row.slots or ()).refused:
            return None
        page = self.source.size(index)
        return written(where, page, budgeted_size(*page, self._contract.budget), self._coordinates)

    def as_dataset(self) -> Dataset:
        """The same rows as TRL's trainers insist on them: row numbers, turned into items when they are asked for."""
        return Dataset.from_dict({"row": list(range(len(self)))}).with_transform(self._items)

    def _items(self, numbers: dict[str, list[int]]) -> dict[str, list[Any]]:
        # GRPO asks for a row once a completion: its image is read once, and the copies share it.
        known = {index: self[index] for index in dict.fromkeys(numbers["row"])}
        items = [known[index] for index in numbers["row"]]
        return {key: [item[key] for item in items] for key in items[0]}
