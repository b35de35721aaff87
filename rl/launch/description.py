"""What one machine tells the others about itself before a run, and what must be the same on all of them."""

from __future__ import annotations

import hashlib
import platform
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from kie_hvqa.data.files import sha256
from kie_hvqa.errors import InputError

PACKAGES = ("torch", "transformers", "trl", "deepspeed", "accelerate", "peft", "qwen-vl-utils", "kie-hvqa")
_ROOMS = ("kie_hvqa", "rewards", "rl")


@dataclass(frozen=True)
class Description:
    """One machine: its ``host`` name, ``versions`` of what runs, and hashes of ``code``, ``recipe`` and ``data``.

    ``layout`` is how many processes it takes each machine to have, ``8+8``. ``error`` is what its own preflight found
    wrong (None: nothing), with the exit ``status`` that goes with it.
    """

    host: str
    versions: dict[str, str] = field(default_factory=dict)
    code: str = ""
    recipe: str = ""
    data: str = ""
    layout: str = ""
    error: str | None = None
    status: int = 0


def described(said: Any) -> Description:
    """The description that another machine shows; where its launcher is another version's, one that says so."""
    try:
        return Description(**said)
    except TypeError:
        return Description("?", error="its launcher is of another version. Check the same commit out on all", status=2)


def describe(stage: str, config: Path, overrides: Sequence[str], data: Path | None, layout: str) -> Description:
    """This machine's description for a run of ``config``; ``data`` is the dataset of the recipe, None where it trains nothing."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    recipe = hashlib.sha256("\n".join([stage, config.read_text(encoding="utf-8"), *overrides]).encode())
    rows = "" if data is None else sha256(_rows(data))
    return Description(socket.gethostname(), versions, _code(), recipe.hexdigest(), rows, layout)


_MEND = {
    "this project's code": "Check the same commit out on both.",
    "the recipe": "Start both with the same recipe, the same key=value and options.",
    "the dataset": "Copy it from the one to the other, or share it.",
}


def agree(descriptions: Mapping[str, Description]) -> str:
    """Hold every machine's description (by its name in the placement) against the first one's.

    Returns what they agree on. Raises InputError naming the machine and the first thing in which it differs.
    """
    for name, found in descriptions.items():
        if found.error is not None:
            raise InputError(found.error.rstrip("."), field=f"{name} ({found.host})", remedy="Mend it on that machine.")
    (first_name, first), *others = descriptions.items()
    for name, other in others:
        for what, remedy in _differences(other, first):
            raise InputError(what, field=f"{name} ({other.host}) and {first_name} ({first.host})", remedy=remedy)
    return f"{len(descriptions)} machines agree on versions, processes, code, recipe and dataset"


def _differences(one: Description, other: Description) -> Iterator[tuple[str, str]]:
    """What is not the same on both, and what mends it. An empty hash is of a machine that has nothing to compare."""
    for package, version in other.versions.items():
        if one.versions.get(package) != version:
            said = f"{package} is {one.versions.get(package)} on the one and {version} on the other"
            yield said, "Install the same on both: pip install -c constraints.txt -e '.[train]'"
    if one.layout and other.layout and one.layout != other.layout:
        said = f"the one counts {one.layout} processes and the other {other.layout}"
        yield said, "Give both the same NNODES and NPROC, or the same hostfile."
    hashes = zip(_MEND, (one.code, one.recipe, one.data), (other.code, other.recipe, other.data), strict=True)
    for what, mine, theirs in hashes:
        if mine and theirs and mine != theirs:
            yield f"{what} is not the same on both", _MEND[what]


def _rows(data: Path) -> Path:
    return data / "metadata.jsonl" if data.is_dir() else data


def _code() -> str:
    home = Path(__file__).resolve().parents[2]
    found = hashlib.sha256()
    for room in _ROOMS:
        for path in sorted((home / room).rglob("*.py")):
            found.update(str(path.relative_to(home)).encode())
            found.update(path.read_bytes())
    return found.hexdigest()
