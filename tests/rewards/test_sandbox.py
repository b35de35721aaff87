"""The sandbox: whatever a plug-in does, a call comes back in time, and its samples are excluded, not scored 0."""

from __future__ import annotations

import asyncio
import inspect
import os
import re
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from transformers import TrainerState

from kie_hvqa.answers.answer import render, truth
from kie_hvqa.errors import InputError, WorkError
from rewards.golden import make_slots
from rewards.plugins.check import check
from rewards.plugins.sandbox import Sandbox, SandboxConfig, SandboxedReward, cut_completions
from rewards.plugins.spec import RewardSpec, load_rewards
from rewards.plugins.wire import pack, unpack
from rewards.plugins.worker import checked

PLUGIN = """
    import asyncio, ctypes, marshal, os, re, struct, subprocess, sys, time

    def mixed(prompts, completions, **columns):
        what = completions[0]
        if what == "loop":
            while True:
                pass
        if what == "regex":
            re.match(r"(a+)+$", "a" * 40 + "b")
        if what == "sleep":
            subprocess.Popen(["sleep", "60"]).wait()
        if what == "raise":
            raise KeyError("no such thing")
        if what == "die":
            os._exit(3)
        if what == "crash":
            ctypes.string_at(0)
        if what == "memory":
            bytearray(1 << 32)
        if what == "short":
            return [1.0]
        if what == "words":
            return ["good"] * len(completions)
        if what == "nan":
            return [float("nan")] * len(completions)
        if what == "print":
            print("a plug-in may talk", flush=True)
        if what == "exit":
            sys.exit("enough")
        return [float(len(c)) for c in completions]

    async def waits(prompts, completions, log_metric=None, **columns):
        await asyncio.sleep(0.01)
        if log_metric is not None:
            log_metric("waited", 0.01)
        return [None, 2]

    def columns_seen(prompts, completions, trainer_state=None, **columns):
        assert "completion_ids" not in columns and "image" not in columns and "log_extra" in columns
        columns["log_extra"]("length", [len(c) for c in completions])
        return [trainer_state["step"] + columns["severity"][0] + len(columns["slots"][1])]* len(completions)

    def same_pid(prompts, completions, **columns):
        return [float(os.getpid())] * len(completions)

    def forgets_columns(prompts, completions, **columns):
        return [time.time()] * len(completions)

    def forks(prompts, completions, **columns):
        os.fork()
        return [float(len(c)) for c in completions]

    def talks_on_the_wire(prompts, completions, **columns):
        wire = int(sys.argv[1])
        if completions[0] in FRAMES:
            os.write(wire, FRAMES[completions[0]])
        return [float(len(c)) for c in completions]

    def frame(number, content, length=None):
        return struct.pack("<QQ", number, len(content) if length is None else length) + content

    FRAMES = {
        "again": frame(1, b"m" + marshal.dumps(("scored", [9.0], []), 2)),
        "ahead": frame(99, b"m" + marshal.dumps(("scored", [9.0], []), 2)),
        "long": frame(1, b"", 1 << 62),
        "torn": frame(1, b"m[[[["),
        "no pickle": frame(1, b"p" + b"\\x80garbage"),
        "empty": frame(1, b""),
        "another shape": frame(1, b"m" + marshal.dumps({"rewards": [9.0]}, 2)),
        "another count": frame(1, b"m" + marshal.dumps(("scored", [9.0, 9.0, 9.0], []), 2)),
        "another call": frame(1, b"m" + marshal.dumps(("scored", [9.0], [("system", ())]), 2)),
        "not ours": b"\\xff" * 40,
    }

    def environment(prompts, completions, **columns):
        seen = sorted(name for name in os.environ if "KEY" in name or "TOKEN" in name or name == "JUDGE_URL")
        raise RuntimeError(f"sees {seen}")

    def pays_for_noise(prompts, completions, **columns):
        return [float(len(c[0]["content"])) for c in completions]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plugin")
    (folder / "plugin.py").write_text(textwrap.dedent(PLUGIN))
    return folder


def sandbox(folder: Path, name: str, **config: object) -> Sandbox:
    rewards = load_rewards([RewardSpec(function=f"./plugin.py:{name}")], base=folder)
    return Sandbox(rewards, SandboxConfig(**config))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def mixed(folder: Path) -> Iterator[SandboxedReward]:
    with sandbox(folder, "mixed", deadline_s=3.0, quarantine_after=100, memory_mb=1024) as box:
        yield box.rewards[0]  # type: ignore[misc]


def test_a_reward_that_forks_is_paid_once_and_for_its_own_batch(folder: Path) -> None:
    with sandbox(folder, "forks", quarantine_after=100) as box:
        (reward,) = box.rewards
        for length in range(1, 9):
            assert reward(["p"], ["x" * length]) == [float(length)]
        assert reward.failures == 0  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "what",
    ["ahead", "long", "torn", "no pickle", "empty", "another shape", "another count", "another call", "not ours"],
)
def test_a_broken_frame_is_one_failure_and_the_next_batch_is_paid_for_itself(folder: Path, what: str) -> None:
    with sandbox(folder, "talks_on_the_wire", quarantine_after=100) as box:
        (reward,) = box.rewards
        assert reward(["p"], [what]) == [None]
        assert "no proper answer" in reward.last_failure  # type: ignore[attr-defined]
        assert reward(["p"], ["xyz"]) == [3.0] and reward.failures == 1  # type: ignore[attr-defined]


def test_an_answer_that_comes_twice_does_not_pay_the_next_batch(folder: Path) -> None:
    with sandbox(folder, "talks_on_the_wire", quarantine_after=100) as box:
        (reward,) = box.rewards
        assert reward(["p"], ["again"]) == [9.0]  # the first answer to the call, whoever wrote it
        assert reward(["p"], ["xyz"]) == [None]  # its second answer, where one to this call was due
        assert reward(["p"], ["wxyz"]) == [4.0]


def test_of_a_private_failure_only_its_kind_is_kept(folder: Path) -> None:
    with sandbox(folder, "mixed", private=True, quarantine_after=100) as box:
        (reward,) = box.rewards
        assert reward(["p"], ["raise"]) == [None]
        assert reward.last_failure == "KeyError"  # type: ignore[attr-defined]


def test_a_worker_sees_no_key_that_its_recipe_does_not_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "JUDGE_URL"):
        monkeypatch.setenv(name, "secret")
    for named, sees in (([], "[]"), (["JUDGE_URL", "OPENAI_API_KEY"], "['JUDGE_URL', 'OPENAI_API_KEY']")):
        with sandbox(folder, "environment", quarantine_after=100, environment=named) as box:
            (reward,) = box.rewards
            assert reward(["p"], ["c"]) == [None]
            assert f"sees {sees}" in reward.last_failure  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("raise", "KeyError: 'no such thing'"),
        ("short", "1 rewards for 2 completions"),
        ("words", "could not convert string to float"),
        ("nan", "a reward is nan"),
        ("exit", "SystemExit: enough"),
        ("memory", "MemoryError"),
        ("die", r"exited \(3\)"),
        ("crash", "died of SIGSEGV"),
    ],
)
def test_a_failing_call_yields_none_and_its_reason_and_the_next_one_works(mixed: SandboxedReward, what, reason):
    metrics: dict[str, float] = {}
    before = mixed.failures
    assert mixed(prompts=["p"] * 2, completions=[what, "b"], log_metric=metrics.__setitem__) == [None, None]
    assert mixed.failures == before + 1 and mixed.failures_in_a_row == 1
    assert metrics == {"sandbox/mixed/failed": 1.0, "sandbox/mixed/cut": 0.0}
    assert re.search(reason, mixed.last_failure), mixed.last_failure
    assert mixed(prompts=["p"] * 2, completions=["abc", "b"], log_metric=metrics.__setitem__) == [3.0, 1.0]
    assert metrics["sandbox/mixed/failed"] == 0.0 and mixed.failures_in_a_row == 0


@pytest.mark.parametrize("what", ["loop", "regex", "sleep"])
def test_a_hanging_call_is_killed_at_its_deadline(folder, what):
    with sandbox(folder, "mixed", deadline_s=2.0) as box:
        reward = box.rewards[0]
        assert reward(prompts=["p"], completions=["ready"]) == [5.0]
        process = reward.worker._process
        began = time.monotonic()
        assert reward(prompts=["p"], completions=[what]) == [None]
        assert time.monotonic() - began < 20.0
        assert process.poll() is not None  # gone, not abandoned
        assert "within 2 s" in reward.last_failure


def test_a_killed_worker_takes_its_children_with_it(folder):
    with sandbox(folder, "mixed", deadline_s=1.0) as box:
        reward = box.rewards[0]
        group = reward.worker._process.pid
        assert reward(prompts=["p"], completions=["sleep"]) == [None]
        deadline = time.monotonic() + 10.0
        while _alive(group) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not _alive(group)


def _alive(group: int) -> bool:
    for entry in Path("/proc").iterdir():
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except (OSError, IndexError):
            continue
        if len(fields) > 2 and fields[2] == str(group) and fields[0] != "Z":
            return True
    return False


def test_printing_does_not_disturb_the_pipe(mixed: SandboxedReward):
    assert mixed(prompts=["p"], completions=["print"]) == [5.0]


def test_workers_are_started_once_and_closed(folder):
    with sandbox(folder, "same_pid") as box:
        reward = box.rewards[0]
        first, second = (reward(prompts=["p"], completions=["x"]) for _ in range(2))
        assert first == second and first != [float(os.getpid())]
        process = reward.worker._process
    assert process.poll() is not None


def test_quarantine_leaves_the_reward_out_after_failures_in_a_row(folder, caplog):
    rewards = load_rewards([RewardSpec(function=f"./plugin.py:{name}") for name in ("mixed", "same_pid")], base=folder)
    with Sandbox(rewards, SandboxConfig(quarantine_after=2, on_quarantine="exclude")) as box:
        reward = box.rewards[0]
        fail, work = ["raise"], ["abc"]
        assert [reward(prompts=["p"], completions=c) for c in (fail, work, fail)] == [[None], [3.0], [None]]
        assert not reward.quarantined
        with caplog.at_level("ERROR"):
            assert reward(prompts=["p"], completions=fail) == [None]
        assert reward.quarantined and "failed 2 times in a row" in caplog.text and "no such thing" in caplog.text
        assert reward(prompts=["p"], completions=work) == [None]


@pytest.mark.parametrize("weight", [0.0, None])
def test_a_run_stops_when_nothing_is_left_that_pays(folder, weight):
    """Alone, or beside a reward that only watches."""
    specs = [RewardSpec(function="./plugin.py:mixed")]
    specs += [] if weight is None else [RewardSpec(function="./plugin.py:same_pid", weight=weight)]
    config = SandboxConfig(quarantine_after=1, on_quarantine="exclude")
    with Sandbox(load_rewards(specs, base=folder), config) as box:
        assert box.rewards[0](prompts=["p"], completions=["raise"]) == [None]
        with pytest.raises(WorkError, match=r"(?s)KeyError.*nothing to train for"):
            box.rewards[0](prompts=["p"], completions=["abc"])


def test_a_reward_that_is_lost_stops_the_run(folder):
    """The call that finds out yields None, so that all processes of a run can stop in the same step; the next raises."""
    message = r"(?s)reward `mixed` .* failed 2 times in a row.*KeyError"
    with sandbox(folder, "mixed", quarantine_after=2) as box:
        reward = box.rewards[0]
        assert reward(prompts=["p"], completions=["raise"]) == [None] and reward.failed and reward.given_up is None
        assert reward(prompts=["p"], completions=["raise"]) == [None] and reward.failed
        assert re.search(message, reward.given_up or "")
        with pytest.raises(WorkError, match=message):
            reward(prompts=["p"], completions=["abc"])


def test_a_call_that_works_has_not_failed(folder):
    with sandbox(folder, "mixed", quarantine_after=5) as box:
        box.rewards[0](prompts=["p"], completions=["raise"])
        assert box.rewards[0](prompts=["p"], completions=["abc"]) == [3.0] and not box.rewards[0].failed


def test_async_stays_async_and_metrics_come_home(folder):
    with sandbox(folder, "waits") as box:
        reward = box.rewards[0]
        assert inspect.iscoroutinefunction(reward.__call__) and reward.__name__ == "waits"
        metrics: dict[str, float] = {}
        result = asyncio.run(reward(prompts=["p"] * 2, completions=["a", "b"], log_metric=metrics.__setitem__))
        assert result == [None, 2.0]
        assert metrics["waited"] == 0.01
        assert asyncio.run(reward(prompts=["p"] * 2, completions=["a", "b"])) == [None, 2.0]


def test_heavy_columns_travel_only_where_they_are_named(folder):
    extra: dict[str, list[int]] = {}
    with sandbox(folder, "columns_seen") as box:
        rewards = box.rewards[0](
            prompts=["p"] * 2,
            completions=["ab", "c"],
            completion_ids=[[1], [2]],
            image=[object(), object()],
            trainer_state={"step": 40},
            severity=[2, 2],
            slots=[[{"char": "a"}], [{"char": "a"}]],
            log_extra=extra.__setitem__,
        )
    assert rewards == [43.0, 43.0]
    assert extra == {"length": [2, 1]}


def test_a_column_that_cannot_travel_is_a_counted_failure(mixed: SandboxedReward):
    before = mixed.failures
    assert mixed(prompts=["p"], completions=["abc"], handle=[lambda: None]) == [None]
    assert mixed.failures == before + 1 and "cannot be sent" in mixed.last_failure


def test_completions_are_cut_at_the_cap_and_counted():
    message = [{"role": "assistant", "content": "x" * 30}]
    short, cut = cut_completions(["a" * 30, "b", message], 10)
    assert short == ["a" * 10, "b", [{"role": "assistant", "content": "x" * 10}]]
    assert cut == 2 and len(message[0]["content"]) == 30


def test_sandboxed_faithful_pays_what_faithful_pays():
    slots = make_slots("Smith", "cchch")
    (reward,) = load_rewards([RewardSpec(function="faithful", weight=0.5, kwargs={"confidence_target": 0.5})])
    texts = [render(truth(slots), tags=True), "<answer>{", render(truth(make_slots("Smith", "ccccc")), tags=True)]
    columns = {"slots": [[slot.to_json() for slot in slots]] * 3, "question_kind": ["answerable"] * 3}
    metrics: dict[str, float] = {}
    with Sandbox([reward]) as box:
        boxed = box.rewards[0](prompts=[None] * 3, completions=texts, log_metric=metrics.__setitem__, **columns)
        assert box.rewards[0].weight == 0.5
    assert boxed == reward(prompts=[None] * 3, completions=texts, **columns)
    assert metrics["ledger/hallucination_free_accuracy"] == pytest.approx(1 / 3)


def test_a_plugin_that_fails_only_in_the_worker_says_so_at_the_start(folder):
    (folder / "vanishing.py").write_text("def f(completions, **columns):\n    return [0.0] * len(completions)\n")
    rewards = load_rewards([RewardSpec(function="./vanishing.py:f")], base=folder)
    (folder / "vanishing.py").unlink()
    with pytest.raises(InputError, match=r"cannot be loaded in a worker: .*no such file"):
        Sandbox(rewards).start()


@pytest.mark.parametrize(
    "value",
    [
        {"slots": [[{"a": 1.5}], [{"a": 1.5}], [{"a": 2.0}]], "id": ["x", "y", "z"], "n": [1, None, True]},
        {"column": [{1, 2}, {3}], "when": [Path("x")]},
        ("ready", "name"),
    ],
)
def test_what_is_packed_comes_out_again(value):
    assert unpack(pack(value)) == value


def test_checked_takes_numbers_and_none():
    assert checked((1, None, 0.5), 3) == [1.0, None, 0.5]
    with pytest.raises(ValueError, match="2 rewards for 3"):
        checked([1, 2], 3)
    with pytest.raises(TypeError):
        checked(None, 3)


def test_check_passes_every_shipped_reward_that_knows_the_truth():
    report = check("faithful")
    assert report.ok and not report.warnings, str(report)
    assert report.microseconds is not None
    table = str(report)
    assert "honest" in table and "unreadable" in table and "ok: it keeps the contract" in table


def test_check_takes_the_arguments_of_the_reward():
    command = [sys.executable, "-m", "kie_hvqa", "rewards", "check", "trl.rewards:get_soft_overlong_punishment"]
    done = subprocess.run(
        [*command, "max_completion_len=100", "soft_punish_cache=20"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and "ok: it keeps the contract" in done.stdout, done.stderr
    done = subprocess.run([*command, "max_completion_len=100"], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "it needs `soft_punish_cache`" in done.stderr


def test_check_warns_of_the_follow_ups_known_failures():
    report = check("uncertainty_tags")
    assert report.ok
    assert any(warning.startswith("`garbage_tagged` earns more") for warning in report.warnings)


@pytest.mark.parametrize(
    ("name", "found"),
    [("forgets_columns", "in another batch"), ("columns_seen", "AssertionError")],
)
def test_check_finds_broken_plugins(folder, name, found):
    report = check(f"./plugin.py:{name}", base=folder)
    assert not report.ok and "not ok: it breaks the contract" in str(report)
    assert any(re.search(found, failure) for failure in report.failures), report.failures


def test_check_warns_of_a_reward_that_pays_for_length(folder):
    report = check("./plugin.py:pays_for_noise", base=folder)
    assert report.ok and any("repetition" in warning for warning in report.warnings)


def test_check_survives_a_plugin_that_hangs(tmp_path):
    (tmp_path / "hangs.py").write_text("def f(completions, **columns):\n    while True:\n        pass\n")
    report = check("./hangs.py:f", base=tmp_path, deadline_s=0.2)
    assert not report.ok and any("no answer within 0.2 s" in failure for failure in report.failures)


def test_a_trainers_state_arrives_as_plain_numbers_and_keeps_the_call_off_pickle(tmp_path, monkeypatch):
    (tmp_path / "step.py").write_text(
        "def step(prompts, completions, trainer_state=None, **columns):\n"
        "    assert not hasattr(trainer_state, 'log_history')\n"
        "    return [float(trainer_state.global_step)] * len(completions)\n"
    )
    packed = []
    monkeypatch.setattr("rewards.plugins.sandbox.pack", lambda value: packed.append(pack(value)) or packed[-1])
    state = TrainerState(global_step=7, log_history=[{"loss": 1.0}], best_metric=np.float64(0.5))
    with Sandbox(load_rewards([RewardSpec(function="./step.py:step")], tmp_path)) as sandbox:
        assert sandbox.rewards[0](prompts=["p"], completions=["c"], trainer_state=state) == [7.0]
    assert packed[-1][:1] == b"m"
