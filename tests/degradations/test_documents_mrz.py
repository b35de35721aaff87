"""Machine readable zones against the specimen that ICAO prints, and the law behind check digits."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from degradations.documents import mrz
from kie_hvqa.errors import InputError


def test_the_specimen_of_doc_9303_comes_out_as_printed() -> None:
    lines = mrz.td3(
        issuer="UTO",
        surname="ERIKSSON",
        given_names="ANNA MARIA",
        number="L898902C3",
        nationality="UTO",
        birth=date(1974, 8, 12),
        sex="F",
        expiry=date(2012, 4, 15),
        personal="ZE184226B",
    )
    assert lines == (
        "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<",
        "L898902C36UTO7408122F1204159ZE184226B<<<<<10",
    )


def test_long_names_are_cut_and_hyphens_become_fillers() -> None:
    upper, lower = mrz.td3(
        issuer="D",
        surname="VON-UND ZU O'HARA",
        given_names="MAXIMILIANA ALEXANDRA VIKTORIA",
        number="AB12",
        nationality="D",
        birth=date(2001, 1, 2),
        sex="X",
        expiry=date(2031, 1, 2),
    )
    assert upper == "P<D<<VON<UND<ZU<OHARA<<MAXIMILIANA<ALEXANDRA"
    assert len(lower) == mrz.LENGTH and lower[20] == "<" and lower[42] == "<"


@given(st.text("0123456789", min_size=1, max_size=40), st.data())
def test_a_wrong_digit_never_keeps_its_check_digit(text: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.sampled_from([digit for digit in "0123456789" if digit != text[place]]))
    wrong = text[:place] + other + text[place + 1 :]
    assert mrz.check_digit(wrong) != mrz.check_digit(text)


def test_a_character_outside_the_alphabet_is_named() -> None:
    with pytest.raises(InputError, match="'ä'"):
        mrz.check_digit("12ä")
