"""Rewards in worker processes, under a deadline that nothing in them can outlast.

A reward that hangs stalls every rank, and one that raises ends the run. Here each reward has a process of its
own, started once. A call that outlasts its deadline, dies, runs out of memory, raises, or returns what is not a
reward yields ``None`` for its samples: excluded, not zero, counted, with its traceback. A hung worker is killed
with SIGKILL, its children too, which also ends a synchronous endless loop or a regular expression that holds
the interpreter, and a fresh one takes its place. After ``quarantine_after`` failures in a row the reward is
left out for good, or the run is stopped, as configured; it is stopped in any case when nothing is left that pays.

    with Sandbox(load_rewards(specs), SandboxConfig(deadline_s=5)) as sandbox:
        trainer = GRPOTrainer(reward_funcs=sandbox.rewards, ...)

It guards against accidents, not against malice: a worker has the rights of the user who trains. Of the environment it
gets what a Python program needs and what ``environment`` names, so that no key lies in it that it has no use for. Calls
and answers are numbered: an answer that is not that to the call is a failure, and its worker is killed. What crosses
over is data: ``image``, ``images``, ``trainer_state``, ``environments`` and ``completion_ids`` only for a reward
whose signature names them, ``log_metric`` and ``log_extra`` as calls that are replayed here. Rows of one group
that are equal are sent once, so a reward must not write into its columns.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal

from pydantic import Field

from kie_hvqa.config import Config
from kie_hvqa.errors import InputError, WorkError
from rewards.contract import Completion, Rewards
from rewards.plugins.spec import LoadedReward
from rewards.plugins.wire import REPLY, TRAINER_NUMBERS, BrokenFrame, pack, receive, send, unpack
from rewards.plugins.worker import checked

logger = logging.getLogger(__name__)

_COUNTERS = ("failures", "failures_in_a_row", "cut", "quarantined", "last_failure")
_ENVIRONMENT = re.compile(
    "PATH|HOME|USER|LOGNAME|SHELL|TERM|TZ|LANG|LANGUAGE|LC_.*|TMPDIR|TEMP|TMP|VIRTUAL_ENV|CONDA_PREFIX|PYTHON.*|LD_LIBRARY_PATH"
    "|LD_PRELOAD|XDG_.*|OPENBLAS_NUM_THREADS|MKL_NUM_THREADS|CUDA_VISIBLE_DEVICES|HF_HOME|HF_HUB_OFFLINE|HF_HUB_CACHE"
)
"""What a Python program may need to run and to find its libraries. No name of a secret is among them."""
ON_DEMAND = frozenset({"image", "images", "trainer_state", "environments", "completion_ids"})


class SandboxConfig(Config):
    """How long, how much and how often a reward may go wrong."""

    deadline_s: float = Field(default=30.0, gt=0)
    start_deadline_s: float = Field(default=120.0, gt=0)
    memory_mb: int = Field(default=4096, gt=0)
    max_characters: int = Field(default=20_000, gt=0)
    quarantine_after: int = Field(default=3, gt=0)
    on_quarantine: Literal["exclude", "stop"] = "stop"
    private: bool = False
    """Of a failure only its kind is logged and kept: a traceback may quote a value."""
    environment: list[str] = []
    """Names of environment variables that the rewards need (a judge's key): others than these do not reach them."""


class Failure(Exception):
    """One call that yielded nothing; its text is the reason or the worker's traceback."""


class Worker:
    """One process that serves one reward. Not safe for two threads at once."""

    def __init__(self, reward: LoadedReward, config: SandboxConfig) -> None:
        self.reward = reward
        self.config = config
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._ready = False
        self._number = 0  # of the last frame sent to this process

    @property
    def process_id(self) -> int | None:
        """The operating system's number of the worker; None where none runs."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the process and do not wait for it."""
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "rewards.plugins.worker", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # its children can be killed with it
                env=worker_environment(os.environ, self.config.environment),
                stdin=subprocess.DEVNULL,
            )
        self._socket = ours
        spec = self.reward.spec.model_dump()
        base = self.reward.base
        limits = {name: getattr(self.config, name) for name in ("memory_mb", "deadline_s", "private")}
        self._number = 0
        send(
            ours, self._number, pack((spec, None if base is None else str(base), limits)), self.config.start_deadline_s
        )

    def wait_ready(self) -> None:
        """Wait until the reward is loaded; InputError if the worker cannot load what was loaded here."""
        if self._ready:
            return
        if self._process is None:
            self.start()
        try:
            state, message = self._receive(self.config.start_deadline_s)
        except TimeoutError:
            self.kill()
            raise Failure(f"its worker was not ready within {self.config.start_deadline_s:g} s") from None
        except BrokenFrame as error:
            self.kill()
            raise Failure(f"its worker gave no proper sign of being ready ({error})") from None
        if state != "ready":
            self.kill()
            raise InputError(
                f"it cannot be loaded in a worker: {message}",
                field=self.reward.spec.function,
                remedy="Mend the plug-in.",
            )
        self._ready = True

    def call(self, arguments: dict[str, Any]) -> tuple[Rewards, list[tuple[str, tuple[Any, ...]]]]:
        """The rewards and the trainer calls to replay. Raises Failure; the worker is fit for the next call."""
        try:
            payload = pack(arguments)
        except Exception as error:  # whatever a column's own pickling raises
            raise Failure(f"a column cannot be sent to the worker ({type(error).__name__}: {error})") from None
        try:
            self.wait_ready()
        except InputError as error:  # it loaded once, so this is the plug-in's failure and not the recipe's
            raise Failure(str(error)) from None
        assert self._socket is not None
        end = time.monotonic() + self.config.deadline_s
        try:
            self._number += 1
            send(self._socket, self._number, payload, self.config.deadline_s)
            state, *rest = self._receive(max(0.001, end - time.monotonic()))
            if state not in ("scored", "failed") or (
                len(rest[0]) != len(arguments["completions"]) and state == "scored"
            ):
                raise BrokenFrame(f"it says {state!r} about {len(arguments['completions'])} completions")
        except TimeoutError:
            self.restart()
            raise Failure(f"no answer within {self.config.deadline_s:g} s: its worker was killed") from None
        except OSError as error:
            raise Failure(self._died(error)) from None
        except BrokenFrame as error:
            self.restart()
            raise Failure(f"its worker gave no proper answer ({error}) and was killed") from None
        if state == "failed":
            raise Failure(rest[0])
        return rest[0], rest[1]

    def restart(self) -> None:
        """Kill and begin anew; the next call waits for it to be ready."""
        self.kill()
        self.start()

    def kill(self) -> None:
        """SIGKILL to the worker and everything it started."""
        process, self._process, self._ready = self._process, None, False
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):  # it was gone already
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _receive(self, seconds: float) -> tuple[Any, ...]:
        assert self._socket is not None
        try:
            _, data = receive(self._socket, seconds, self._number, REPLY)
            return _reply(data)
        except TimeoutError:
            raise
        except OSError as error:
            if not self._ready:
                raise Failure(self._died(error)) from None
            raise

    def _died(self, error: OSError) -> str:
        process = self._process
        code = None
        if process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = process.wait(timeout=1.0)
        self.restart()
        how = "closed its pipe" if code is None else f"exited ({code})"
        if code is not None and code < 0:
            how = f"died of {signal.Signals(-code).name}"
        return f"its worker {how} ({error})"


def worker_environment(environment: Mapping[str, str], named: Sequence[str] = ()) -> dict[str, str]:
    """What of ``environment`` reaches a worker: what Python needs, and the variables that are ``named``."""
    kept = {name: value for name, value in environment.items() if name in named or _ENVIRONMENT.fullmatch(name)}
    return {**kept, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "OMP_NUM_THREADS": "1"}


def _reply(data: bytes) -> tuple[Any, ...]:
    """A worker's answer, of a shape that can be used. Raises BrokenFrame for anything else."""
    try:
        match unpack(data):
            case (("ready" | "broken" | "failed") as state, str(text)):
                return state, text
            case ("scored", list(rewards), list(replay)):
                if all(len(call) == 2 and call[0] in ("log_metric", "log_extra") for call in replay):
                    return "scored", checked(rewards, len(rewards)), replay
    except Exception as error:  # whatever unpickling raises
        raise BrokenFrame(f"{type(error).__name__}: {error}") from None
    raise BrokenFrame("it has another shape")


class SandboxedReward(LoadedReward):
    """A reward under TRL's contract whose work is done, and may fail, in another process."""

    def __init__(self, reward: LoadedReward, config: SandboxConfig) -> None:
        super().__init__(reward.spec, reward.function, reward.base, reward.name, reward.bound)
        self.config = config
        self.worker = Worker(reward, config)
        self.failures = 0
        self.failures_in_a_row = 0
        self.cut = 0
        self.quarantined = False
        self.failed = False
        """Whether the last call failed: what it paid nothing for is not to be scored by the other rewards either."""
        self.given_up: str | None = None
        """Why the run has to end. The call that found out yields None for its samples, so that the processes of a run can
        end it together; the next one raises."""
        self.last_failure = ""
        self.all: Sequence[SandboxedReward] = (self,)
        """The rewards of the same run; ``Sandbox`` sets it."""
        self._named = frozenset(_names(reward.function))
        self._lock = threading.Lock()

    def __call__(self, prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> Rewards:
        with self._lock:
            return self._score(prompts, completions, columns)

    def _score(self, prompts: Sequence[Any], completions: Sequence[Any], columns: dict[str, Any]) -> Rewards:
        log_metric = columns.pop("log_metric", None)
        log_extra = columns.pop("log_extra", None)
        nothing: Rewards = [None] * len(completions)
        self.failed = False
        if self.given_up is not None:
            raise WorkError(self.given_up)
        if self.quarantined:
            return nothing
        short, cut = cut_completions(completions, self.config.max_characters)
        self.cut += cut
        arguments = {
            "prompts": prompts,
            "completions": short,
            **{name: value for name, value in columns.items() if name not in ON_DEMAND or name in self._named},
            "log_metric": log_metric is not None,
            "log_extra": log_extra is not None,
        }
        if hasattr(state := arguments.get("trainer_state"), "global_step"):
            arguments["trainer_state"] = None
            arguments[TRAINER_NUMBERS] = _numbers(state)
        try:
            rewards, replay = self.worker.call(arguments)
        except Failure as failure:
            rewards, replay, self.failed = nothing, [], True
            self._failed(str(failure))
        else:
            self.failures_in_a_row = 0
        for name, values in replay:
            target = log_metric if name == "log_metric" else log_extra
            if target is not None:
                target(*values)
        if log_metric is not None:
            log_metric(f"sandbox/{self.name}/failed", float(self.failed))
            log_metric(f"sandbox/{self.name}/cut", cut / max(1, len(completions)))
        return rewards

    def _failed(self, reason: str) -> None:
        self.failures += 1
        self.failures_in_a_row += 1
        self.last_failure = reason
        logger.warning("reward %s failed (%d so far): %s", self.name, self.failures, reason)
        if self.failures_in_a_row < self.config.quarantine_after:
            return
        message = (
            f"reward `{self.name}` ({self.spec.function}) failed {self.failures_in_a_row} times in a row; "
            f"the last time: {reason}"
        )
        self.worker.kill()
        if self.config.on_quarantine == "stop":
            self.given_up = message
            return
        self.quarantined = True
        if all(reward.quarantined or not reward.weight for reward in self.all):
            self.given_up = f"{message}. No other reward is left, so there is nothing to train for"
            return
        logger.error("%s. It is left out from here on: every one of its rewards is None.", message)

    def counters(self) -> dict[str, Any]:
        """What a checkpoint has to know of this reward, as JSON."""
        return {name: getattr(self, name) for name in _COUNTERS}

    def restore(self, counters: Mapping[str, Any]) -> None:
        """Go on where ``counters`` (of ``counters()``) left off; a quarantined reward gets no worker."""
        for name in _COUNTERS:
            setattr(self, name, counters[name])
        if self.quarantined:
            self.worker.kill()

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a sandboxed reward lives in the process that started its worker")


class AsyncSandboxedReward(SandboxedReward):
    """The same for an ``async def``: several of them wait for their workers side by side."""

    @property
    def is_async(self) -> bool:
        return True

    async def __call__(self, prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> Rewards:  # type: ignore[override]
        return await asyncio.to_thread(SandboxedReward.__call__, self, prompts, completions, **columns)


class Sandbox:
    """The worker processes of a run. Leaving the ``with`` block, or ``close``, kills them."""

    def __init__(self, rewards: Sequence[LoadedReward], config: SandboxConfig | None = None) -> None:
        config = config or SandboxConfig()
        boxed = [(AsyncSandboxedReward if reward.is_async else SandboxedReward)(reward, config) for reward in rewards]
        for reward in boxed:
            reward.all = boxed
        self.rewards: list[LoadedReward] = list(boxed)

    def start(self) -> Sandbox:
        """Start every worker, then wait for all: they load side by side. Raises InputError or WorkError."""
        workers = [reward.worker for reward in self.rewards if isinstance(reward, SandboxedReward)]
        try:
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.wait_ready()
        except BaseException as error:
            self.close()
            if isinstance(error, Failure):
                raise WorkError(f"a reward could not be started: {error}") from None
            raise
        return self

    def close(self) -> None:
        for reward in self.rewards:
            if isinstance(reward, SandboxedReward):
                reward.worker.kill()

    def __enter__(self) -> Sandbox:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def cut_completions(completions: Sequence[Completion], most: int) -> tuple[list[Completion], int]:
    """Completions of at most ``most`` characters a text, and how many had to be cut."""
    cut = 0
    short: list[Completion] = []
    for completion in completions:
        if isinstance(completion, str):
            if len(completion) > most:
                completion, cut = completion[:most], cut + 1
        elif any(len(message.get("content") or "") > most for message in completion):
            completion = [
                {**m, "content": m["content"][:most]} if isinstance(m.get("content"), str) else m for m in completion
            ]
            cut += 1
        short.append(completion)
    return short, cut


def _numbers(state: Any) -> dict[str, Any]:
    """The trainer's state as far as it is numbers and words. Its log grows with the run, a worker that had to read its class
    would have to load transformers, and what is plain keeps the whole call off pickle (``rewards.plugins.wire``)."""
    kept = {name: value for name, value in vars(state).items() if isinstance(value, int | float | str | None)}
    return {name: float(value) if isinstance(value, float) else value for name, value in kept.items()}


def _names(function: Callable[..., Any]) -> list[str]:
    try:
        return list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return []
