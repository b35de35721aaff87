"""Recipes by name: ``--config cards`` is ``configs/simulate/cards.yaml`` of this installation, wherever one stands.

A name is a stage's own (``cards`` for ``simulate``), or says its stage (``grpo/tiny``). A file of that path comes first, so
that a recipe of one's own is never taken for a shipped one.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from kie_hvqa.errors import InputError

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
STAGES = ("simulate", "sft", "grpo", "forget")


def names(stage: str) -> list[str]:
    """The shipped recipes of ``stage``."""
    return sorted(path.stem for path in (CONFIGS / stage).glob("*.yaml"))


def recipe(stage: str, given: str) -> Path:
    """The file that ``given`` means, a path or a shipped name. Raises InputError for a bare name that is neither."""
    path = Path(given).expanduser()
    if path.is_file() or path.suffix in (".yaml", ".yml"):
        return path
    wanted, _, name = given.rpartition("/")
    if (wanted or stage) in STAGES and name in names(wanted or stage):
        return CONFIGS / (wanted or stage) / f"{name}.yaml"
    if path.parent != Path() or path.exists():
        return path  # whoever reads it says what is wrong with it
    from kie_hvqa.config import nearest

    raise InputError(
        "no such recipe", field=given, remedy=f"{nearest(given, names(stage))} A recipe of your own is a .yaml file."
    )


def recipe_argument(stage: str) -> Callable[[str], Path]:
    """``recipe`` as the type of a command line's argument."""

    def taken(given: str) -> Path:
        try:
            return recipe(stage, given)
        except InputError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return taken
