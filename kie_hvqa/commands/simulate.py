"""``kie-hvqa simulate``: render documents, damage them, and write them with their ledgers.

Killed or out of disk, the same command goes on where it stopped. For several machines give each a ``--shard I/N``, and
put the shards together with ``--merge``: the dataset is the same byte for byte. ``--replay`` makes the image of one row
again.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from kie_hvqa.shipped import recipe_argument

if TYPE_CHECKING:
    from degradations.simulate import DatasetSummary


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "simulate", help="render and damage documents into a dataset directory", description=__doc__
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--config",
        type=recipe_argument("simulate"),
        metavar="RECIPE",
        help="a .yaml file, or a name from configs/simulate/",
    )
    what.add_argument("--merge", type=Path, nargs="+", metavar="DIR", help="put finished shards together")
    what.add_argument("--replay", metavar="ROW", help="make one row's image again: a row's JSON file, or DIR#id")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="dataset to write (--replay: .png file)")
    parser.add_argument("--count", type=int, metavar="N", help="number of documents, over the recipe's")
    parser.add_argument("--seed", type=int, metavar="S", help="dataset seed, over the recipe's")
    parser.add_argument(
        "--workers", type=int, default=1, metavar="W", help="processes; the result does not depend on it"
    )
    parser.add_argument("--shard", metavar="I/N", help="make the I-th of N parts only, the first being 1/N")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="any other key of the recipe")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    from kie_hvqa.console import say
    from kie_hvqa.errors import InputError

    if args.config is None:
        for name in ("count", "seed", "shard", "overrides"):
            if getattr(args, name) not in (None, []):
                raise InputError("belongs to --config", field=name, remedy="Leave it out.")
        say(_merge(args) if args.merge else _replay(args))
        return
    from degradations.simulate import WHOLE, Shard, SimulateConfig, write_dataset
    from kie_hvqa.config import load

    if args.workers < 1:
        raise InputError(f"must be at least 1, not {args.workers}", field="--workers", remedy="Mend the value.")
    shard = WHOLE if args.shard is None else Shard.parse(args.shard)
    overrides = list(args.overrides)
    overrides += [f"{key}={getattr(args, key)}" for key in ("count", "seed") if getattr(args, key) is not None]
    config = load(args.config, SimulateConfig, overrides)
    say(describe(write_dataset(config, args.out, workers=args.workers, progress=True, shard=shard)))


def _merge(args: argparse.Namespace) -> str:
    from degradations.storing.shards import merge_shards

    return describe(merge_shards(args.merge, args.out, progress=True))


def _replay(args: argparse.Namespace) -> str:
    from degradations.replay import replay_file

    found = replay_file(args.replay, args.out)
    same = "" if found.original is None else f", the same pixels as {found.original}"
    return f"wrote {args.out}: {found.row.id}{same}"


def describe(summary: DatasetSummary) -> str:
    """What was written, in lines for the terminal."""
    verb = "already there:" if summary.reused else "wrote"
    lines = [f"{verb} {summary.path}: {summary.rows} questions, {summary.images} images, {summary.documents} documents"]
    if summary.resumed:
        lines.append(f"went on after the {summary.resumed} documents that were there")
    return "\n".join([*lines, *(f"note: {note}" for note in summary.notes)])
