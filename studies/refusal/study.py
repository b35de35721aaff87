"""A study's run: its pages, features and base, made when they are first asked for, and what its arms have found so far."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from kie_hvqa.data.files import read_json, write_json
from kie_hvqa.readers import embedded_directory
from kie_hvqa.readers.base import Task
from studies.refusal.frame import Features, FinalReader, Frame
from studies.refusal.judge import Judge
from studies.refusal.pages import JUDGED, tasks_in, write_pages
from studies.refusal.setting import Setting


class Study:
    """Everything that arms share, in ``out``; ``seed`` is that of what an arm draws (order of rows, initial weights)."""

    def __init__(self, setting: Setting, out: Path, seed: int = 0) -> None:
        self.setting, self.out, self.seed = setting, out, seed
        self.room = out / f"seed-{seed}"

    @cache  # noqa: B019 (a study lives as long as its process)
    def pages(self, name: str) -> Path:
        """The directory of the dataset ``name``."""
        return write_pages(self.setting, self.out / "pages", name)

    @cached_property
    def features(self) -> Features:
        return Features(self.out / "features.pt")

    @cached_property
    def base(self) -> Frame:
        """The embedded reader as it is shipped."""
        return self.frame(embedded_directory())

    def frame(self, directory: Path) -> Frame:
        return Frame(directory, self.features, self.setting.together)

    @cached_property
    def judge(self) -> Judge:
        return Judge(self.pages, self.room, self.setting)

    @cached_property
    def reference(self) -> FinalReader:
        """The base, which answers always."""
        return FinalReader(self.base, "base")

    def tasks(self, name: str) -> list[Task]:
        """``train``, ``validation``, or one of ``JUDGED``."""
        dataset, split = JUDGED.get(name, ("cards", name))
        return tasks_in(self.pages(dataset), split)

    def once(self, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What ``make`` gives, kept in ``name.json``, with the processor's seconds that it took; made again only where it is not there."""
        file = self.room / f"{name}.json"
        if not file.is_file():
            began = time.process_time()
            found = make()
            self.features.save()
            write_json(file, {**found, "cpu_seconds": round(time.process_time() - began, 1)})
        return read_json(file)
