"""Puts a trained base reader into the package: weights, reading contract, checksum and model card.

The card's scores are read from a ``metrics.json`` of ``kie-hvqa eval`` on clean held-out documents, so that it
cannot say what was not measured.

Run: python -m rl.tiny.ship --model runs/tiny_reader/model --metrics runs/tiny_reader/clean/metrics.json
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

from kie_hvqa.data.files import building, read_json, sha256, write_text
from kie_hvqa.errors import InputError

EMBEDDED = Path(__file__).resolve().parents[1] / "embedded"
LIMIT = 12_000_000  # bytes: what a repository should carry
CHECKSUM = "model.safetensors.sha256"

CARD = """\
---
license: apache-2.0
library_name: transformers
pipeline_tag: image-text-to-text
---
# The embedded reader

A tiny Qwen2.5-VL ({parameters:.1f} M parameters, the classes of the 7B model) that reads the simulated identity cards
and invoices of this project at their tiny scale. It was trained from random weights, on undamaged pages under every capture
and then on damaged ones, always with the printed value as the answer (`configs/base/tiny_reader.yaml`, `make tiny-reader`;
{trained}). So it answers every question and **invents whatever it cannot see**: it is where `make demo` starts, not
where you should stop.

- Data: pages drawn by `degradations` (values from Faker, half of the pages with random strings); no real
  document and no other model's output.
- Reads: pages of up to 256 × 256 pixels, upper-case Latin letters, digits and `. , / -` in values of up to 14 characters.
- Clean held-out documents (other identities, other drawings; {documents} documents, {questions} questions):
  {clear_accuracy:.2%} of characters right, {hallucination_free:.2%} of questions wholly right.
- Licence: Apache-2.0, as the project. The fonts it was trained on are under the SIL OFL or Apache-2.0.
- SHA-256 of `model.safetensors`: `{checksum}`
"""


def ship(model: Path, metrics: dict[str, Any], trained: str, target: Path = EMBEDDED) -> None:
    """Put ``model`` in the place of ``target`` with contract, checksum and card. InputError where the weights are too large.

    ``trained`` says how far its training went, for the card. ``target`` is what it was until all of it is written.
    """
    weights = model / "model.safetensors"
    size = weights.stat().st_size
    if size > LIMIT:
        raise InputError(f"{size} bytes of weights", file=weights, remedy=f"Keep them under {LIMIT}.")
    with building(target, replaces=True) as part:
        for path in sorted(model.iterdir()):
            if path.is_file():
                shutil.copyfile(path, part / path.name)
        checksum = sha256(part / "model.safetensors")
        write_text(part / CHECKSUM, f"{checksum}  model.safetensors\n")
        write_text(part / "README.md", _card(size, metrics, trained, checksum))


def _card(size: int, metrics: dict[str, Any], trained: str, checksum: str) -> str:
    overall = metrics["overall"]
    return CARD.format(
        trained=trained,
        parameters=size / 4e6,  # float32
        documents=metrics["documents"],
        questions=metrics["samples"],
        clear_accuracy=overall["reading_recall"]["value"],
        hallucination_free=overall["hallucination_free_accuracy"]["value"],
        checksum=checksum,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--metrics", type=Path, required=True)
    parser.add_argument("--trained", default="all stages", help="how far the training went")
    arguments = parser.parse_args()
    ship(arguments.model, read_json(arguments.metrics), arguments.trained)


if __name__ == "__main__":
    main()
