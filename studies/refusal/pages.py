"""The study's pages: identity cards to learn from and to be judged on, an operator and a document type that no arm learns from.

=============  =============================================================================
``cards``      cards without translucent covers; splits ``train``, ``validation`` and ``test``
``operator``   other cards, damaged by translucent covers alone
``kind``       invoices, damaged as the cards are
``twins``      pairs for the suite of that name
=============  =============================================================================

Translucent covers are the hardest operator to leave out: promises of operating points break on them (docs/confidence.md). The base
itself has seen all of it, damaged, with the printed value as its answer; what is unseen is unseen by an arm.

``again`` damages a row's page anew: severity 0 is the exact clean partner of a pair (same page, same capture).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from degradations.asked.plan import find_copies
from degradations.asked.question import Question
from degradations.chance import generator
from degradations.config import SimulateConfig
from degradations.damage import damage, make_row
from degradations.legibility import LegibilityModel, Print
from degradations.pages import PageKey
from degradations.recipe import Recipe
from degradations.simulate import write_dataset
from kie_hvqa.answers.prompt import question
from kie_hvqa.config import load
from kie_hvqa.data.dataset import image_path, read_dataset
from kie_hvqa.data.files import replacing
from kie_hvqa.data.ledger import Row
from kie_hvqa.readers.base import Task
from kie_hvqa.shipped import recipe
from studies.refusal.setting import Setting

UNSEEN_OPERATOR = "translucent_occluder"
JUDGED = {"test": ("cards", "test"), "operator": ("operator", "test"), "kind": ("kind", "test")}
"""What every reader is judged on → (dataset, split)."""
_CARDS = "{us_licence: 1, eu_card: 1, passport: 1}"


def write_pages(setting: Setting, out: Path, name: str) -> Path:
    """The dataset ``name`` in ``out``, made where it is not there yet; returns its directory."""
    whole = setting.train + setting.validation + setting.test
    shares = {split: getattr(setting, split) / whole for split in ("train", "validation", "test")}
    unseen = [f"count={setting.unseen}", "splits={test: 1}", "absent_beside={}", "held_out_operators={}"]
    seen = f"operators.{UNSEEN_OPERATOR}=0"
    overrides = {
        "cards": [f"count={whole}", f"templates={_CARDS}", f"splits={shares}", seen, "held_out_operators={}", "seed=21"],
        "operator": [*unseen, f"templates={_CARDS}", f"operators={{{UNSEEN_OPERATOR}: 1}}", "seed=22"],
        "kind": [*unseen, "templates={invoice_classic: 1, invoice_modern: 1}", seen, "seed=23"],
        # The small passport bears no change of value.
        "twins": [f"count={setting.twins}", "scale=tiny", "templates={us_licence: 1, eu_card: 1}", "questions_per_document=8",
                  "severities={0: 1, 2: 1, 4: 1, 6: 1}", "operators={opaque_occluder: 3, glare: 1, gaussian_blur: 1}", "seed=24"],
    }  # fmt: skip
    stage = "twins" if name == "twins" else "tiny"
    write_dataset(load(recipe("simulate", stage), SimulateConfig, overrides[name]), out / name)
    return out / name


def tasks_in(directory: Path, split: str) -> list[Task]:
    """Every row of ``split`` with its image."""
    return [Task(row, image_path(directory, row)) for row in read_dataset(directory, split=split).rows]


def again(tasks: Sequence[Task], severity: int, folder: Path) -> list[Task]:
    """The same pages, captures and questions at another ``severity``, by each row's own first operator; images go to ``folder``.

    Rows about absent fields are left out: they have nothing to be damaged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for task in tasks:
        if task.row.slots:
            path = folder / f"{task.row.id}-s{severity}.png"
            row, image = _damaged(task.row, severity)
            if not path.is_file():
                with replacing(path, "wb") as stream:
                    Image.fromarray(image).save(stream, format="png", compress_level=1)
            made.append(Task(row, path))
    return made


def _damaged(row: Row, severity: int):
    page = PageKey.of(row)
    document = page.render()
    printed = document.fields[row.field]
    before = Recipe.from_json(row.recipe, row.capture)
    names = [operator.name for operator in before.operators] or ["gaussian_blur"]
    name = question(row).removeprefix("What is the ").removesuffix(" in the image?")
    asked = Question(
        "answerable", row.field, name, printed.value, printed.boxes, find_copies(printed), Print(document.ground, printed.style)
    )  # fmt: skip
    rng = generator(0, row.id, f"again {severity}")
    made = damage(document.image, [asked], severity, rng, {names[0]: 1.0}, {1: 1.0}, LegibilityModel(),
                  capture=before.capture, density=document.density)  # fmt: skip
    identity = {key: getattr(row, key) for key in ("document_id", "document_type", "split", "template", "page")}
    found = make_row(asked, made, 0, id=f"{row.id}-s{severity}", file_name="", **identity)
    return found, made.image
