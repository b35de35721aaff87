"""The command line: ``kie-hvqa SUBCOMMAND …``, one small module a subcommand in ``kie_hvqa/commands``.

This file does two things. It builds the parser without importing anything heavy, so that ``--help`` and the
subcommands that need no torch start at once. And it is the one place where an exception becomes an exit
status: 0 done, 1 the work failed, 2 the input or the arguments are wrong, 130 interrupted. Whatever else
escapes is a bug and keeps its traceback.

    kie-hvqa --help
    kie-hvqa eval --data data/cards --reader embedded --out runs/first
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from kie_hvqa import __version__
from kie_hvqa.console import quieted
from kie_hvqa.errors import InputError, WorkError
from kie_hvqa.extras import lacking

COMMANDS = (
    "init",
    "simulate",
    "degrade",
    "sft",
    "grpo",
    "forget",
    "read",
    "eval",
    "score",
    "calibrate",
    "report",
    "compare",
    "rewards",
    "serve",
    "merge",
    "demo",
)

_STAGES = ("sft", "grpo", "forget")  # in a room of their own

# The machine's state, not a bug and not the user's data: these keep their message and lose their traceback.
_MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kie-hvqa",
        description="What does a reader say about a damaged document, and do the pixels support it?",
        epilog="Exit status: 0 done, 1 the work failed, 2 the input or the arguments are wrong.",
    )
    parser.add_argument("--version", action="version", version=f"kie-hvqa {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="SUBCOMMAND", required=True)
    for name in COMMANDS:
        import_module(f"kie_hvqa.commands.{'stages.' if name in _STAGES else ''}{name}").add(subparsers)
        described = subparsers.choices[name]
        described.add_argument(
            "--quiet", action="store_true", help="no progress and no summary: warnings and errors alone"
        )
        described.description = _plain(name, described.description or "")
    return parser


def _plain(name: str, docstring: str) -> str:
    """A module's docstring as a description for a terminal: without the command's own name before it, and without markup."""
    text = docstring.removeprefix(f"``kie-hvqa {name}``: ").replace("``", "")
    return text[:1].upper() + text[1:]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand and return its exit status."""
    args = build_parser().parse_args(argv)
    try:
        with quieted(args.quiet):
            status: int | None = args.run(args)
        return status or 0
    except (InputError, WorkError) as error:
        return _fail(args.command, str(error), error.exit_status)
    except ModuleNotFoundError as error:
        if (told := lacking(error)) is None:
            raise
        return _fail(args.command, str(told), told.exit_status)
    except KeyboardInterrupt:
        return _fail(args.command, "interrupted", 130)
    except BrokenPipeError:
        # Whoever read our output (`| head`) has enough. Python would complain once more while closing stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno not in _MACHINE:
            raise
        return _fail(args.command, str(error), 1)


def _fail(command: str, message: str, status: int) -> int:
    sys.stdout.flush()
    print(f"kie-hvqa {command}: {message}", file=sys.stderr)
    return status
