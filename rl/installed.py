"""Is this installation whole? One sentence and exit status 2 where it is not; the versions in use where it is.

Set-up ends with this, so that a broken pair of torch and torchvision, or an OpenCV without its libraries, is told
there and not in the middle of a run.

Run: python -m rl.installed
"""

from __future__ import annotations

import sys
from importlib import metadata

from kie_hvqa.errors import InputError
from kie_hvqa.torch_check import require_torch

_SHOWN = ("torch", "torchvision", "transformers", "trl", "deepspeed")


def check() -> str:
    """The versions that matter, in one line. Raises InputError naming what does not import and what mends it."""
    require_torch("train")
    try:
        import cv2  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"OpenCV does not import ({error})",
            remedy="Without a desktop's libraries its headless build does: "
            "`pip uninstall opencv-python` and then `pip install opencv-python-headless`",
        ) from error
    return ", ".join(f"{name} {metadata.version(name)}" for name in _SHOWN)


def main() -> int:
    try:
        print(check())
    except InputError as error:
        print(f"installation: {error}", file=sys.stderr)
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
