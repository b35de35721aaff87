"""Machine readable zones against the specimen that ICAO prints, and the law behind check digits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from degradations.documents.subjects import mrz
from degradations.documents.subjects.said import dumb, fact
from kie_hvqa.errors import InputError


def zone(kind: str, code: str, **texts: str) -> tuple[str, ...]:
    lines, _ = mrz.zone(kind, code, **{name: dumb(text) for name, text in texts.items()})  # type: ignore[arg-type]
    return tuple(line.text for line in lines)


def test_the_specimens_of_doc_9303_come_out_as_printed() -> None:
    holder = {
        "issuer": "UTO", "surname": "ERIKSSON", "given_names": "ANNA MARIA", "nationality": "UTO", "birth": "740812", "sex": "F",
        "expiry": "120415",
    }  # fmt: skip
    assert zone("td3", "P", number="L898902C3", personal="ZE184226B", **holder) == (
        "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<",
        "L898902C36UTO7408122F1204159ZE184226B<<<<<10",
    )
    assert zone("td1", "I", number="D23145890", **holder) == (
        "I<UTOD231458907<<<<<<<<<<<<<<<",
        "7408122F1204159UTO<<<<<<<<<<<6",
        "ERIKSSON<<ANNA<MARIA<<<<<<<<<<",
    )
    assert zone("visa", "V", number="L8988901C", **{**holder, "birth": "400907", "expiry": "961210", "issuer": "UTO"})[
        1
    ] == ("L8988901C4UTO4009078F9612109" + "<" * 16)


def test_long_names_are_cut_and_hyphens_become_fillers() -> None:
    upper, lower = zone(
        "td3", "P", issuer="D", surname="VON-UND ZU O'HARA", given_names="MAXIMILIANA ALEXANDRA VIKTORIA", number="AB12",
        nationality="D", birth="010102", sex="X", expiry="310102",
    )  # fmt: skip
    assert upper == "P<D<<VON<UND<ZU<OHARA<<MAXIMILIANA<ALEXANDRA"
    assert len(lower) == mrz.LENGTH and lower[20] == "<" and lower[42] == "<" and lower[10:13] == "D<<"


def test_every_character_of_a_zone_keeps_its_meaning_and_check_digits_follow() -> None:
    lines, rules = mrz.zone(
        "td3", "P", issuer=fact("nationality", "UTO"), surname=fact("surname", "O'NEIL"), given_names=fact("given_names", "ANN"),
        number=fact("number", "A12"), nationality=fact("nationality", "UTO"), birth=fact("birth", "740812"), sex=fact("sex", "F"),
        expiry=fact("expires", "120415"),
    )  # fmt: skip
    assert lines[0].text.startswith("P<UTOONEIL<<ANN<") and lines[0].atoms[5:7] == ("surname:0", "surname:2")
    assert lines[1].atoms[20] == "sex:0" and lines[1].atoms[0:3] == ("number:0", "number:1", "number:2")
    assert lines[1].atoms[9] == "check_number:0"
    assert {rule.targets[0]: rule.how for rule in rules}["check_birth:0"] == "check"
    assert next(r for r in rules if r.targets == ("check_birth:0",)).sources == tuple(f"birth:{i}" for i in range(6))


@given(st.text("0123456789", min_size=1, max_size=40), st.data())
def test_a_wrong_digit_never_keeps_its_check_digit(text: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.sampled_from([digit for digit in "0123456789" if digit != text[place]]))
    wrong = text[:place] + other + text[place + 1 :]
    assert mrz.check_digit(wrong) != mrz.check_digit(text)


def test_a_character_outside_the_alphabet_is_named() -> None:
    with pytest.raises(InputError, match="'ä'"):
        mrz.check_digit("12ä")
