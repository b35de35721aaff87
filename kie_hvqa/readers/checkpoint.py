"""``reading.json``: what a model directory says about how its reader was taught to look and to answer.

A reader that was trained under one pixel budget and evaluated under another scores worse for no reason that
shows. So every stage writes this file beside the weights, and every later stage compares it with what it is
about to do, and refuses a mismatch by name (DESIGN §6). A directory without the file is somebody else's
model: ``read_contract`` says None and the caller brings its own settings.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path

from kie_hvqa.answers.answer import ANSWER_FORMAT
from kie_hvqa.answers.prompt import prompt_hash as hash_of
from kie_hvqa.config import nearest
from kie_hvqa.data.files import read_json, write_json
from kie_hvqa.data.pixels import PixelBudget
from kie_hvqa.errors import InputError

CONTRACT_FILE = "reading.json"


@dataclass(frozen=True, slots=True)
class ReadingContract:
    """Pixel budget (pixels), patch geometry (pixels, patches), prompt template and answer format of a reader."""

    min_pixels: int
    max_pixels: int
    patch_size: int
    merge_size: int
    prompt: str
    prompt_hash: str
    answer_format: str = ANSWER_FORMAT

    @property
    def budget(self) -> PixelBudget:
        return PixelBudget(self.min_pixels, self.max_pixels, self.patch_size * self.merge_size)

    @classmethod
    def current(
        cls, *, min_pixels: int, max_pixels: int, patch_size: int, merge_size: int, prompt: str
    ) -> ReadingContract:
        """The contract of a run with today's text of ``prompt`` and today's answer format."""
        return cls(min_pixels, max_pixels, patch_size, merge_size, prompt, hash_of(prompt))


def write_contract(directory: str | Path, contract: ReadingContract) -> None:
    write_json(Path(directory) / CONTRACT_FILE, asdict(contract))


def read_contract(directory: str | Path) -> ReadingContract | None:
    """The contract in ``directory``; None without the file. InputError for a damaged one, naming the key."""
    path = Path(directory) / CONTRACT_FILE
    if not path.is_file():
        return None
    data = read_json(path)
    if not isinstance(data, dict):
        raise InputError("not a mapping of keys to values", file=path, remedy="Train or export the model again.")
    known = {field.name: int if field.type == "int" else str for field in fields(ReadingContract)}
    for key in data:
        if key not in known:
            raise InputError("unknown key", file=path, field=str(key), remedy=nearest(str(key), known))
    for key, kind in known.items():
        if key not in data:
            raise InputError("this key is required", file=path, field=key, remedy="Train or export the model again.")
        if type(data[key]) is not kind:  # bool is an int to isinstance
            raise InputError(
                f"must be {kind.__name__}, not {data[key]!r}",
                file=path,
                field=key,
                remedy="Train or export the model again.",
            )
    return ReadingContract(**data)


def check_contract(expected: ReadingContract, found: ReadingContract, where: str | Path) -> None:
    """InputError naming the first key in which the model in ``where`` (``found``) and this run (``expected``) differ.

    A prompt under another name but with the same text is the same prompt.
    """
    for field in fields(ReadingContract):
        name = field.name
        wanted, got = getattr(expected, name), getattr(found, name)
        if wanted == got or (name == "prompt" and expected.prompt_hash == found.prompt_hash):
            continue
        raise InputError(
            f"the model was made with {got!r}, this run asks for {wanted!r}",
            file=Path(where) / CONTRACT_FILE,
            field=name,
            remedy=f"Run with {name} {got!r}, or choose another model.",
        )
