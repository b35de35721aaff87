"""One part of the check, in the process that ``rl.gpu_check`` starts for it and may end: OUT/parts/NAME.json grows as it goes.

Run: python -m rl.gpu_check.work --setting full --part NAME --out OUT --seconds S
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from kie_hvqa.data.files import write_json
from kie_hvqa.errors import InputError, WorkError
from rl.gpu_check.setting import ROOT, Part, Setting, page_recipe, setting_of, write_recipe


def run(setting: Setting, name: str, out: Path, seconds: float) -> dict[str, Any]:
    """Part ``name`` in at most about ``seconds``; what it found, which is also in its file."""
    part, file = setting.parts[name], out / "parts" / f"{name}.json"
    until = time.monotonic() + seconds

    def note(found: dict[str, Any]) -> None:
        write_json(file, {"kind": part.kind, **found})

    note({})
    work = {"steps": _steps, "demo": _demo, "vllm": _vllm}[part.kind]
    found = work(setting, name, out, until, note)
    note(found)
    return found


def _steps(setting: Setting, name: str, out: Path, until: float, note: Any) -> dict[str, Any]:
    from rl.gpu_check.steps import compare, differences

    part = setting.parts[name]
    _model(setting, part.model, out)
    file = write_recipe(setting, name, out)
    plan = _plan(part, file)
    note(plan)
    if "skipped" in plan:
        return plan
    found = compare(part.stage, file, until, lambda found: note({**plan, **found, **differences(found, plan["dtype"])}))
    return {**plan, **found, **differences(found, plan["dtype"])}


def _plan(part: Part, file: Path) -> dict[str, Any]:
    """What the preflight plans for one process here, in bytes; ``skipped`` where that is more than there is."""
    from rl.preflight.checks import plan_of

    plan = plan_of(part.stage, file)
    memory, device = plan.memory(), plan.world.device
    said: dict[str, Any] = {"planned": memory.peak, "usable": device.usable, "device": device.name}
    said["dtype"] = plan.recipe.dtype
    took = plan.duration()
    said["planned_seconds"] = None if took is None else took.step
    if memory.peak > device.usable:
        said["skipped"] = (
            f"planned {memory.peak / 1e9:.0f} GB, and {device.name} has {device.usable / 1e9:.0f} GB for tensors"
        )
    return said


def _model(setting: Setting, name: str, out: Path) -> Path:
    from rl.gpu_check.models import write_directory

    directory = out / "models" / name
    if not (directory / "reading.json").exists():
        write_directory(setting.models[name], directory)
    return directory


def _demo(setting: Setting, name: str, out: Path, until: float, note: Any) -> dict[str, Any]:
    """The demo's recipes for warm start and GRPO over the demo's pages, and each model's score on held-out ones."""
    from degradations.simulate import write_dataset
    from kie_hvqa.data.files import read_json
    from kie_hvqa.readers import embedded_directory
    from kie_hvqa.runs.evaluator import evaluate
    from rl import grpo, sft

    part, home = setting.parts[name], out / "runs" / name
    shutil.rmtree(home, ignore_errors=True)
    pages = page_recipe(
        setting.pages.model_copy(update={"simulate": "configs/simulate/tiny.yaml", "changes": {}}), **part.pages
    )
    write_dataset(pages, out / "demo_pages", workers=_workers())
    found: dict[str, Any] = {"scores": {}, "seconds": {}, "steps": {}}

    def score(stage: str, model: Path) -> None:
        options: dict[str, Any] = {
            "split": "test",
            "limit": part.limit,
            "batch_size": 64,
            "max_new_tokens": 96,
            "progress": False,
        }
        rates = evaluate(out / "demo_pages", str(model), home / f"{stage}_scores", **options)["overall"]
        found["scores"][stage] = rates["hallucination_free_accuracy"]["value"]
        note(found)

    model = embedded_directory()
    score("base", model)
    for stage, module in (("sft", sft), ("grpo", grpo)):
        if time.monotonic() > until:
            break
        recipe = out / "recipes" / f"{name}-{stage}.yaml"
        recipe.parent.mkdir(exist_ok=True)
        paths = {"model": str(model), "output_dir": str(home / stage)}
        base = {"base": str(ROOT / "configs" / stage / "tiny.yaml"), "data": {"path": str(out / "demo_pages")}}
        recipe.write_text(yaml.safe_dump(base | paths | part.changes.get(stage, {})))
        started = time.monotonic()
        model = module.run(recipe)
        found["seconds"][stage] = time.monotonic() - started
        found["steps"][stage] = read_json(home / stage / "history.json")["steps"]
        score(stage, model)
    return found


def _vllm(setting: Setting, name: str, out: Path, until: float, note: Any) -> dict[str, Any]:
    """Steps of this project's trainer with vLLM beside it, which reads the model's weights from the disk."""
    if find_spec("vllm") is None:
        return {"skipped": "vLLM is not installed here (make vllm-env)"}
    from kie_hvqa.config import load
    from rewards.plugins.spec import load_rewards
    from rl import grpo
    from rl.gpu_check.models import random_checkpoint
    from rl.gpu_check.steps import Clock
    from rl.recipes import GrpoRecipe

    part = setting.parts[name]
    directory = _model(setting, part.model, out)
    file = write_recipe(setting, name, out)
    plan = _plan(part, file)
    if "skipped" in plan:
        return plan
    found: dict[str, Any] = {"ours": {}}
    weights = out / "models" / f"{part.model}-weights"
    try:
        shutil.copytree(directory, weights, dirs_exist_ok=True)
        recipe = load(file, GrpoRecipe, [f"model={weights}"])
        random_checkpoint(recipe).model.save_pretrained(weights)
        rewards = load_rewards(recipe.rewards, file.parent)
        trainer, _ = grpo.build(recipe, grpo.arguments_of(recipe, file, rewards), rewards)
        trainer.add_callback(Clock(until, found["ours"], lambda: note({**plan, **found})))
        trainer.train()
    finally:
        shutil.rmtree(weights, ignore_errors=True)
    return {**plan, **found}


def _workers() -> int:
    return max(1, min(16, len(os.sched_getaffinity(0))))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--setting", required=True)
    parser.add_argument("--part", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    arguments = parser.parse_args(argv)
    try:
        run(setting_of(arguments.setting), arguments.part, arguments.out, arguments.seconds)
    except (InputError, WorkError) as error:
        print(error, file=sys.stderr)
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
