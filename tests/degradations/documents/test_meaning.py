"""Copies and what follows from other print come from what a text means: never from characters that happen to be equal."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from degradations.documents import Derivation, Document, names, render
from degradations.documents.meaning import copies, derivations, indexed
from degradations.documents.subjects.said import Day, Money, Rule, dumb, fact


def draw(template: str, seed: int, split: str = "train", values: str = "natural") -> Document:
    return render(template, np.random.default_rng([seed, 31]), split=split, scale="full", values=values)


def sources(document: Document, found: Derivation) -> str:
    return "".join(document.lines[s.line].text[place] for s in found.sources for place in s.places)


def of(document: Document, field: str, slot: int, how: str) -> Iterator[Derivation]:
    return (d for d in document.fields[field].derivations if slot in d.slots and d.how == how)


def test_an_m_in_class_m_is_no_copy_of_a_covered_sex() -> None:
    met = 0
    for seed in range(14):
        licence = draw("us_licence", seed)
        lines = [line.text for line in licence.lines]
        sex = licence.fields["sex"]
        met += sex.value == "M" and "M" in lines
        assert sex.copies == () and sex.derivations == ()
    assert met > 0, "the trap was never there"


def test_the_sex_in_a_zone_is_a_copy_and_other_letters_of_the_zone_are_not() -> None:
    for seed in range(6):
        passport = draw("passport", seed)
        (copy,) = passport.fields["sex"].copies
        zone = next(line for line in passport.lines if line.field == "mrz_line_2")
        assert copy == (zone.boxes[20],)


def test_a_date_of_birth_stands_in_the_zone_digit_by_digit_but_for_its_century() -> None:
    for seed in range(6):
        passport = draw("passport", seed)
        value = passport.fields["date_of_birth"].value
        year = len(value) - 4
        for slot, char in enumerate(value):
            same = list(of(passport, "date_of_birth", slot, "same"))
            if char.isdigit() and slot not in (year, year + 1):
                assert any(sources(passport, found) == char for found in same), (value, slot)
            elif slot in (year, year + 1):
                assert not same
        assert passport.fields["date_of_birth"].copies == ()
        if value[3].isalpha():
            (month,) = of(passport, "date_of_birth", 3, "date")
            assert (
                sources(passport, month)
                == f"{['JAN', 'FEB', 'MAR', 'APR', 'MAY', 'JUN', 'JUL', 'AUG', 'SEP', 'OCT', 'NOV', 'DEC'].index(value[3:6]) + 1:02d}"
            )


def test_a_chinese_number_holds_the_date_of_birth_and_the_sex() -> None:
    card = draw("chinese_id", 1)
    number, born = card.fields["identity_number"].value, card.fields["date_of_birth"].value
    for slot, char in enumerate(born):
        if char.isdigit():
            assert [sources(card, found) for found in of(card, "date_of_birth", slot, "same")] == [char]
    (parity,) = card.fields["sex"].derivations
    assert parity.how == "parity" and sources(card, parity) == number[16]


def test_a_name_follows_from_its_other_script() -> None:
    card = draw("national_id", 2)
    surname = card.fields["surname"]
    slots = {slot for found in surname.derivations if found.how == "script" for slot in found.slots}
    assert slots == set(range(len(surname.value)))
    letters = "".join(dict.fromkeys("".join(sources(card, found) for found in surname.derivations)))
    assert set(letters) <= set(card.identity["native_surname"])


def test_sums_words_and_change_give_a_total() -> None:
    bill = draw("fapiao", 3)
    hows = {found.how: found for found in bill.fields["total"].derivations}
    assert {"sum", "words"} <= set(hows)
    assert set(bill.fields["total_in_words"].value) >= set(sources(bill, hows["words"]))
    digits = bill.fields["subtotal"].value + bill.fields["tax"].value
    assert sorted(sources(bill, hows["sum"])) == sorted(c for c in digits if c.isdigit())
    receipt = draw("till_receipt", 3)
    assert {"sum", "change"} <= {found.how for found in receipt.fields["total"].derivations}
    random = draw("till_receipt", 3, values="random")
    assert not {"sum", "change"} & {found.how for found in random.fields["total"].derivations}


@pytest.mark.parametrize("template", names())
@pytest.mark.parametrize("values", ["natural", "random"])
def test_what_is_called_the_same_is_the_same_and_lies_elsewhere(template: str, values: str) -> None:
    document = draw(template, 5, values=values)
    for name, field in document.fields.items():
        for copy in field.copies:
            assert len(copy) == len(field.value) and copy[0] != field.boxes[0]
        for found in field.derivations:
            assert found.slots and found.sources and max(found.slots) < len(field.value)
            for source in found.sources:
                line = document.lines[source.line]
                assert all(0 <= place < len(line.text) for place in source.places)
                assert found.how == "same" or line.field != name
            if found.how == "same":
                assert sources(document, found) == field.value[found.slots[0]]


def test_a_copy_says_the_same_fact_in_the_same_characters() -> None:
    own, twin, other = fact("sum", "264.84"), dumb("TOTAL ") + fact("sum", "264.84"), fact("cash", "264.84")
    lines = [own, twin, other, fact("sum", "5264.84")]
    assert [(found.line, found.places) for found in copies(lines, 0)] == [(1, tuple(range(6, 12)))]
    zone = dumb("P<NLD") + fact("surname", "DE<BOER") + dumb("<<JAN")
    assert len(copies([fact("surname", "DE BOER"), zone], 0)) == 1


def test_a_rule_holds_only_where_all_its_sources_are_printed() -> None:
    total, net, tax = Money("total", 1210), Money("net", 1000), Money("tax", 210)
    rules = [Rule(total.atoms, (*net.atoms, *tax.atoms), "sum")]
    lines = [total.said(), net.said()]
    assert derivations(lines, 0, indexed(lines), rules) == ()
    lines.append(tax.said())
    (found,) = derivations(lines, 0, indexed(lines), rules)
    assert found.slots == (0, 1, 3, 4) and [s.line for s in found.sources] == [1, 2]


def test_dates_are_one_fact_however_they_are_written() -> None:
    birth = Day("birth", "1987", "03", "12")
    assert [birth.said(style).text for style in ("dmy", "mdy", "iso", "zone", "month", "chinese")] == [
        "12.03.1987", "03/12/1987", "1987-03-12", "870312", "12 MAR 1987", "1987年03月12日",
    ]  # fmt: skip
    assert set(birth.said("zone").atoms) < set(birth.said("iso").atoms)
    assert Money("t", 123450, point=",", group=".").said().text == "1.234,50"
    assert Money("t", 5, places=0).said().text == "5"
