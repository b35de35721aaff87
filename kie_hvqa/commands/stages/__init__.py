"""The stages of training as subcommands, and what they share: a recipe, single keys of it, and how much is said.

As in the folder above, nothing heavy is imported at the top.
"""

from __future__ import annotations

import argparse

from kie_hvqa.shipped import recipe_argument


def recipe_options(parser: argparse.ArgumentParser, stage: str, key: str, default: str | None = None) -> None:
    """``--config``, required unless ``default`` names a recipe of ``configs/STAGE``; ``key=value`` …, ``key`` for example; ``--verbose``."""
    parser.add_argument(
        "--config",
        required=default is None,
        default=None if default is None else f"{stage}/{default}",
        type=recipe_argument(stage),
        metavar="RECIPE",
        help=f"a .yaml file, or a name from configs/{stage}/" + ("" if default is None else f" (default: {default})"),
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help=f"single keys, e.g. {key}")
    parser.add_argument("--verbose", action="store_true", help="everything that is logged, and what libraries say")


def prepare(args: argparse.Namespace) -> None:
    """Before anything of ``rl`` is called. Raises InputError where what trains is not installed."""
    import os

    from kie_hvqa.torch_check import require_torch

    require_torch("train")
    from rl.console import VERBOSE

    if args.verbose:
        os.environ[VERBOSE] = "1"
