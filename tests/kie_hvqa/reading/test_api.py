"""The five calls of the package, and the same reading over HTTP."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from PIL import Image

import kie_hvqa
from kie_hvqa.confidence.signals.combination import COMBINED
from kie_hvqa.errors import InputError
from kie_hvqa.readers import open_reader, told
from kie_hvqa.serving.app import build_app
from kie_hvqa.serving.generation import Generation
from kie_hvqa.serving.server import point_for
from tests.kie_hvqa.confidence.pieces import point
from tests.kie_hvqa.reading.pieces import TableReader, page, said

CLIENT = httpx2.Client(timeout=300, trust_env=False)


def test_read_takes_files_and_pictures_in_memory_and_keeps_nothing_unless_asked(tmp_path):
    page().save(tmp_path / "a.png")
    reader = TableReader({"surname": "QUIST", "date_of_birth": "1.2.  90"})
    found = kie_hvqa.read([tmp_path / "a.png", page("B")], reader, fields=["surname", "date of birth"])
    assert [one["surname"].value for one in found] == ["QUIST", "QUIST"]
    assert found[1]["date_of_birth"].value == "1.2.▯▯90" and found[1].document.endswith("image-2.png")
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]
    (kept,) = kie_hvqa.read(tmp_path / "a.png", reader, template="us_licence", out=tmp_path / "out")
    assert kept["surname"].value == "QUIST" and (tmp_path / "out" / "results.jsonl").is_file()
    with pytest.raises(InputError):
        kie_hvqa.read(tmp_path / "a.png", reader)
    with pytest.raises(KeyError):
        kept["nobody asked"]


def test_parse_and_score_are_the_commands_own(cards, tmp_path):
    assert kie_hvqa.parse(said("A B")).reading.final == "A B"
    rows = [json.loads(line) for line in (cards / "metadata.jsonl").read_text().splitlines()]
    answers = tmp_path / "answers.jsonl"
    answers.write_text("".join(json.dumps({"id": row["id"], "response": row["answer"]}) + "\n" for row in rows))
    metrics = kie_hvqa.score(answers, tmp_path / "run", data=cards)
    assert metrics["overall"]["hallucination_free_accuracy"]["value"] == 1.0


def test_simulate_writes_a_dataset(tmp_path):
    recipe = tmp_path / "cards.yaml"
    recipe.write_text("seed: 1\ncount: 5\nquestions_per_document: 1\n")
    data = kie_hvqa.simulate(recipe, tmp_path / "data", count=1)
    assert len((data / "metadata.jsonl").read_text().splitlines()) == 1


def test_the_package_is_typed_and_importing_it_loads_nothing_heavy():
    assert (Path(kie_hvqa.__file__).parent / "py.typed").is_file()
    code = "import sys, kie_hvqa; print(sorted({'torch', 'numpy', 'PIL', 'pydantic'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def data_url(image: Image.Image) -> str:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


def ask(served: str, **body):
    return CLIENT.post(f"{served}/read", json=body)


def test_a_server_reads_as_the_command_does(served, cards, tmp_path):
    image = Image.open(cards / "images" / "card_0.png").convert("RGB")
    answer = ask(served, image=data_url(image), fields=["name", {"name": "no", "title": "number"}], document="c")
    assert answer.status_code == 200, answer.text
    over_http = answer.json()
    (here,) = kie_hvqa.read(image, "embedded", fields=["name", "number"], device="cpu")
    assert list(over_http["fields"]) == ["name", "no"] and over_http["document"] == "c"
    for theirs, ours in zip(over_http["fields"].values(), here.fields, strict=True):
        assert (theirs["value"], theirs["status"]) == (ours.value, ours.status)
    blank = ask(served, image=data_url(Image.new("RGB", (80, 60), "white")), template="us_licence").json()
    assert {field["status"] for field in blank["fields"].values()} == {"absent"}


def test_a_folder_is_read_by_a_server_and_no_log_holds_a_value(served, cards, tmp_path, kie_hvqa):
    out = tmp_path / "out"
    reader = ("--reader", f"openai:embedded@{served}", "--prompt", "question", "--concurrency", "2")
    done = kie_hvqa("read", cards / "images", *reader, "--field", "name", "--field", "number", "--out", out)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    values = [field["value"] for line in lines for field in line["fields"].values()]
    assert len(lines) == 4 and any(len(value) > 3 for value in values)
    assert not any(len(value) > 3 and value in done.stdout + done.stderr for value in values)
    gone = kie_hvqa(
        *("read", cards / "images", "--reader", "openai:embedded@http://127.0.0.1:9/v1", "--attempts", "1"),
        *("--field", "name", "--out", tmp_path / "gone"),
    )
    assert gone.returncode == 2 and "Start it" in gone.stderr  # it was never there: an address to mend


def test_a_server_with_an_operating_point_asserts_what_the_command_does(cards, tmp_path):
    reader = open_reader("embedded", device="cpu")
    mine = {"reader": "embedded", "reader_identity": reader.identity, "asks": told(reader)}
    weights = {"": 0.0} | dict.fromkeys(("token_probability", "mark_margin", "rival_margin"), 1.0)
    files = {name: tmp_path / f"{name}.json" for name in ("own", "other", "dear")}
    own = point(**mine, signal=COMBINED, weights=weights, settings=dict.fromkeys(reader.signals, ""), threshold=0.9)
    own.save(files["own"])
    point(**(mine | {"reader_identity": "another"})).save(files["other"])
    point(**mine, signal="agreement").save(files["dear"])
    for name, key in (("other", "reader_identity"), ("dear", "signal")):
        with pytest.raises(InputError) as error:
            point_for(files[name], reader)
        assert error.value.field == key
    generation = Generation(reader, reader.loaded())
    generation.start()
    decides = point_for(files["own"], reader)
    app = build_app(generation, "embedded", reader.shown, key=None, loopback=True, point=decides)
    image = Image.open(cards / "images" / "card_0.png").convert("RGB")
    body = {"image": data_url(image), "fields": ["name", "number"]}

    async def asked(**more):
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost", timeout=60) as client:
            return await client.post("/v1/read", json=body | more)

    found = asyncio.run(asked(risk=0.02)).json()
    (here,) = kie_hvqa.read(image, reader, fields=["name", "number"], operating_point=files["own"])
    assert found["operating_point"] == here.to_json()["operating_point"]
    for theirs, ours in zip(found["fields"].values(), here.fields, strict=True):
        assert (theirs["value"], theirs["status"], theirs["calibrated"]) == (ours.value, ours.status, ours.calibrated)
        assert theirs["confidence"] == pytest.approx(ours.confidence, abs=1e-3)
    refused = asyncio.run(asked(risk=0.01))
    assert refused.status_code == 400 and "promises a risk of 0.02" in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "status", "what"),
    [
        ({"fields": ["name"]}, 400, "image"),
        ({"image": "http://127.0.0.1/secret.png", "fields": ["name"]}, 400, "data URL"),
        ({"image": "data:image/png;base64,AAAA", "fields": ["name"]}, 400, "unreadable"),
        ({"fields": []}, 400, "fields"),
        ({"fields": ["a"], "template": "us_licence"}, 400, "either fields or template"),
        ({"template": "us_license"}, 400, "template"),
        ({"template": "/etc/passwd.yaml"}, 400, "no such set"),
        ({"fields": [{"name": "a", "pattern": "(a+)+$"}]}, 400, "pattern"),
        ({"fields": ["name", "Name"]}, 400, "twice"),
        ({"fields": ["name"], "prompt": "x"}, 400, "not known here"),
        ({"fields": ["name"], "model": "other"}, 404, "not served here"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(served, body, status, what):
    answer = ask(served, **({"image": data_url(page())} | body if "image" not in body else body))
    if what == "image":
        answer = ask(served, **body)
    assert answer.status_code == status and what in answer.json()["error"]["message"], answer.text
