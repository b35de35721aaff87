"""Whether a reward can be trusted with a run: the golden and red-team completions put through it beforehand.

    kie-hvqa rewards check faithful
    kie-hvqa rewards check ./my_reward.py:my_reward

The reward runs in a worker process (``rewards.plugins.sandbox``), so a plug-in that hangs is a line in the report. What is
wrong under the contract is a *failure*: it raises, hangs, returns the wrong number of values or no numbers, or
depends on chance or on the order of the batch. What is merely unwise is a *warning*: some completion that does
not read earns more than the honest reading. A reward that does not look at the truth warns by its nature.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kie_hvqa.errors import WorkError
from rewards.contract import Rewards
from rewards.golden import HONEST, ORDER, Golden, columns_of, goldens
from rewards.plugins.sandbox import Sandbox, SandboxConfig, SandboxedReward
from rewards.plugins.spec import LoadedReward, RewardSpec, load_reward
from rewards.redteam import attacks

TOLERANCE = 1e-9


@dataclass(frozen=True)
class Scored:
    """One completion about one golden field, and what it earned (None: does not apply, or the call failed)."""

    golden: str
    answer: str
    reward: float | None
    attack: bool


@dataclass
class CheckReport:
    """What ``check`` found. ``ok`` is false when the reward breaks the contract; warnings do not change it."""

    name: str
    function: str
    is_async: bool
    scores: list[Scored] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    microseconds: float | None = None
    slowest_ms: float | None = None

    @property
    def ok(self) -> bool:
        return not self.failures

    def __str__(self) -> str:
        kind = "async" if self.is_async else "sync"
        lines = [f"{self.name} ({self.function}, {kind})", ""]
        lines += self._table()
        if self.microseconds is not None and self.slowest_ms is not None:
            lines += [
                "",
                f"time: {self.microseconds:.0f} µs a completion, {self.slowest_ms:.1f} ms for the slowest call",
            ]
        for title, found in (("failure", self.failures), ("warning", self.warnings)):
            lines += ["", *(f"{title}: {text}" for text in found)] if found else []
        lines += ["", "ok: it keeps the contract" if self.ok else "not ok: it breaks the contract"]
        return "\n".join(lines)

    def _table(self) -> list[str]:
        names = list(dict.fromkeys(s.golden for s in self.scores))
        cells = {(s.golden, s.answer): s.reward for s in self.scores if not s.attack}
        width = max([len(name) for name in names] + [7])
        lines = [f"{'':<16}" + "".join(f"{name:>{width + 2}}" for name in names)]
        for answer in ORDER:
            row = ["" if (n, answer) not in cells else _number(cells[n, answer]) for n in names]
            lines.append(f"{answer:<16}" + "".join(f"{cell:>{width + 2}}" for cell in row))
        best = {n: _best_attack(self.scores, n) for n in names}
        lines.append(f"{'best attack':<16}" + "".join(f"{_number(best[n]):>{width + 2}}" for n in names))
        return lines


def check(spec: RewardSpec | str | LoadedReward, base: Path | None = None, deadline_s: float = 10.0) -> CheckReport:
    """Run the reward on every golden field. Raises InputError where it cannot be loaded at all."""
    reward = spec if isinstance(spec, LoadedReward) else load_reward(spec, base)
    report = CheckReport(reward.name, reward.spec.function, reward.is_async)
    config = SandboxConfig(deadline_s=deadline_s, quarantine_after=3, max_characters=1 << 20)
    try:
        with Sandbox([reward], config) as sandbox:
            boxed = sandbox.rewards[0]
            assert isinstance(boxed, SandboxedReward)
            _run(boxed, report)
    except WorkError as error:
        report.failures.append(str(error))
    return report


def _run(reward: SandboxedReward, report: CheckReport) -> None:
    spent, count = 0.0, 0
    batch: list[tuple[Golden, str, str]] = []
    alone: Rewards = []
    for golden in goldens():
        texts = [(name, text, False) for name, text in golden.answers.items()]
        texts += [(name, text, True) for name, text in attacks(golden.slots, golden.question).items()]
        began = time.perf_counter()
        rewards = _call(reward, [golden] * len(texts), [text for _, text, _ in texts], report, golden.name)
        seconds = time.perf_counter() - began
        spent, count = spent + seconds, count + len(texts)
        report.slowest_ms = max(report.slowest_ms or 0.0, 1e3 * seconds)
        report.scores += [Scored(golden.name, n, r, a) for (n, _, a), r in zip(texts, rewards, strict=True)]
        batch += [(golden, name, text) for name, text, is_attack in texts if not is_attack]
        alone += [r for (_, _, is_attack), r in zip(texts, rewards, strict=True) if not is_attack]
        if reward.quarantined:
            return
    report.microseconds = 1e6 * spent / max(1, count)
    if report.failures:
        return
    _stable(reward, report, batch, alone)
    _ordering(report)
    if all(score.reward is None for score in report.scores):
        report.warnings.append("it applies to none of the golden questions")


def _call(reward: SandboxedReward, golden: list[Golden], texts: list[str], report: CheckReport, what: str) -> Rewards:
    """One call as TRL makes it: conversational prompts and completions, a column a dataset column."""
    rows = [columns_of(g) for g in golden]
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in rows[0]}
    columns["completion_ids"] = [list(text.encode()[:4096]) for text in texts]
    prompts = [[{"role": "user", "content": g.question}] for g in golden]
    completions = [[{"role": "assistant", "content": text}] for text in texts]
    failed = reward.failures
    rewards = _direct(reward, prompts, completions, columns)
    if reward.failures > failed:
        report.failures.append(f"on `{what}`: {reward.last_failure}")
    return rewards


def _direct(reward: SandboxedReward, prompts: list[Any], completions: list[Any], columns: dict[str, Any]) -> Rewards:
    # The sandbox awaits an async reward in its worker: no event loop is needed on this side.
    return SandboxedReward.__call__(reward, prompts, completions, **columns)


def _stable(reward: SandboxedReward, report: CheckReport, batch: list[tuple[Golden, str, str]], alone: Rewards) -> None:
    """The same completions again, all in one batch and in reverse order, must earn the same."""
    backwards = batch[::-1]
    again = _call(reward, [g for g, _, _ in backwards], [t for _, _, t in backwards], report, "all together")
    if report.failures:
        return
    for (golden, name, _), before, after in zip(batch, alone, again[::-1], strict=True):
        if not _same(before, after):
            report.failures.append(
                f"`{name}` on `{golden.name}` earned {_number(before)}, and {_number(after)} in another batch: "
                "a reward depends on its completion and row alone"
            )
            return


def _ordering(report: CheckReport) -> None:
    """Warn of every kind of completion that earns more than the honest reading of its field."""
    honest = {s.golden: s.reward for s in report.scores if s.answer == HONEST}
    gains: dict[str, dict[str, float]] = {}
    for score in report.scores:
        best = honest[score.golden]
        if best is not None and score.reward is not None and score.reward > best + TOLERANCE:
            gains.setdefault(score.answer, {})[score.golden] = score.reward - best
    for answer, gained in sorted(gains.items(), key=lambda item: -max(item[1].values())):
        most = max(gained, key=lambda golden: gained[golden])
        report.warnings.append(
            f"`{answer}` earns more than the honest reading on {', '.join(gained)} (most on `{most}`: "
            f"{_number(honest[most])} + {gained[most]:.3f})"
        )


def _best_attack(scores: list[Scored], golden: str) -> float | None:
    return max((s.reward for s in scores if s.attack and s.golden == golden and s.reward is not None), default=None)


def _same(one: float | None, other: float | None) -> bool:
    return one is other if one is None or other is None else abs(one - other) <= TOLERANCE


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"
