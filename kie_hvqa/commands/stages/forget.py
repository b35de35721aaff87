"""``kie-hvqa forget``: takes back what a reader memorised of people's cards, and reports what is left of it and what it cost."""

from __future__ import annotations

import argparse
import json

from kie_hvqa.commands.stages import prepare, recipe_options

KEYS = {"model": "model", "forget": "forget", "retain": "data.path", "strangers": "strangers", "out": "output_dir"}
METHODS = ("ga", "gd", "kl", "idk", "npo", "relearn")


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("forget", help="make a reader forget people, with a report", description=__doc__)
    parser.add_argument("--model", metavar="M", help="the reader that memorised them: a directory, or embedded")
    parser.add_argument("--forget", metavar="ROWS", help="dataset of the people to forget: covered and legible cards")
    parser.add_argument("--retain", metavar="ROWS", help="dataset of people to keep, of whom none is in the first")
    parser.add_argument("--strangers", metavar="ROWS", help="people whom the model never saw: what chance says")
    parser.add_argument("--out", metavar="DIR", help="folder for the model, forgetting.json and report.md")
    parser.add_argument("--method", choices=METHODS, help="relearn where the recipe says nothing else")
    parser.add_argument("--no-decoupled", action="store_true", help="without the term that keeps legible cards legible")
    recipe_options(parser, "forget", "training.max_steps=40", "tiny")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    from kie_hvqa.console import say

    prepare(args)
    from rl.forget.run import REPORT
    from rl.forget.run import run as forget

    given = {KEYS[name]: getattr(args, name) for name in KEYS} | {"method": args.method}
    overrides = [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in given.items() if value is not None]
    overrides += ["decoupled=0.0"] if args.no_decoupled else []
    model = forget(args.config, [*overrides, *args.overrides])
    report = model.parent / REPORT
    if report.is_file():  # the first process writes it
        say(f"wrote {model} and {report}")
