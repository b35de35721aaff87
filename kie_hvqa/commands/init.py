"""``kie-hvqa init``: a folder to start from: recipes that stand on the shipped ones, a reward, and the lines that run them."""

from __future__ import annotations

import argparse
from pathlib import Path


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "init", help="write a starting folder for a project of your own", description=__doc__
    )
    parser.add_argument("out", type=Path, metavar="DIR", help="a new folder")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    import shutil

    from kie_hvqa.console import say
    from kie_hvqa.data.files import building
    from kie_hvqa.errors import InputError
    from kie_hvqa.shipped import CONFIGS

    if args.out.exists():
        raise InputError("this exists already", file=args.out, remedy="Name a new folder.")
    with building(args.out) as part:
        shutil.copytree(CONFIGS / "init", part, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    for path in sorted(args.out.iterdir()):
        say(f"wrote {path}")
    say(f"\n{args.out / 'README.md'} says what to run")
