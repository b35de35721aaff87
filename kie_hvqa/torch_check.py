"""One sentence instead of a stack of imports: is there a torch here, and does its torchvision fit it?

torch and torchvision are compiled against each other. Where an installer pairs a ``+cpu`` build of one with
a plain build of the other, ``import torchvision`` fails with ``operator torchvision::nms does not exist``,
and takes every Qwen2.5-VL processor with it, far from the cause. Every subcommand that needs torch calls
``require_torch`` first.
"""

from __future__ import annotations

import importlib
from importlib import metadata

from kie_hvqa.errors import InputError
from kie_hvqa.extras import remedy

MEND = "pip install --upgrade --force-reinstall torch torchvision"


def require_torch(extra: str = "local") -> None:
    """Import torch and torchvision, or raise an InputError that names both versions and the command that mends them.

    ``extra`` is what the command needs as a whole.
    """
    for name in ("torch", "torchvision"):
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if (error.name or name).split(".")[0] not in ("torch", "torchvision"):
                raise  # a part of them misses a package of its own: not this trap, keep the traceback
            raise InputError(
                f"this command needs torch and torchvision ({_installed()})",
                remedy=remedy(extra),
            ) from error
        except (RuntimeError, ImportError, OSError, AttributeError) as error:
            # RuntimeError: the operator that is not registered, or two CUDA versions; ImportError and OSError:
            # a symbol or a shared library that the other build would have had.
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise InputError(
                f"torch and torchvision do not fit each other ({_installed()}: {first})",
                remedy=f"Install a matching pair with no version bound: `{MEND}`",
            ) from error


def _installed() -> str:
    return ", ".join(f"{name} {_version(name)}" for name in ("torch", "torchvision"))


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
