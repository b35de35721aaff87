"""Prompts: the question alone or the whole task, and a hash that changes with every letter."""

from __future__ import annotations

import pytest

from kie_hvqa import prompt
from kie_hvqa.answer import KEYS, parse
from kie_hvqa.errors import InputError
from kie_hvqa.ledger import Row

ROW = Row("1", "x.png", "d", "id_card", "test", "ln", "answerable", "<image>What is the {LN} in the image?", "{}")


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


def test_every_prompt_asks_the_question_once() -> None:
    for name, template in prompt.PROMPTS.items():
        assert template.count("{question}") == 1
        assert prompt.fill(name, "Q?").count("Q?") == 1


def test_the_hash_belongs_to_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {name: prompt.prompt_hash(name) for name in prompt.PROMPTS}
    assert len(set(before.values())) == len(before) and all(len(h) == 64 for h in before.values())
    monkeypatch.setitem(prompt.PROMPTS, "official", prompt.PROMPTS["official"].replace("never", "Never"))
    assert prompt.prompt_hash("official") != before["official"]
    assert prompt.prompt_hash("question") == before["question"]


def test_an_unknown_prompt_suggests_the_nearest() -> None:
    with pytest.raises(InputError, match="Did you mean `official`"):
        prompt.messages(ROW, "oficial")
