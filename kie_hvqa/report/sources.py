"""What a report is about: run directories, suites and training runs, told apart by the files in them.

===============  ==========================================  =================================================
file             written by                                  becomes
===============  ==========================================  =================================================
``run.json``     ``kie-hvqa eval``, ``kie-hvqa score``       scores, charts, the gallery
``suite.json``   ``kie-hvqa eval --suite``                   the suite's tables
``history.json`` ``kie-hvqa sft``, ``kie-hvqa grpo``         curves over steps, and what ``rollouts/`` holds
===============  ==========================================  =================================================

A directory may be several of them: a stage of the demo is trained and evaluated in one place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kie_hvqa.data.files import read_json
from kie_hvqa.errors import InputError
from kie_hvqa.runs.rollout_log import ROLLOUTS, is_log
from kie_hvqa.runs.run_directory import RUN, Run, load_run, names_of
from kie_hvqa.suites import read_suite

HISTORY = "history.json"


@dataclass(frozen=True, slots=True)
class Training:
    """What a stage logged: one mapping a logging step, each with its ``step``; ``rollouts`` is where GRPO kept its own."""

    name: str
    log: tuple[Mapping[str, Any], ...]
    rollouts: Path | None = None


@dataclass(frozen=True, slots=True)
class Sources:
    """Everything that the report shows, each in the order given; suites by the name of their directory."""

    runs: tuple[Run, ...]
    suites: tuple[tuple[str, Mapping[str, Any]], ...]
    trainings: tuple[Training, ...]

    @property
    def names(self) -> list[str]:
        """The names of all that is shown, each once."""
        named = [run.name for run in self.runs] + [name for name, _ in self.suites]
        return list(dict.fromkeys([*named, *(training.name for training in self.trainings)]))


def load_sources(directories: Sequence[Path]) -> Sources:
    """Read the ``directories``. InputError for one that holds nothing to show, or something unfinished."""
    runs, suites, trainings = [], [], []
    for directory, name in zip(directories, names_of(directories), strict=True):
        suite = read_suite(directory)
        training = _training(directory, name)
        # Neither of the two needs a run.json; whoever has none of the three is told what a run directory is.
        if (directory / RUN).is_file() or (suite is None and training is None):
            runs.append(load_run(directory, name=name))
        if suite is not None:
            suites.append((name, suite))
        if training is not None:
            trainings.append(training)
    return Sources(tuple(runs), tuple(suites), tuple(trainings))


def _training(directory: Path, name: str) -> Training | None:
    path = directory / HISTORY
    if not path.is_file():
        return None
    data = read_json(path)
    log = data.get("log") if isinstance(data, dict) else None
    if not isinstance(log, list) or not all(isinstance(entry, dict) and "step" in entry for entry in log):
        raise InputError(
            "not the history of a training run (`log`, a list of entries with a `step`)",
            file=path,
            field="log",
            remedy=f"Remove the file, or name a directory without {HISTORY}.",
        )
    rollouts = directory / ROLLOUTS
    return Training(name, tuple(log), rollouts if is_log(rollouts) else None)
