"""No checkpoint brings code of its own: every load says so, and none asks at the terminal."""

from __future__ import annotations

import ast
import builtins
import json
import shutil
from pathlib import Path

import pytest

from kie_hvqa.errors import InputError

ROOT = Path(__file__).parents[3]
ROOMS = ("kie_hvqa", "degradations", "rewards", "rl", "studies")


def loads() -> list[tuple[str, ast.Call]]:
    found = []
    for path in sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if isinstance(node, ast.Call) and called.startswith("Auto") and called.endswith(".from_pretrained"):
                found.append((f"{path.relative_to(ROOT)}:{node.lineno}", node))
    return found


def test_every_load_refuses_foreign_code() -> None:
    assert len(loads()) >= 7
    for where, call in loads():
        said = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        assert said.get("trust_remote_code") == "False" or said.get(None) == "where", where


@pytest.mark.slow
def test_the_code_in_a_checkpoint_is_not_run_even_where_somebody_says_yes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kie_hvqa.readers.model_loading import load_model
    from kie_hvqa.readers.model_source import ModelSource

    model = shutil.copytree(ROOT / "rl" / "embedded", tmp_path / "model")
    config = json.loads((model / "config.json").read_text())
    names = {
        "AutoConfig": "evil.Config",
        "AutoModelForImageTextToText": "evil.Model",
        "AutoProcessor": "evil.Processor",
    }
    config |= {"model_type": "evil", "auto_map": names}
    (model / "config.json").write_text(json.dumps(config))
    (model / "processor_config.json").write_text(json.dumps({"processor_class": "Evil", "auto_map": names}))
    (model / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    asked: list[str] = []

    def yes(question: str = "") -> str:
        asked.append(question)
        return "y"

    monkeypatch.setattr(builtins, "input", yes)
    with pytest.raises(InputError, match="cannot be loaded"):
        load_model(ModelSource(model))
    assert not (tmp_path / "ran").exists() and asked == []
