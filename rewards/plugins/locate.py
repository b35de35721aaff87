"""From the string that names a reward to the Python object it names: module, file, shipped name, entry point.

Everything that can be wrong with the name itself is told here, as an InputError with the nearest right name.
Finding an object imports its module, which runs it: name only code that you would run.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from kie_hvqa.config import nearest
from kie_hvqa.errors import InputError

GROUP = "kie_hvqa.rewards"
SHIPPED: dict[str, str] = {
    "faithful": "rewards.faithful:faithful",
    "kie_hvqa_paper": "rewards.kie_hvqa_paper:kie_hvqa_paper",
    "uncertainty_tags": "rewards.uncertainty_tags:uncertainty_tags",
    "format": "rewards.format:format",
    "length": "rewards.length:length",
    "draft_leak": "rewards.draft_leak:draft_leak",
    "absent": "rewards.absent:absent",
    "box": "rewards.box:box",
}


def resolve(path: str, base: Path | None = None) -> Any:
    """The object that ``path`` names; ``base`` is the folder of the recipe (default: the working directory).

    Raises InputError when it leads nowhere, to something broken, or to something that cannot be called.
    """
    module_name, colon, name = path.rpartition(":")
    if not colon:
        return _resolve_bare(path)
    if not module_name or not name:
        raise InputError(
            "not a reward path", field=path, remedy="Write package.module:name, ./file.py:name or a listed name."
        )
    module = _file_module(module_name, path, base) if module_name.endswith(".py") else _module(module_name, path)
    target: Any = module
    for part in name.split("."):
        if not hasattr(target, part):
            known = [n for n in dir(target) if not n.startswith("_") and callable(getattr(target, n, None))]
            raise InputError(f"`{module_name}` holds no `{part}`", field=path, remedy=nearest(part, known))
        target = getattr(target, part)
    if not callable(target):
        raise InputError(f"a {type(target).__name__} cannot be called", field=path, remedy="Name a function.")
    return target


def _resolve_bare(name: str) -> Any:
    points = [p for p in entry_points() if p.name == name and p.value != SHIPPED.get(name)]
    values = sorted({p.value for p in points})
    found = [SHIPPED[name], *values] if name in SHIPPED else values
    if len(found) > 1:
        raise InputError(
            f"this name leads to {' and '.join(found)}", field=name, remedy="Name the one you mean by its path."
        )
    if not found:
        known = {*SHIPPED, *(p.name for p in entry_points())}
        raise InputError("no reward of this name", field=name, remedy=nearest(name, known))
    return resolve(found[0])


def _module(name: str, path: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or name
        if name == missing or name.startswith(f"{missing}."):
            raise InputError(
                f"no module `{missing}`", field=path, remedy="Install its package, or name a file as ./file.py:name."
            ) from None
        raise InputError(
            f"its module needs `{missing}`, which is not installed", field=path, remedy=f"Install `{missing}`."
        ) from error
    except (Exception, SystemExit) as error:  # a plug-in may raise anything while it is imported
        raise _import_failed(error, path) from error


def _file_module(name: str, path: str, base: Path | None) -> ModuleType:
    file = Path(name).expanduser()
    file = (file if file.is_absolute() else (base or Path.cwd()) / file).resolve()
    if not file.is_file():
        raise InputError(
            f"no such file: {file}", field=path, remedy="The path is relative to the recipe that names it."
        )
    # One name a file, so that loading it twice gives one module and its classes stay themselves.
    module_name = f"kie_hvqa_reward_{file.stem}_{hashlib.sha256(str(file).encode()).hexdigest()[:12]}"
    if module_name in sys.modules:
        return sys.modules[module_name]
    spec = importlib.util.spec_from_file_location(module_name, file)
    assert spec is not None and spec.loader is not None  # a .py file always has a loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    # As where Python runs the file itself, it may import what lies beside it; last, so that it hides nothing installed.
    if str(file.parent) not in sys.path:
        sys.path.append(str(file.parent))
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[module_name]
        if not isinstance(error, Exception | SystemExit):
            raise
        raise _import_failed(error, path) from error
    return module


def _import_failed(error: Exception | SystemExit, path: str) -> InputError:
    line = getattr(error, "lineno", None)  # of a SyntaxError
    if isinstance(error, SystemExit):
        return InputError(
            f"it ends the program when it is imported (SystemExit: {error})",
            field=path,
            remedy='Keep what a script does under `if __name__ == "__main__":`.',
        )
    return InputError(
        f"it fails when imported ({type(error).__name__}: {error})", field=path, line=line, remedy="Mend the module."
    )


def entry_points() -> list[importlib.metadata.EntryPoint]:
    """The installed plug-ins, none of them imported, in a stable order."""
    return sorted(importlib.metadata.entry_points(group=GROUP), key=lambda point: (point.name, point.value))
