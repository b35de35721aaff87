"""The study of forgetting: who is forgotten by whom, what is pooled, and the whole of it in miniature."""

from __future__ import annotations

import pytest

from kie_hvqa.data.dataset import load_rows
from kie_hvqa.data.files import read_json
from rl.forget.measure import pooled
from studies.forget.__main__ import cells, main
from studies.forget.config import StudyConfig
from studies.forget.people import forgotten_by
from studies.forget.results import BEFORE, _together, title


def test_seeds_forget_other_people():
    names = [f"p{number:02d}" for number in range(40)]
    chosen = [forgotten_by(seed, names, 12) for seed in range(3)]
    assert all(len(some) == 12 for some in chosen) and len(set.union(*chosen)) == 36
    assert forgotten_by(4, names, 12) & chosen[0]  # a further seed begins again


def test_every_method_is_there_with_and_without_the_decoupled_term():
    names = [cell.name for cell in cells(StudyConfig())]
    assert len(names) == len(set(names)) == 13 and names[:2] == ["relearn-decoupled", "relearn"]
    assert title("ga-decoupled") == "gradient ascent + decoupled" and title(names[-1]) == "ReLearn + decoupled, adapter"


def test_seeds_are_pooled_person_by_person():
    one = {**pooled({"a": [2.0, 2], "b": [0.0, 2]})}
    other = {**pooled({"b": [3.0, 4], "c": [1.0, 2]})}
    found = _together([one, other])
    assert found["value"] == pytest.approx(6 / 10) and found["n"] == 10
    assert found["people"] == 3 and found["seeds"] == [0.5, pytest.approx(4 / 6, abs=1e-6)]
    assert _together([pooled({})])["value"] is None


@pytest.mark.long
def test_the_study_runs_from_end_to_end_and_again_for_nothing(tmp_path, capfd):
    line = ["--out", str(tmp_path), "--small", "--methods", "relearn", "people=4", "forgotten=1", "overtrain=1"]
    assert main(line) == 0
    assert "ReLearn + decoupled" in capfd.readouterr().out
    found = read_json(tmp_path / "results.json")
    assert list(found["cells"]) == [BEFORE, "relearn-decoupled", "relearn"]
    assert found["cells"]["relearn"]["leak"]["people"] == 1
    memorised = load_rows(tmp_path / "data" / "memorised")
    assert all(slot.legibility == "clear" for row in memorised for slot in row.slots) and len(memorised) == 28
    sides = [
        {row.document_id for row in load_rows(tmp_path / "data" / "seed-0" / side)} for side in ("forget", "retain")
    ]
    assert len(sides[0]) == 1 and len(sides[1]) == 7 and not sides[0] & sides[1]
    weights = tmp_path / "seed-0" / "relearn" / "model" / "model.safetensors"
    stamp = weights.stat().st_mtime_ns
    assert main(line) == 0 and weights.stat().st_mtime_ns == stamp
    assert read_json(tmp_path / "results.json")["cells"] == found["cells"]


def test_a_wrong_key_is_told(tmp_path, capsys):
    assert main(["--out", str(tmp_path / "out"), "peple=3"]) == 2
    assert "Did you mean `people`" in capsys.readouterr().err
