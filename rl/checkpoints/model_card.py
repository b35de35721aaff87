"""The README.md beside a trained model: what it was made of, on what, how, what it scores, and under which licence.

Nothing in it is typed by hand: recipe, data and scores come from the run, the licence from the model it started from.
"""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from kie_hvqa.data.dataset import dataset_root
from kie_hvqa.data.files import read_json
from kie_hvqa.errors import InputError
from rl.callbacks.evaluation import DECIDING
from rl.recipes import StageRecipe

STAGES = {
    "sft": "supervised fine-tuning (warm start)",
    "grpo": "GRPO",
    "forget": "forgetting people (report.md beside it)",
}
PACKAGES = ("torch", "transformers", "trl", "deepspeed")
RATES = (*DECIDING, "invented_rate", "misread_rate", "over_refusal_rate")


def model_card(stage: str, recipe: StageRecipe, base: Path, state: Any, *, processes: int) -> str:
    """Markdown with the hub's YAML head. ``state`` is the trainer's, ``base`` the directory that training began with."""
    licence = licence_of(base)
    head = {
        "library_name": "peft" if recipe.lora else "transformers",
        "pipeline_tag": "image-text-to-text",
        "base_model": str(recipe.model),
        **({"license": licence} if licence else {}),
        "tags": ["kie-hvqa", stage],
    }
    versions = ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    lines = [
        "---",
        yaml.safe_dump(head, sort_keys=False, allow_unicode=True).strip(),
        "---",
        f"# {Path(recipe.output_dir).name}: {STAGES[stage]} of {recipe.model}",
        "",
        "Reads fields of damaged documents and answers in the official KIE-HVQA format: characters that the pixels "
        "support, a mark where they do not.",
        "",
        "## Training",
        "",
        f"- {state.global_step} steps, epoch {state.epoch or 0:.2f}, {processes} process(es); {versions}.",
        f"- {'A LoRA adapter; `kie-hvqa merge` folds it into its base.' if recipe.lora else 'All weights of the language model'}"
        f"{'' if recipe.lora else (' and of the vision tower.' if recipe.train_vision else '; the vision tower was frozen.')}",
        *_data(recipe),
        "",
        "## Scores",
        "",
        *_scores(state),
        "",
        "## Recipe",
        "",
        "```yaml",
        yaml.safe_dump(recipe.model_dump(mode="json", exclude_defaults=True), sort_keys=False).strip(),
        "```",
        "",
        "## Licence",
        "",
        f"{licence}, as the model that it was trained from."
        if licence
        else f"That of the model that it was trained from (`{recipe.model}`), which names none here.",
        "",
    ]
    return "\n".join(lines)


def licence_of(base: Path) -> str | None:
    """The licence in the head of the base model's card; None where there is no card or it names none."""
    try:
        found = re.match(r"---\n(.*?)\n---", (base / "README.md").read_text(encoding="utf-8"), re.DOTALL)
        said = yaml.safe_load(found[1]) if found else None
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return None
    licence = said.get("license") if isinstance(said, dict) else None
    return str(licence) if licence else None


def _data(recipe: StageRecipe) -> list[str]:
    lines = [f"- Data: `{recipe.data.name}`, split `{recipe.data.split}`."]
    if recipe.data.path is None:
        return [*lines, "- Documents were damaged while it trained, anew in every epoch."]
    try:
        about = read_json(dataset_root(Path(recipe.data.path)) / "dataset.json")
    except InputError:
        return lines
    known = {key: about[key] for key in ("kind", "seed", "rows_sha256", "sha256", "hash") if key in about}
    config = about.get("config") if isinstance(about.get("config"), dict) else {}
    known |= {key: config[key] for key in ("seed", "scale") if key in config}
    if known:
        lines.append("- Dataset record: " + ", ".join(f"{key} {value}" for key, value in known.items()) + ".")
    return lines


def _scores(state: Any) -> list[str]:
    """The last evaluation on held-out rows, or what the last completions of training said, or that there is none."""
    for prefix, said in (("eval_", "on held-out rows"), ("ledger/", "over training completions, sampled")):
        deciding = [name for name in DECIDING if any(prefix + name in entry for entry in state.log_history)]
        if deciding:
            name = deciding[0]
            entries = [entry for entry in state.log_history if prefix + name in entry]
            last, best = entries[-1], max(entries, key=lambda entry: entry[prefix + name] or 0)
            lines = [f"Step {last.get('step')}, {said}:", "", "| score | value |", "|---|---|"]
            lines += [
                f"| {rate} | {last[prefix + rate]:.3f} |" for rate in RATES if last.get(prefix + rate) is not None
            ]
            if prefix == "eval_":
                lines += ["", f"Best {name}: {best[prefix + name]:.3f} at step {best.get('step')}."]
            return lines
    return ["Not scored during training: `kie-hvqa eval --data DIR --reader THIS_DIRECTORY --out RUN`."]


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
