"""One module a subcommand: ``add(subparsers)`` declares its arguments, ``run(args)`` does it.

These modules import only argparse and pathlib at the top. Everything else, the other rooms included, is
imported inside ``run``, so that building the parser costs nothing.
"""

from __future__ import annotations

import argparse


def json_option(parser: argparse.ArgumentParser, what: str) -> None:
    """``--json``, for scripts: one object on standard output, and nothing else there."""
    parser.add_argument("--json", action="store_true", help=f"print {what} as one JSON object, and nothing else")
