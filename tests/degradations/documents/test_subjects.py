"""Holders and bills agree with themselves and with the rules of their country."""

from __future__ import annotations

import re
from datetime import date

import numpy as np
import pytest

from degradations.documents import render
from degradations.documents import template as read
from degradations.documents.art.portraits import portrait
from degradations.documents.renderer import draw_subject
from degradations.documents.subjects import countries, names
from degradations.documents.subjects.identities import PORTRAITS, Sitter
from degradations.documents.subjects.said import Day, Said
from degradations.documents.subjects.words import in_words
from kie_hvqa.errors import InputError


def when(day: Day) -> date:
    return date(int(day.year), int(day.month), int(day.day))


@pytest.mark.parametrize(
    "template", ["us_licence", "eu_card", "passport", "residence_permit", "national_id", "chinese_id"]
)
def test_one_identity_agrees_with_itself(template: str) -> None:
    rules = read(template)
    for seed in range(60):
        rng = np.random.default_rng(seed)
        split = ("train", "test")[seed % 2]
        issuer = rules.issuers[split][seed % len(rules.issuers[split])]
        subject, sitter = draw_subject(rules, rng, split, issuer, False)
        born, issued, expires = (when(subject.facts[name]) for name in ("birth", "issued", "expires"))  # type: ignore[arg-type]
        assert born < issued < expires and rules.person is not None
        age = issued.year - born.year - ((issued.month, issued.day) < (born.month, born.day))
        assert rules.person.age[0] <= age <= rules.person.age[1]
        assert abs(expires.year - issued.year - min(rules.person.valid)) <= max(rules.person.valid)
        assert sitter is not None and (sitter.age, sitter.sex) == (age, subject.say("{sex}").text)
        if template == "us_licence":
            feet, inches = subject.say("{height_feet}").text.split("-")
            assert 36 <= 12 * int(feet) + int(inches) <= 80
            hair = {"black": "BLK", "brown": "BRO", "blond": "BLN", "red": "RED", "grey": "GRY", "bald": "BAL"}
            assert subject.say("{hair}").text == hair[sitter.hair]


def test_german_zones_say_d() -> None:
    for template, place in (("passport", 2), ("residence_permit", 2)):
        for seed in range(60):
            document = render(template, np.random.default_rng(seed), scale="full")
            if document.identity["issuer"] == "DEU":
                first = document.fields["mrz_line_1"].value
                assert first[place : place + 3] == "D<<"
                if template == "passport":
                    second = document.fields["mrz_line_2"].value
                    assert second[10:13] == "D<<" and document.fields["nationality"].value == "DEU"
                break
        else:
            pytest.fail("no German document among sixty")


def test_portraits_are_many_and_no_split_shares_one() -> None:
    assert PORTRAITS >= 500
    rules = read("eu_card")
    seen: dict[str, set[int]] = {"train": set(), "test": set()}
    for seed in range(300):
        for split in seen:
            _, sitter = draw_subject(rules, np.random.default_rng(seed), split, rules.issuers[split][0], False)
            assert sitter is not None
            seen[split].add(sitter.seed)
    assert not seen["train"] & seen["test"] and len(seen["train"]) > 180


def test_a_portrait_shows_age_and_hair() -> None:
    def at(age: int, hair: str, sex: str = "F") -> np.ndarray:
        return portrait(80, 104, Sitter(sex, age, hair, "brown", 7)).astype(float)

    assert at(30, "black")[:30, 25:55].mean() < at(30, "blond")[:30, 25:55].mean() - 15
    assert at(30, "black")[:30, 25:55].mean() < at(70, "grey")[:30, 25:55].mean() - 15
    assert np.abs(at(25, "brown") - at(75, "brown")).mean() > 2
    assert np.abs(at(30, "brown", "M") - at(30, "brown", "F")).mean() > 4
    others = [portrait(80, 104, Sitter("M", 40, "brown", "brown", seed)).astype(float) for seed in range(12)]
    assert min(np.abs(a - b).mean() for i, a in enumerate(others) for b in others[:i]) > 4


@pytest.mark.parametrize("code", [code for code in countries.codes() if countries.country(code).iban])
def test_an_account_fits_its_country_and_its_check_digits_are_right(code: str) -> None:
    where = countries.country(code)
    lengths = {
        "DEU": 22,
        "FRA": 27,
        "ESP": 24,
        "ITA": 27,
        "NLD": 18,
        "POL": 28,
        "GBR": 22,
        "CHE": 21,
        "SWE": 24,
        "AUT": 20,
        "BEL": 16,
    }
    for seed in range(20):
        number = countries.iban(np.random.default_rng(seed), where)
        assert number.startswith(where.two) and countries.valid_iban(number)
        assert len(number) == lengths.get(code, len(number))
        wrong = number[:-1] + str((int(number[-1]) + 1) % 10)
        assert not countries.valid_iban(wrong)


def test_account_and_tax_numbers_follow_their_standards() -> None:
    # The examples of SWIFT's register, of the German and Indian authorities, and of ISO/IEC 7812.
    for number in (
        "DE89370400440532013000",
        "GB29NWBK60161331926819",
        "FR1420041010050500013M02606",
        "NO9386011117947",
    ):
        assert countries.valid_iban(number)
    assert countries.german_check("13669597") == "6"
    assert countries.gst_check("27AAPFU0939F1Z") == "V"
    assert countries.luhn("7992739871") == "3"
    for seed in range(40):
        rng = np.random.default_rng(seed)
        french = countries.tax_id(rng, countries.country("FRA"))
        siren = french[4:]
        assert countries.luhn(siren[:-1]) == siren[-1] and int(french[2:4]) == (12 + 3 * (int(siren) % 97)) % 97
        italian = countries.tax_id(rng, countries.country("ITA"))
        assert len(italian) == 11 and countries.luhn(italian[:-1]) == italian[-1]
        polish = countries.tax_id(rng, countries.country("POL")).replace("-", "")
        assert sum(int(c) * w for c, w in zip(polish, (6, 5, 7, 2, 3, 4, 5, 6, 7), strict=False)) % 11 == int(polish[9])
        assert re.fullmatch(r"ATU\d{8}", countries.tax_id(rng, countries.country("AUT")))
    with pytest.raises(InputError, match="unknown country 'GER'"):
        countries.country("GER")


def test_names_belong_to_their_split_and_language() -> None:
    for locale in ("de_DE", "fr_FR", "en_US", "et_EE"):
        pools = {split: set(names.surnames(split, locale)) for split in names.SPLITS}
        assert all(len(pool) >= 25 for pool in pools.values()) and not pools["train"] & pools["test"]
    assert "MÜLLER" not in names.surnames("train", "de_DE")


def test_sums_in_words() -> None:
    assert in_words(123456, "en", "USD") == "One Thousand Two Hundred Thirty Four and 56/100 Dollars"
    assert in_words(7, "en", "INR") == "Zero and 07/100 Rupees"
    with pytest.raises(InputError, match="no words"):
        in_words(100, "de", "EUR")


def test_every_text_of_a_random_subject_is_any_text_and_the_same_wherever_it_stands() -> None:
    rules = read("passport")
    for seed in range(10):
        subject, _ = draw_subject(rules, np.random.default_rng(seed), "train", rules.issuers["train"][2], True)
        surname = subject.facts["surname"]
        assert isinstance(surname, Said) and surname.text not in names.surnames("train")
        assert subject.say("{surname}") == surname == subject.say("{surname}")
