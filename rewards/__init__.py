"""Rewards: what training pays for, as plug-ins under TRL's own contract.

A reward is ``f(prompts, completions, **columns) -> list[float | None]`` (``contract``), a thin function over a
pure scoring function. ``faithful`` is the one this project
stands for, the others are the published ones and small helpers; ``golden`` and ``redteam`` are the completions
that every reward has to put in the right order. ``plugins`` finds a reward, runs it where it can hurt nobody, and
checks it. Nothing here imports torch or TRL.
"""
