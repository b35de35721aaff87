"""The cards beside a dataset: heads that parse, columns and hashes that are those of the rows."""

from __future__ import annotations

import hashlib
import json

import yaml

from degradations.config import SimulateConfig
from degradations.simulate import write_dataset
from degradations.storing.card import COLUMNS


def test_a_dataset_describes_itself_to_hub_and_catalogues(tmp_path):
    config = SimulateConfig(seed=5, count=1, scale="tiny", questions_per_document=2, splits={"test": 1.0})
    summary = write_dataset(config, tmp_path / "data")
    lines = (tmp_path / "data" / "metadata.jsonl").read_bytes()
    rows = [json.loads(line) for line in lines.splitlines()]

    _, head, text = (tmp_path / "data" / "README.md").read_text().split("---\n", 2)
    assert yaml.safe_load(head)["size_categories"] == ["n<1K"]
    assert f"{summary.rows} questions about {summary.images} images of 1 documents" in text
    recipe = yaml.safe_load(text.split("```yaml\n")[1].split("```")[0])
    assert recipe["seed"] == 5 and recipe["splits"] == {"test": 1.0}

    said = json.loads((tmp_path / "data" / "croissant.json").read_text())
    (file, images), (questions,) = said["distribution"], said["recordSet"]
    assert file["sha256"] == hashlib.sha256(lines).hexdigest() == summary.rows_sha256
    assert images["includes"] == "images/*" and all(row["file_name"].startswith("images/") for row in rows)
    kinds = {"sc:Text": str, "sc:Integer": int}
    assert [field["name"] for field in questions["field"]] == list(COLUMNS)
    for field in questions["field"]:
        column = field["source"]["extract"]["column"]
        assert all(isinstance(row[column], kinds[field["dataType"]]) for row in rows), column
