"""``kie-hvqa read`` as a user types it, with the reader that ships with the project."""

from __future__ import annotations

import json

import pytest

from tests.kie_hvqa.reading.pieces import page, pdf


def test_a_card_is_read_and_shown_and_the_second_time_loads_no_model(cards, tmp_path, kie_hvqa):
    out = tmp_path / "out"
    arguments = ("read", cards / "images" / "card_0.png", "--reader", "embedded", "--field", "number", "--out", out)
    first = kie_hvqa(*arguments, "--print", "--device", "cpu")
    assert first.returncode == 0, first.stderr
    (line,) = (out / "results.jsonl").read_text().splitlines()
    found = json.loads(line)["fields"]["number"]
    assert found["status"] in ("read", "partly", "unreadable") and found["value"] in first.stdout
    assert "1 documents: 1 " in first.stdout
    second = kie_hvqa(*arguments, "--print", "--device", "cpu")
    assert second.stdout == first.stdout and "Loading weights" not in second.stderr


@pytest.mark.parametrize(
    ("more", "what"),
    [
        (("--field", "name", "--dpi", "0"), "--dpi"),
        (("--template", "us_license"), "us_licence"),
        ((), "Give one of the three"),
        (("--fields", "nowhere.yaml"), "no such file of fields"),
        (("--field", "name", "--risk", "0.01"), "kie-hvqa calibrate RUN --risk 0.01"),
    ],
)
def test_wrong_input_is_one_sentence_and_status_2(tmp_path, kie_hvqa, more, what):
    page().save(tmp_path / "a.png")
    done = kie_hvqa("read", tmp_path / "a.png", "--reader", "embedded", "--out", tmp_path / "out", *more)
    assert done.returncode == 2 and what in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_files_that_cannot_be_opened_are_status_2_alone_and_1_among_others(tmp_path, kie_hvqa):
    pdf(tmp_path / "none.pdf", 0)
    arguments = (
        "read",
        tmp_path,
        "--reader",
        "embedded",
        "--field",
        "name",
        "--out",
        tmp_path / "out",
        "--device",
        "cpu",
    )
    alone = kie_hvqa(*arguments)
    assert alone.returncode == 2 and "none.pdf" in alone.stderr
    from PIL import Image

    Image.new("RGB", (64, 64), "white").save(tmp_path / "white.png")  # asks nothing, so no model is loaded
    among = kie_hvqa(*arguments)
    assert among.returncode == 1 and "1 of 2 documents failed" in among.stderr
    assert len((tmp_path / "out" / "results.jsonl").read_text().splitlines()) == 2
