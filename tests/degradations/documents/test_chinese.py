"""Chinese cards and invoices: check characters, sums in words, and faces that have every character."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from degradations.documents import fonts, render
from degradations.documents.subjects import chinese, names
from kie_hvqa.errors import InputError


@pytest.mark.parametrize(
    ("cents", "words"),
    [
        (0, "零圆整"),
        (5, "伍分"),
        (50, "伍角整"),
        (1005, "壹拾圆零伍分"),
        (12345, "壹佰贰拾叁圆肆角伍分"),
        (10001000, "壹拾万零壹拾圆整"),
        (2000005, "贰万圆零伍分"),
        (1234567890, "壹仟贰佰叁拾肆万伍仟陆佰柒拾捌圆玖角整"),
        (100500000007, "壹拾亿零伍佰万圆零柒分"),
    ],
)
def test_sums_are_written_as_invoices_write_them(cents, words):
    assert chinese.in_words(cents) == words


def spoken(words):
    """The other way round, by the rules of the numerals alone."""
    whole, _, rest = words.partition("圆") if "圆" in words else ("", "", words)
    total, section, digit = 0, 0, 0
    for char in whole:
        if char in chinese.WORDS[:10]:
            digit = chinese.WORDS.index(char)
        elif char in "拾佰仟":
            section += digit * {"拾": 10, "佰": 100, "仟": 1000}[char]
            digit = 0
        else:
            total += (section + digit) * {"万": 10**4, "亿": 10**8}[char]
            section = digit = 0
    cents = (total + section + digit) * 100
    for char, before in zip(rest[1:], rest, strict=False):
        cents += chinese.WORDS.index(before) * {"角": 10, "分": 1}.get(char, 0)
    return cents


@given(st.integers(0, 10**10 - 1))
def test_words_say_the_sum(cents):
    assert spoken(chinese.in_words(cents)) == cents


def test_a_sum_that_cannot_be_written_is_refused():
    with pytest.raises(InputError, match="cannot be written"):
        chinese.in_words(-1)


def test_check_characters_follow_their_standards():
    # The example of GB 11643-1999, annex A, and one of GB 32100-2015.
    assert chinese.identity_check("11010519491231002") == "X"
    assert chinese.credit_check("91350100M000100Y4") == "3"
    with pytest.raises(InputError, match="17 digits"):
        chinese.identity_check("123")
    with pytest.raises(InputError, match="no code has"):
        chinese.credit_check("I1350100M000100Y4")


@pytest.mark.parametrize("family", sorted(fonts.CHINESE))
def test_both_faces_have_every_character_that_a_value_may_hold(family):
    for char in chinese.CHARACTERS + "0123456789X.¥":
        fonts.glyph(family, 400, 30.0, char, 0)


def test_a_chinese_card_agrees_with_itself_and_is_nobodys():
    for seed in range(4):
        card = render("chinese_id", np.random.default_rng(seed), split="test", scale="full")
        number = card.fields["identity_number"].value
        assert number.startswith("99") and chinese.identity_check(number[:17]) == number[17]
        year, month, day = number[6:10], number[10:12], number[12:14]
        assert card.fields["date_of_birth"].value == f"{year}年{month}月{day}日"
        assert card.fields["sex"].value == ("男" if int(number[16]) % 2 else "女")
        assert names.split_of(card.fields["name"].value) == "test"


def test_a_chinese_invoice_adds_up_in_figures_and_in_words():
    def cents(name):
        return int(invoice.fields[name].value.replace(".", ""))

    for seed in range(4):
        invoice = render("fapiao", np.random.default_rng(seed), split="train", scale="full")
        assert cents("total") == cents("subtotal") + cents("tax")
        assert invoice.fields["total_in_words"].value == chinese.in_words(cents("total"))
        amounts = [part.rsplit("= ", 1)[1] for part in invoice.identity["items"].split("; ")]
        assert cents("subtotal") == sum(int(amount.replace(".", "")) for amount in amounts)
        for party in ("buyer", "seller"):
            code = invoice.fields[f"{party}_code"].value
            assert chinese.credit_check(code[:17]) == code[17]


def test_random_values_are_chinese_where_the_natural_ones_are():
    card = render("chinese_id", np.random.default_rng(3), split="train", scale="full", values="random")
    assert set(card.fields["name"].value) <= set(chinese.CHARACTERS)
    assert len(card.fields["address"].value) > 8


def test_a_missing_font_package_is_named(monkeypatch):
    monkeypatch.setattr(fonts, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install pylopdf-fonts-zh-cn"):
        fonts._load("Noto Sans SC", 400, 12.0)


def test_a_face_without_chinese_says_which_character_it_lacks():
    with pytest.raises(InputError, match=r"font 'Arimo' has no glyph for '云' \(U\+4E91\)"):
        fonts.glyph("Arimo", 400, 20.0, "云", 0)
