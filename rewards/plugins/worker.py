"""The process that a sandboxed reward runs in: loads one reward, then answers calls until its pipe closes.

Started by ``rewards.plugins.sandbox`` as ``python -m rewards.plugins.worker FD``; not for use by hand. What a plug-in prints goes
to standard error. The kernel's own timer ends the process a little after the deadline of a call even if the
trainer that should have killed it is gone. A process that a plug-in forked and let come back here ends at once: the
answer is its parent's to give.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import socket
import sys
import traceback
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from rewards.contract import Rewards
from rewards.plugins.spec import LoadedReward, RewardSpec, load_reward
from rewards.plugins.wire import TRAINER_NUMBERS, pack, receive, send, unpack

ORPHAN_GRACE_S = 2.0


def main(descriptor: int) -> None:
    connection = socket.socket(fileno=descriptor)
    os.dup2(2, 1)  # a plug-in may print
    number, first = receive(connection, None)
    spec, base, limits = unpack(first)
    process = os.getpid()
    limit = limits["memory_mb"] << 20
    # Anonymous memory, not address space: importing a large library maps gigabytes that it never touches.
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    try:
        reward = load_reward(RewardSpec.model_validate(spec), None if base is None else Path(base))
    except Exception as error:
        send(connection, number, pack(("broken", str(error))), 10.0)
        return
    send(connection, number, pack(("ready", reward.name)), 10.0)
    with asyncio.Runner() as runner:
        while True:
            try:
                number, request = receive(connection, None)
            except OSError:
                return  # the trainer is gone
            signal.setitimer(signal.ITIMER_REAL, limits["deadline_s"] + ORPHAN_GRACE_S)
            reply = _answer(reward, unpack(request), runner)
            if reply[0] == "failed":  # a traceback may quote a value
                reply = ("failed", reply[2 if limits["private"] else 1])
            if os.getpid() != process:
                os._exit(0)
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            send(connection, number, pack(reply), 10.0)


def _answer(reward: LoadedReward, arguments: dict[str, Any], runner: asyncio.Runner) -> tuple[Any, ...]:
    replay: list[tuple[str, tuple[Any, ...]]] = []
    # Only what the trainer offered: a reward may skip the work of logging where nobody listens.
    if (numbers := arguments.pop(TRAINER_NUMBERS, None)) is not None:
        arguments["trainer_state"] = SimpleNamespace(**numbers)
    if arguments.pop("log_metric", False):
        arguments["log_metric"] = lambda name, value: replay.append(("log_metric", (str(name), float(value))))
    if arguments.pop("log_extra", False):
        arguments["log_extra"] = lambda column, values: replay.append(("log_extra", (str(column), list(values))))
    try:
        result: Any = reward(**arguments)
        if reward.is_async:
            result = runner.run(_await(result))
        return ("scored", checked(result, len(arguments["completions"])), replay)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return ("failed", "".join(traceback.format_exception(error, limit=-8)).strip(), type(error).__name__)


async def _await(result: Any) -> Any:
    return await result


def checked(result: Any, count: int) -> Rewards:
    """``result`` as a list of ``count`` floats and Nones. Raises TypeError or ValueError where it is not one."""
    rewards = [None if value is None else float(value) for value in result]
    if len(rewards) != count:
        raise ValueError(f"{len(rewards)} rewards for {count} completions: return one for each")
    for value in rewards:
        if value is not None and value - value != 0.0:  # nan or infinite
            raise ValueError(f"a reward is {value}: return finite numbers, or None where it does not apply")
    return rewards


if __name__ == "__main__":
    main(int(sys.argv[1]))
