"""Reader specs: what opens, what is refused and how, and that opening is cheap."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from kie_hvqa import readers
from kie_hvqa.data.files import sha256
from kie_hvqa.errors import InputError
from kie_hvqa.readers import open_reader
from kie_hvqa.readers.rapidocr_reader import RapidOCRReader

ROOT = Path(__file__).resolve().parents[3]


def test_an_engine_takes_its_options_in_the_spec():
    reader = open_reader("rapidocr:min_confidence=0.7,flag_below=0.9")
    assert isinstance(reader, RapidOCRReader)
    assert (reader.min_confidence, reader.flag_below) == (0.7, 0.9)


def test_readers_that_could_answer_differently_have_different_identities():
    assert open_reader("rapidocr").identity == open_reader("rapidocr:min_confidence=0.5").identity
    assert open_reader("rapidocr").identity != open_reader("rapidocr:min_confidence=0.6").identity


@pytest.mark.parametrize(
    ("spec", "what", "remedy"),
    [
        ("no/such/model", "no such reader", "checkpoint directory"),
        ("rapidocr:min_confidense=0.5", "no option 'min_confidense'", "Did you mean `min_confidence`?"),
        ("rapidocr:min_confidence=high", "must be float", "min_confidence=0.5"),
        ("rapidocr:min_confidence", "needs a value", "min_confidence=0.5"),
        ("rapidocr:min_confidence=1.5", "must lie in [0, 1]", "Mend"),
    ],
)
def test_a_wrong_spec_is_refused_with_a_remedy(spec, what, remedy):
    with pytest.raises(InputError) as caught:
        open_reader(spec)
    assert what in caught.value.what
    assert remedy in caught.value.remedy


def test_an_option_for_checkpoints_is_refused_for_an_engine():
    with pytest.raises(InputError, match="max_pixels"):
        open_reader("rapidocr", max_pixels=1000)


def test_a_directory_that_is_no_checkpoint_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"config\.json"):
        open_reader(str(tmp_path))


def test_the_embedded_reader_is_found_beside_the_trainers(monkeypatch, tmp_path, tiny_model):
    monkeypatch.setattr(readers, "find_spec", lambda name: SimpleNamespace(submodule_search_locations=[str(tmp_path)]))
    with pytest.raises(InputError, match="not part of this installation"):
        open_reader("embedded")
    shutil.copytree(tiny_model, tmp_path / "embedded")
    with pytest.raises(InputError, match="not whole"):
        open_reader("embedded")
    weights = tmp_path / "embedded" / "model.safetensors"
    weights.with_name("model.safetensors.sha256").write_text(f"{sha256(weights)}  model.safetensors\n")
    reader = open_reader("embedded")
    assert reader.name == "embedded"
    assert reader.source.model == tmp_path / "embedded"


def test_opening_a_checkpoint_does_not_import_torch(tiny_model):
    code = (
        "import sys; from kie_hvqa.readers import open_reader; "
        f"reader = open_reader({str(tiny_model)!r}); open_reader('rapidocr'); "
        "print(reader.identity, sorted({'torch', 'transformers', 'onnxruntime', 'rl'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=os.environ, capture_output=True, text=True, check=True
    )
    assert done.stdout.split(" ", 1)[1].strip() == "[]"


def test_what_a_reader_is_told_is_part_of_what_it_is_calibrated_for(tiny_model):
    prompts = {readers.told(open_reader("openai:m@http://127.0.0.1:1/v1", prompt=p)) for p in ("official", "question")}
    assert len(prompts) == 2
    budgets = {readers.told(open_reader(str(tiny_model), max_pixels=pixels)) for pixels in (None, 65536)}
    assert len(budgets) == 1 + (open_reader(str(tiny_model)).budget.max_pixels != 65536)
    assert readers.told(open_reader("rapidocr")) == readers.told(open_reader("rapidocr:min_confidence=0.9"))
