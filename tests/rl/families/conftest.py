"""A tiny model of each family over the training room's small dataset, made once."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

_spec = importlib.util.spec_from_file_location("tiny_families", Path(__file__).with_name("tiny_families.py"))
assert _spec is not None and _spec.loader is not None
tiny = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(tiny)


@pytest.fixture(scope="session", params=tiny.FAMILIES)
def family(request: pytest.FixtureRequest, small: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The small dataset with a random model of one family."""
    from kie_hvqa.answers.prompt import question
    from kie_hvqa.data.dataset import load_rows

    directory = tmp_path_factory.mktemp(request.param) / "model"
    tiny.write_family(request.param, directory, {question(row) for row in load_rows(small.data)})
    return replace(small, model=directory)
