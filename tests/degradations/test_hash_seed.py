"""A dataset is the same whatever Python's hash seed: no draw and no order may come out of a set."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys
from pathlib import Path
import numpy as np
from degradations import documents, twins
from degradations.documents.subjects import names, scripts, values
from degradations.simulate import SimulateConfig, write_dataset

for locale in values.PLACES:
    print(locale, [values.faker(locale).city() for _ in range(20) if not values.faker(locale).seed_instance(_)])
    print(locale, [values.faker(locale).street_address() for _ in range(20) if not values.faker(locale).seed_instance(_)])
for split in names.SPLITS:
    print(names.surnames(split), names.frequent_surnames(split))
    print([scripts.surnames(script, sex, split) for script in scripts.SCRIPTS for sex in "MF"])
print([names.given_names(sex) for sex in "MFX"], [scripts.given_names(s, sex) for s in scripts.SCRIPTS for sex in "MF"])
for scale in ("tiny", "full"):
    for template in documents.templates(scale):
        page = documents.render(template, np.random.default_rng(1), scale=scale)
        print(scale, template, "".join(c.char for c in page.text), page.identity, page.drawing)
print(twins.strangest("QXQXJ", np.random.default_rng(0)))  # all equally strange
common = {"scale": "full", "severities": {1: 1}, "questions_per_document": 2}
for name, recipe in {
    "plain": SimulateConfig(count=8, question_kinds={"answerable": 0.7, "absent": 0.3}, **common),
    "twins": SimulateConfig(count=3, templates={"us_licence": 1, "passport": 1, "invoice_classic": 1}, twins={"name": 3, "date": 1, "total": 1}, **common),
}.items():
    done = write_dataset(recipe, Path(sys.argv[1]) / name)
    print(name, done.rows_sha256, done.images_sha256)
"""


@pytest.mark.slow
def test_every_template_and_locale_is_the_same_under_two_hash_seeds(tmp_path: Path) -> None:
    said = []
    for seed in ("1", "2"):
        (tmp_path / seed).mkdir()
        run = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(tmp_path / seed)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        said.append(run.stdout.splitlines())
    assert len(said[0]) == len(said[1]) > 50
    for one, other in zip(*said, strict=True):
        assert one == other
