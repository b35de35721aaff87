"""Damages documents while a model trains on them: the same documents, other questions and other damage each epoch.

``Stream`` is a map-style dataset as torch and datasets take them, without being a class of either. It keeps no state: which
epoch an item belongs to follows from its index, and the epoch enters the key that every draw comes from. So any
worker process makes the same item, persistent or not, shuffled or not, and a resumed run that skips to an index
goes on with the very images that it would have seen.

    stream = Stream(config, "train", epochs=3)         # three epochs behind each other
    DataLoader(stream.at(epoch), num_workers=2, …)     # or one at a time
    stream.at(epoch).up_to(3)                          # with light damage only

Training takes it by ``data: {simulate: configs/simulate/…}`` (``rl.rows.sources``).

A row of a stream replays from its log like a row on disk (``degradations.replay``); its id names the epoch.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

from degradations.config import SimulateConfig, Split
from degradations.documents import Document
from degradations.operators import Image
from degradations.pages import planned, split_of
from degradations.recent import Recent
from degradations.simulate import document_samples
from kie_hvqa.data.ledger import Row
from kie_hvqa.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image as Picture


class Stream:
    """The samples of ``split`` (None: of every split), epochs ``epoch`` to ``epoch + epochs - 1``, by index.

    An item is what ``datasets.load_dataset("imagefolder")`` gives for a written row: its columns, and ``image`` as a PIL
    image. Clean pages are kept in up to ``cache_mib`` MiB a process, the least recently used leave first.
    Raises InputError for a split without documents, and for an epoch or a number of epochs that cannot be.
    """

    def __init__(
        self,
        config: SimulateConfig,
        split: Split | None = "train",
        epoch: int = 0,
        *,
        epochs: int = 1,
        cache_mib: int = 256,
    ) -> None:
        if epoch < 0 or epochs < 1:
            raise InputError(
                f"epoch {epoch} and {epochs} epochs cannot be",
                field="epoch",
                remedy="Start at 0 or later, for 1 or more.",
            )
        self.config, self.split, self.epoch, self.epochs = config, split, epoch, epochs
        self._documents = array("Q", (i for i in range(config.count) if split in (None, split_of(config, i))))
        if not self._documents:
            raise InputError(f"no document is in split {split!r}", field="split", remedy="Give that split a share.")
        self._pages: Recent[int, Document] = Recent(cache_mib << 20, _bytes)

    def at(self, epoch: int) -> Stream:
        """The stream of that one epoch, with the pages that this one has drawn already."""
        other = Stream.__new__(Stream)
        other.__dict__.update(self.__dict__, epoch=epoch, epochs=1)
        return other

    def up_to(self, severity: int) -> Stream:
        """The same documents and questions with no severity above ``severity``, or the lightest where all are above."""
        allowed = {s: w for s, w in self.config.severities.items() if s <= severity}
        if not any(weight > 0 for weight in allowed.values()):
            allowed = {min(s for s, w in self.config.severities.items() if w > 0): 1.0}
        other = Stream.__new__(Stream)
        other.__dict__.update(self.__dict__, config=self.config.model_copy(update={"severities": allowed}))
        return other

    @property
    def rows_per_epoch(self) -> int:
        return len(self._documents) * self.config.questions_per_document

    def __len__(self) -> int:
        return self.rows_per_epoch * self.epochs

    def __getitem__(self, index: int) -> dict[str, Any]:
        from PIL import Image as Pictures

        row, image = self.sample(index)
        item: dict[str, Any] = row.to_json()
        del item["file_name"]
        picture: Picture = Pictures.fromarray(image)
        return {"image": picture, **item}

    def sample(self, index: int) -> tuple[Row, Image]:
        """Item ``index`` as a row and its image, uint8 [H, W, 3] RGB. Raises IndexError beyond the end."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"there is no item {index} among {len(self)}")
        turn, place = divmod(index % len(self), self.rows_per_epoch)
        which, question = divmod(place, self.config.questions_per_document)
        number = self._documents[which]
        document = self._pages.get(number, lambda: planned(self.config, number).render())
        return document_samples(self.config, number, question, epoch=self.epoch + turn, document=document)[0][:2]


def _bytes(document: Document) -> int:
    """About what a document takes in memory: its two pictures, and half a kibibyte for each printed character."""
    return document.image.nbytes + document.ground.nbytes + 512 * len(document.text)
