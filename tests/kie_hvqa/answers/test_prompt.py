"""Prompts: the question alone, the whole task or a variant of it, and a hash that changes with every letter."""

from __future__ import annotations

from pathlib import Path

import pytest

from kie_hvqa.answers import prompt
from kie_hvqa.answers.answer import KEYS, parse
from kie_hvqa.data.ledger import Row
from kie_hvqa.errors import InputError

ROW = Row("1", "x.png", "d", "id_card", "test", "ln", "answerable", "<image>What is the {LN} in the image?", "{}")
NAMES = {
    "question",
    "official",
    "explicit",
    "with_box",
    "prose",
    "certain",
    *(f"paraphrase_{number}" for number in range(1, 6)),
    *(f"pressure_{kind}" for kind in ("fill", "guess", "authority")),
}


def test_messages_put_the_image_before_the_text_and_drop_the_literal_token() -> None:
    assert prompt.messages(ROW, "question") == [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is the {LN} in the image?"}]}
    ]


def test_the_official_task_asks_for_the_five_items_in_the_format_that_is_parsed() -> None:
    text = prompt.messages(ROW, "official")[0]["content"][1]["text"]
    assert text.startswith("What is the {LN} in the image?\n")
    assert [text.index(f'"{key}"') for key in KEYS.values()] == sorted(text.index(f'"{key}"') for key in KEYS.values())
    # A model that copies the example is not taken to assert the instructions as text of the document.
    assert "<answer>" in text and parse(text).reading is not None


def test_every_prompt_is_there_and_asks_the_question_once() -> None:
    assert set(prompt.PROMPTS) == NAMES
    for name, template in prompt.PROMPTS.items():
        assert template.count("{question}") == 1
        assert prompt.fill(name, "Q?").count("Q?") == 1


@pytest.mark.parametrize("name", sorted(NAMES - {"question"}))
def test_every_variant_names_the_whole_format_and_the_refusal(name: str) -> None:
    text = prompt.PROMPTS[name]
    assert all(key in text for key in KEYS.values())
    assert "<answer>" in text or "answer> tags" in text
    assert "empty" in text, "what to answer where there is nothing"


@pytest.mark.parametrize("name", sorted(name for name in NAMES if name.startswith("pressure")))
def test_pressure_is_the_official_task_and_a_sentence(name: str) -> None:
    official = prompt.PROMPTS["official"]
    assert prompt.PROMPTS[name].startswith(f"{official}\n\n")
    assert len(prompt.PROMPTS[name]) - len(official) < 300


def test_texts_that_checkpoints_were_trained_on_do_not_change() -> None:
    assert prompt.prompt_hash("question") == "bf085a6e12c9d0e23a9dd157df084f933b2ef021caba82def1494bfb84a723c9"
    assert prompt.prompt_hash("official") == "6b694b80b5da9589ae76ee110c203e737c7350a0a83f6096bf18bd7d7596f1aa"


def test_the_hash_belongs_to_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {name: prompt.prompt_hash(name) for name in prompt.PROMPTS}
    assert len(set(before.values())) == len(before) and all(len(h) == 64 for h in before.values())
    monkeypatch.setitem(prompt.PROMPTS, "official", prompt.PROMPTS["official"].replace("never", "Never"))
    assert prompt.prompt_hash("official") != before["official"]
    assert prompt.prompt_hash("question") == before["question"]


def test_a_prompt_of_ones_own_is_a_file(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("description: mine\ntemplate: 'Read this: {question}'\n")
    assert prompt.fill(str(mine), "LN?") == "Read this: LN?"
    mine.write_text("description: mine\nbase: question\naddition: Hurry.\n")
    assert prompt.fill(str(mine), "LN?") == "LN?\n\nHurry."


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("description: mine\ntemplate: no place\n", "must stand once"),
        ("description: mine\ntemplate: '{question} {question}'\n", "must stand once"),
        ("description: mine\n", "either `template`, or `base` and `addition`"),
        ("description: mine\nbase: question\n", "either `template`, or `base` and `addition`"),
        ("description: mine\ntemplate: '{question}'\naddition: x\n", "either `template`, or `base` and `addition`"),
        ("description: mine\ntmplate: '{question}'\n", "Did you mean `template`"),
        ("description: mine\nbase: oficial\naddition: x\n", "Did you mean `official`"),
    ],
)
def test_a_wrong_prompt_file_is_a_message(tmp_path: Path, text: str, what: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(InputError, match=what):
        prompt.template(str(tmp_path / "mine.yaml"))


def test_an_unknown_prompt_suggests_the_nearest() -> None:
    with pytest.raises(InputError, match="Did you mean `official`"):
        prompt.messages(ROW, "oficial")
    with pytest.raises(InputError, match="no such recipe"):
        prompt.template("gone.yaml")
