"""``kie-hvqa rewards``: list the rewards that a recipe can name, or check one against golden completions."""

from __future__ import annotations

import argparse


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "rewards", help="list rewards, or check a plug-in against golden completions", description=__doc__
    )
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    verbs.add_parser("list", help="every reward that a bare name reaches").set_defaults(run=run_list)
    check = verbs.add_parser("check", help="score golden completions with one reward")
    check.add_argument("spec", metavar="SPEC", help="a shipped name, package.module:name or ./file.py:name")
    check.add_argument("kwargs", nargs="*", metavar="key=value", help="its arguments, e.g. confidence_target=0.95")
    check.set_defaults(run=run_check)


def run_list(args: argparse.Namespace) -> None:
    from rewards.plugins.spec import list_rewards

    for reward in list_rewards():
        parameters = ", ".join(f"{name}={default}" for name, default in reward.parameters.items())
        print(f"{reward.name}  {reward.path}  ({reward.source})")
        for line in (reward.summary, parameters):
            if line:
                print(f"    {line}")


def run_check(args: argparse.Namespace) -> int:
    from kie_hvqa.config import assignments
    from rewards.plugins.check import check
    from rewards.plugins.spec import RewardSpec

    report = check(RewardSpec(function=args.spec, kwargs=assignments(args.kwargs)))
    print(report)
    return 0 if report.ok else 1
