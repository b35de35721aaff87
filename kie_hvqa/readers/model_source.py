"""Which files a model's name means: a local directory, an adapter over another model, or a model of the hub.

A directory with ``adapter_config.json`` is a LoRA adapter: its base model is what that file names, a directory (a relative
one is looked for beside the adapter, then here) or a hub id. Whatever lies in the adapter's own directory, its processor and
its ``reading.json``, goes before the base model's. A hub id is ``owner/name`` or ``owner/name@revision``; naming one
fetches its small files into the hub's own cache, and its weights when they are loaded, so that nothing large moves for
``--dry-run``. All of it works without torch.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from pathlib import Path

from kie_hvqa.answers.answer import ANSWER_FORMAT
from kie_hvqa.data.files import read_json, sha256
from kie_hvqa.errors import InputError
from kie_hvqa.readers.checkpoint import CONTRACT_FILE

ADAPTER_FILE = "adapter_config.json"
PROCESSOR_FILES = ("processor_config.json", "preprocessor_config.json")
_SMALL_FILES = ("*.json", "*.jinja", "*.txt", "*.model")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(?:@[\w./-]+)?")
_HASHED = (".json", ".jinja", ".txt", ".model", ".safetensors", ".bin")
_LARGE = 512 << 20  # bytes: hashing more than this costs more than a look at the file's state is worth


@dataclass(frozen=True, slots=True)
class ModelSource:
    """The places of one model's files.

    ``model`` holds ``config.json`` and, for a local model, the weights; ``adapter`` an adapter over it. ``hub`` is the
    ``owner/name`` of which ``model`` is the snapshot ``revision`` (a commit), without its weights as yet.
    """

    model: Path
    adapter: Path | None = None
    hub: str | None = None
    revision: str | None = None

    @property
    def processor(self) -> Path:
        """The directory whose processor counts."""
        if self.adapter is not None and any((self.adapter / name).is_file() for name in PROCESSOR_FILES):
            return self.adapter
        return self.model

    @property
    def contract(self) -> Path:
        """The directory whose ``reading.json`` counts."""
        return self.adapter if self.adapter is not None and (self.adapter / CONTRACT_FILE).is_file() else self.model

    def digest(self) -> str:
        """One SHA-256 over everything that decides an answer: the files, or the hub's commit, and the answer format."""
        parts = [ANSWER_FORMAT]
        parts += [f"{self.hub}@{self.revision}"] if self.hub else _fingerprints(self.model)
        parts += _fingerprints(self.adapter) if self.adapter else []
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def model_source(name: str) -> ModelSource:
    """The source that ``name`` means. InputError for a name that means none, saying which part is missing."""
    directory = Path(name)
    if directory.is_dir():
        directory = directory.resolve()
        return _adapted(directory) if (directory / ADAPTER_FILE).is_file() else ModelSource(directory)
    if _HUB_ID.fullmatch(name):
        return _of_hub(name)
    raise InputError("no such model", field=name, remedy="Name a model directory, an adapter directory or a hub id.")


def is_hub_id(name: str) -> bool:
    """Whether ``name`` could be a model of the hub."""
    return _HUB_ID.fullmatch(name) is not None


def _adapted(directory: Path) -> ModelSource:
    file = directory / ADAPTER_FILE
    settings = read_json(file)
    base = settings.get("base_model_name_or_path") if isinstance(settings, dict) else None
    if not isinstance(base, str) or not base:
        raise InputError("it names no base model", file=file, field="base_model_name_or_path", remedy="Add it.")
    beside = directory / base
    try:
        source = model_source(str(beside) if beside.is_dir() else base)
    except InputError as error:
        raise InputError(
            f"the adapter's base model cannot be found ({error.what})",
            file=file,
            field="base_model_name_or_path",
            remedy="Write there where the base model lies now.",
        ) from None
    if source.adapter is not None:
        raise InputError(
            f"its base model {base} is an adapter itself",
            file=file,
            field="base_model_name_or_path",
            remedy="Merge that one first.",
        )
    return replace(source, adapter=directory)


def _of_hub(name: str) -> ModelSource:
    from httpx2 import HTTPError
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    hub, _, revision = name.partition("@")
    try:
        snapshot = snapshot_download(hub, revision=revision or None, allow_patterns=list(_SMALL_FILES))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, HTTPError, OSError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise InputError(
            f"there is no such directory, and no such model can be fetched from the hub ({reason})",
            field=name,
            remedy="Check the name and the network, and set HF_TOKEN for a gated model.",
        ) from None
    directory = Path(snapshot)
    return ModelSource(directory, hub=hub, revision=directory.name)


def _fingerprints(directory: Path) -> list[str]:
    """``name hash`` of every file in ``directory`` that decides an answer.

    Files above 512 MiB count by size and modification time: the weights of a large model would take
    minutes to hash at every start.
    """
    lines = []
    for path in sorted(directory.iterdir()):
        if path.suffix not in _HASHED or not path.is_file():
            continue
        state = path.stat()
        lines.append(
            f"{path.name} {sha256(path) if state.st_size <= _LARGE else f'{state.st_size}:{state.st_mtime_ns}'}"
        )
    return lines
