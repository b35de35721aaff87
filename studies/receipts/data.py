"""The study's datasets, each a dataset directory like any other: lines rendered and real, as they are and damaged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from degradations.config import DegradeConfig
from degradations.degrade import write_degraded, write_pages
from degradations.storing.manifest import DATASET
from kie_hvqa.data.files import read_json, sha256, write_json
from studies.receipts import lines
from studies.receipts.config import ReceiptsConfig
from studies.receipts.rendered import rendered_page

UNDAMAGED: Mapping[str, object] = {"severities": {0: 1.0}, "unreadable": 0.0}
RECIPES: dict[str, tuple[str, str]] = {
    # dataset: split, and how it is damaged
    "rendered_clean": ("train", "undamaged"),
    "rendered_train": ("train", "known"),
    "real_clean": ("train", "undamaged"),
    "real_train": ("train", "known"),
    "validation": ("validation", "known"),
    "test_clean": ("test", "undamaged"),
    "test_damaged": ("test", "all"),
    "test_held_out": ("test", "held_out"),
}


def recipe(config: ReceiptsConfig, split: str, how: str) -> DegradeConfig:
    """``degrade`` for one dataset: ``undamaged``, by the operators that training ``known``s, by ``all``, or by the ``held_out`` one."""
    changes: dict[str, object] = {"split": split}
    operators = dict(config.degrade.operators)
    if how == "undamaged":
        changes |= UNDAMAGED
    elif how == "known":
        changes["operators"] = {name: weight for name, weight in operators.items() if name != config.held_out}
    elif how == "held_out":
        light = {s: w for s, w in config.degrade.severities.items() if s > 0}
        changes |= {"operators": {config.held_out: 1.0}, "severities": light, "operators_per_image": {1: 1.0}}
    return config.degrade.model_copy(update=changes)


def _written(folder: Path, damage: DegradeConfig, source: Path) -> bool:
    """Whether ``folder`` holds a finished dataset of ``source`` that was damaged as ``damage`` says."""
    if not (folder / DATASET).is_file():
        return False
    wanted = {**damage.model_dump(mode="json"), "annotations_sha256": sha256(source)}
    return read_json(folder / DATASET)["config"] == wanted


def write_datasets(
    config: ReceiptsConfig, receipts: Sequence[lines.Receipt], out: Path, workers: int
) -> dict[str, Path]:
    """Write what is missing of ``RECIPES`` under ``out``. Returns name → directory."""
    pages = out / "receipts"
    lines.write(receipts, lines.split(receipts, config.splits, config.seed), config.lines, config.seed, pages)
    # What the rendered pages are drawn from, as a file: a dataset is another one when it changes, and not when a step count does.
    drawn = out / "rendered.json"
    write_json(
        drawn, {"seed": config.seed, "lines": config.lines.model_dump(), "rendered": config.rendered.model_dump()}
    )
    found = {}
    for name, (split, how) in RECIPES.items():
        damage = recipe(config, split, how)
        found[name] = out / name
        source = drawn if name.startswith("rendered") else pages / f"{split}.jsonl"
        if _written(
            out / name, damage, source
        ):  # finding every line's characters only to see that all is there takes minutes
            continue
        if name.startswith("rendered"):
            draw = [
                partial(rendered_page, config.rendered, config.lines, config.seed, index)
                for index in range(config.rendered.pages)
            ]
            write_pages(damage, draw, [source], source, out / name, progress=True, workers=workers)
        else:
            write_degraded(damage, source, pages, out / name, progress=True, workers=workers)
    return found
