"""Token probabilities find their symbols, whatever the tokens are and however the answer was mended."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kie_hvqa.answers.answer import Reading, parse, render
from kie_hvqa.confidence.signals.contrast import CONTRAST, contrast
from kie_hvqa.confidence.signals.tokens import (
    MARK_MARGIN,
    RIVAL_MARGIN,
    TOKEN_PROBABILITY,
    Piece,
    token_signals,
    whole_characters,
)
from tests.kie_hvqa.confidence.pieces import readings


def pieces(text, cuts, logprob=lambda i: -0.01 * (i + 1)):
    edges = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    return [Piece(text[a:b], logprob(i)) for i, (a, b) in enumerate(itertools.pairwise(edges))]


@given(readings(), st.lists(st.integers(0, 500), max_size=60))
def test_every_symbol_has_a_probability_no_larger_than_its_tokens(reading, cuts):
    response = render(reading, tags=True)
    own = pieces(response, cuts)
    found = token_signals(response, own)[TOKEN_PROBABILITY]
    parsed = parse(response).reading
    if parsed.refused:
        assert found.refusal == pytest.approx(math.exp(sum(piece.logprob for piece in own)))
        return
    assert len(found.symbols) == len(parsed.final)
    largest = math.exp(max(piece.logprob for piece in own))
    assert all(value is not None and 0 < value <= largest + 1e-9 for value in found.symbols)


def test_a_symbol_is_as_likely_as_its_list_entry_times_its_copy():
    response = render(Reading("Ab c", "b", "Ac", 2, 1), tags=True)
    start = response.index('"Final OCR": "') + len('"Final OCR": "')
    own = [Piece(char, 0.0) for char in response]
    own[response.index("A c")] = Piece("A", math.log(0.5))
    own[response.index("A c") + 2] = Piece("c", math.log(0.25))
    own[response.index('OCR": "b"') + 7] = Piece("b", math.log(0.1))
    own[start] = Piece("A", math.log(0.5))
    own[start + 2] = Piece(" ", math.log(0.7))
    found = token_signals(response, own)[TOKEN_PROBABILITY]
    assert found.symbols == pytest.approx((0.25, 0.1, 0.7, 0.25))


@pytest.mark.parametrize(
    ("response", "final"),
    [
        ('```json\n{"Final OCR": "A\\"b"}\n```', 'A"b'),
        ('{"final ocr": ["A", "", "b"]}', "A b"),
        ('<think>Final OCR: "zz"</think><answer>{"Final OCR": "A[illegible]b"}</answer>', "A b"),
        ('{"Final OCR": "\\u00c4b', "Äb"),
    ],
)
def test_what_was_mended_in_parsing_is_followed(response, final):
    assert parse(response).reading.final == final
    own = [Piece(char, -0.5 if char == "b" else 0.0) for char in response]
    found = token_signals(response, own)[TOKEN_PROBABILITY].symbols
    assert len(found) == len(final)
    assert found[-1] == pytest.approx(math.exp(-0.5)) and found[0] == 1.0


def test_each_mark_has_a_probability_of_its_own():
    response = '<answer>{"Final OCR": "\u25af\u25afA"}</answer>'
    own = [Piece(char, math.log(0.5) if i == response.index("\u25af") else 0.0) for i, char in enumerate(response)]
    assert token_signals(response, own)[TOKEN_PROBABILITY].symbols == pytest.approx((0.5, 1.0, 1.0))


def test_tokens_of_another_text_say_nothing():
    response = render(Reading("A", "", "A", 1, 0), tags=True)
    assert token_signals(response, [Piece("something else", -1.0)]) is None
    assert token_signals(response, []) is None
    assert token_signals("no answer at all", [Piece("no answer at all", -1.0)]) is None
    before = [Piece("Hm. ", -3.0), Piece(response, -1.0), Piece("\n", 0.0)]
    assert token_signals(response, before) is not None, "a server may have stripped what stood around it"


def test_margins_say_what_marks_and_rivals_had():
    response = render(Reading("A ", "", "A", 1, 0), tags=True)
    own = [Piece(char, math.log(0.6), 0.2, 0.3) for char in response]
    found = token_signals(response, own)
    assert found[MARK_MARGIN].symbols == pytest.approx((0.75, 2 / 3)), "a mark's rivals are the characters"
    assert found[RIVAL_MARGIN].symbols == pytest.approx((2 / 3, 2 / 3))


def test_bytes_become_whole_characters():
    data = "é▯".encode()
    tokens = [(bytes([byte]), Piece("", -1.0)) for byte in data]
    assert [(piece.text, piece.logprob) for piece in whole_characters(tokens)] == [("é", -2.0), ("▯", -3.0)]


def test_contrast_is_what_the_pixels_give():
    response = render(Reading("AB", "", "AB", 2, 0), tags=True)
    own = [Piece(char, 0.0) for char in response]
    own[response.index("A B")] = Piece("A", math.log(0.9))
    blind = [piece.logprob for piece in own]
    blind[response.index("A B")] = math.log(0.85)
    blind[response.index("A B") + 2] = math.log(0.01)
    assert contrast(response, own, blind).symbols == pytest.approx((0.05, 0.99))
    assert CONTRAST == "contrast"
