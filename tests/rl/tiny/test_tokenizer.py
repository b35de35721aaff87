"""The tiny tokenizer: fixed phrases are single tokens, everything else still survives the round trip."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kie_hvqa.answers.answer import Reading, render
from rl.tiny.tokenizer import build_tokenizer

QUESTION = "What is the surname in the image?"


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer([QUESTION])


TOKENIZER = build_tokenizer([QUESTION])


def test_an_answer_costs_one_token_a_character_and_a_fixed_skeleton(tokenizer):
    answer = render(Reading("SM TH", clear="SMTH", clear_number=4, not_clear_number=0), tags=True)
    ids = tokenizer.encode(answer)
    skeleton = 8  # two tags and the six pieces of the JSON
    listed, counts, final = 4 + 3, 2, 5  # characters with the spaces between them
    assert len(ids) == skeleton + listed + counts + final
    assert tokenizer.decode(ids) == answer


def test_a_known_question_is_one_token_and_an_unknown_one_still_encodes(tokenizer):
    assert len(tokenizer.encode(QUESTION)) == 1
    other = "What is the shoe size in the image?"
    assert len(tokenizer.encode(other)) > 1
    assert tokenizer.decode(tokenizer.encode(other)) == other


def test_reloading_gives_the_same_ids(tokenizer, tmp_path):
    from transformers import AutoTokenizer

    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    text = f"<|im_start|>user\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n" + render(Reading("A1"), tags=True)
    assert again.encode(text) == tokenizer.encode(text)


@given(st.text(max_size=40))
def test_any_text_survives_the_round_trip(text):
    import unicodedata

    composed = unicodedata.normalize("NFC", text)  # Qwen2's tokenizer composes, as the 7B model's does
    assert TOKENIZER.decode(TOKENIZER.encode(composed)) == composed
