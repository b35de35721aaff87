"""Templates as data: the shipped ones are many and unlike, and anybody's own is read strictly and drawn as any other."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from degradations.config import SimulateConfig
from degradations.documents import names, render
from degradations.documents import template as read
from degradations.documents.subjects import countries
from degradations.documents.template import Template
from degradations.pages import PageKey
from degradations.replay import replay
from degradations.simulate import document_samples
from kie_hvqa.config import validate
from kie_hvqa.errors import InputError

DOCS = Path(__file__).parents[3] / "docs" / "templates.md"
BILLS = tuple(name for name in names() if read(name).document_type != "id_card")


def body(template: Template) -> set[tuple[str, int, int]]:
    """What stands where: each element with its corner, on a grid of 4 mm."""
    found = set()
    for element in template.layouts["full"].elements:
        place = getattr(element, "box", None) or element.at  # type: ignore[union-attr]
        for index, line in enumerate(getattr(element, "lines", []) if element.draw == "roll" else []):
            found.add((line.field or line.left + line.centre + line.fill, index // 2, round(line.size)))
        if not isinstance(place[1], str):
            kind = getattr(element, "kind", None) or getattr(element, "field", None) or element.draw
            found.add((str(kind), round(float(place[0]) / 4), round(float(place[1]) / 4)))
    return found


def test_there_are_twelve_identity_cards_and_twenty_bills_and_none_has_the_body_of_another() -> None:
    cards = [name for name in names() if read(name).document_type == "id_card"]
    assert len(cards) >= 12 and len(BILLS) >= 20
    for one, other in combinations(names(), 2):
        a, b = body(read(one)), body(read(other))
        size = read(one).layouts["full"].size == read(other).layouts["full"].size
        assert not size or len(a & b) <= 0.5 * min(len(a), len(b)), (one, other)
    assert {read(name).material for name in names()} >= {"paper", "plastic", "thermal"}


@pytest.mark.parametrize("name", BILLS)
def test_a_bill_adds_up_and_pays_into_an_account_of_its_country(name: str) -> None:
    for seed in range(2):
        bill = render(name, np.random.default_rng(seed), scale="full", split=("train", "test")[seed])
        cents = {
            key: int(re.sub(r"\D", "", bill.identity[key]))
            for key in ("total", "tax", "subtotal")
            if key in bill.identity
        }
        if {"total", "tax", "subtotal"} <= set(cents):
            assert cents["total"] == cents["subtotal"] + cents["tax"]
        if "iban" in bill.identity:
            assert countries.valid_iban(bill.identity["iban"])
            assert bill.identity["iban"].startswith(countries.country(bill.identity["issuer"]).two)
        for item in bill.identity["items"].split("; "):
            amount = re.sub(r"\D", "", item.rsplit("= ", 1)[1])
            assert 0 < int(amount) < 10**9


def own(folder: Path) -> Path:
    """The worked example of the documentation, as a file."""
    text = next(
        block
        for block in re.findall(r"```yaml\n(.*?)```", DOCS.read_text(), re.S)
        if "club_card.yaml" in block.splitlines()[0]
    )
    path = folder / "club_card.yaml"
    path.write_text(text)
    return path


def test_the_worked_example_is_drawn_simulated_and_replayed_from_its_path(tmp_path: Path) -> None:
    path = own(tmp_path)
    card = render(str(path), np.random.default_rng(1), scale="full")
    assert set(card.fields) == {"surname", "document_number", "expiry_date"}
    assert card.template == str(path) and card.material == "plastic" and card.image.shape == (638, 1013, 3)
    assert re.fullmatch(r"CL-\d{5}", card.fields["document_number"].value)
    recipe = {"count": 1, "scale": "full", "templates": {str(path): 1}, "severities": {3: 1}, "operators": {"jpeg": 1}}
    rows = document_samples(validate(recipe, SimulateConfig), 0)
    for row, image, _ in rows:
        assert PageKey.of(row).template == str(path)
        assert np.array_equal(replay(row), image)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("draw: band", "draw: bend", r"club_card\.yaml:35.*bend"),
        ('{surname}"', '{surnam}"', "there is no fact 'surnam'. *.*surname"),
        (
            "box: [30, 12, 50, 28]",
            "box: [30, 12, 5, 28]",
            "club_card.surname.*does not fit|club_card.surname.*pixels wide",
        ),
        (
            "rows: [[surname], [document",
            "rows: [[surnam], [document",
            "a row names the field 'surnam'.*Did you mean `surname`",
        ),
        ("backgrounds: [waves]", "backgrounds: [wave]", "unknown background 'wave'.*Did you mean `waves`"),
        ("eef4fa d6e4f2", "eef4fa", "palette 'river' is not six colours"),
        ("person: {age", "persons: {age", "unknown key.*Did you mean `person`"),
        (
            "country: GBR}, {name: Ruderverein, country: DEU",
            "country: XXX}, {name: R, country: XXX",
            "unknown country 'XXX'",
        ),
    ],
)
def test_what_is_wrong_in_a_template_is_said(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = own(tmp_path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError) as caught:
        render(str(path), np.random.default_rng(2), scale="full")
    assert re.search(message, str(caught.value), re.S), str(caught.value)


def test_a_recipe_that_names_no_template_says_what_it_could(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such recipe"):
        validate({"count": 1, "templates": {str(tmp_path / "none.yaml"): 1}}, SimulateConfig)
    with pytest.raises(InputError, match=r"unknown template 'us_license'.*us_licence"):
        validate({"count": 1, "templates": {"us_license": 1}}, SimulateConfig)
