"""The contract of clean documents: what is printed is what is said, for every template, split and scale."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from degradations.documents import (
    Document,
    question_names,
    render,
    templates,
    typeset,
)
from degradations.documents import names as template_names
from degradations.documents import template as read
from degradations.documents.art.backgrounds import KINDS
from degradations.documents.art.palette import GROUNDS
from degradations.documents.subjects import mrz, names, scripts
from degradations.documents.text_block import render_text_block
from kie_hvqa.errors import InputError

TEMPLATES = template_names()
TINY = templates("tiny")


def test_every_ground_that_a_template_may_name_is_drawn():
    assert list(KINDS) == list(GROUNDS)


def draw(name: str, seed: int, **choices: str) -> Document:
    return render(name, np.random.default_rng([seed, 77]), **choices)


def best_scale(template: str) -> str:
    """The smaller of its scales: a page of it is drawn faster."""
    return "tiny" if template in TINY else "full"


def digest(document: Document) -> str:
    parts = document.image.tobytes() + document.ground.tobytes()
    return hashlib.sha256(parts + repr((document.fields, document.text, document.identity)).encode()).hexdigest()


def printed(document: Document) -> str:
    return "".join(char.char for char in document.text)


def check(document: Document, *, tiny: bool) -> None:
    height, width = document.image.shape[:2]
    assert document.image.dtype == np.uint8 and document.ground.shape == document.image.shape
    for name, field in document.fields.items():
        assert name == field.name and field.value.strip() == field.value
        assert len(field.boxes) == len(field.value)
        assert question_names()[document.template][name] == field.question_name
        assert field.label in printed(document) and field.value in printed(document)
        if tiny:
            assert re.fullmatch(r"[A-Z0-9 \-./,]{1,14}", field.value), field.value
            assert 9.5 <= field.style.size <= 13.0
    for char in document.text:
        x0, y0, x1, y1 = char.box
        assert -0.01 <= x0 < x1 <= width + 0.01 and -0.01 <= y0 < y1 <= height + 0.01


@pytest.mark.parametrize("values", ["natural", "random"])
@pytest.mark.parametrize("split", names.SPLITS)
@pytest.mark.parametrize("template", TINY)
def test_every_tiny_document_keeps_the_contract(template: str, split: str, values: str) -> None:
    for seed in range(12):
        document = draw(template, seed, split=split, values=values)
        assert document.template == template and document.document_type == read(template).document_type
        assert all(side % 16 == 0 for side in document.image.shape[:2])
        assert 4 <= len(document.fields) <= 6
        check(document, tiny=True)


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_full_document_keeps_the_contract(template: str) -> None:
    layout = read(template).layouts["full"]
    for seed, split, values in ((0, "train", "natural"), (1, "test", "random")):
        document = draw(template, seed, split=split, values=values, scale="full")
        height, width = document.image.shape[:2]
        assert width == layout.pixels[0] and document.material == read(template).material
        assert height == layout.pixels[1] if layout.cut is None else 300 < height <= layout.pixels[1]
        assert document.density == pytest.approx(width / layout.size[0])
        assert set(document.fields) == set(question_names()[template])
        check(document, tiny=False)


@pytest.mark.parametrize(("template", "scale"), [(name, scale) for name in TEMPLATES for scale in read(name).layouts])
def test_values_printed_again_on_the_ground_give_the_image_bit_for_bit(template: str, scale: str) -> None:
    document = draw(template, 5, scale=scale)
    page = document.ground.copy()
    for field in document.fields.values():
        line = typeset.typeset(field.value, field.style)
        assert line.boxes == field.boxes
        typeset.ink(page, line, field.style.colour, opaque=field.style.opaque)
    assert np.array_equal(page, document.image)
    assert not np.array_equal(document.ground, document.image)


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_ink_of_a_value_lies_in_its_boxes_and_nowhere_else(template: str) -> None:
    document = draw(template, 6, scale=best_scale(template))
    changed = (document.image != document.ground).any(axis=2)
    edge = 1 if best_scale(template) == "tiny" else 2  # what antialiasing adds around a glyph
    for field in document.fields.values():
        for char, (x0, y0, x1, y1) in zip(field.value, field.boxes, strict=True):
            region = changed[max(int(y0) - 1, 0) : int(y1) + 2, int(x0) - 1 : int(x1) + 2]
            assert char == " " or region.any(), (field.name, char)
        x0, y0, x1, y1 = field.boxes[0][0], field.boxes[0][1], field.boxes[-1][2], field.boxes[-1][3]
        changed[max(int(y0) - edge, 0) : int(y1) + edge + 1, max(int(x0) - edge - 1, 0) : int(x1) + edge + 2] = False
    assert not changed.any()


@pytest.mark.parametrize("template", TEMPLATES)
def test_values_stand_out_from_their_ground(template: str) -> None:
    for seed in range(6):
        document = draw(template, seed, split="test", scale=best_scale(template))
        for field in document.fields.values():
            line = typeset.typeset(field.value, field.style)
            h, w = line.coverage.shape
            area = (slice(line.top, line.top + h), slice(line.left, line.left + w))
            solid = line.coverage > 230
            fall = document.ground[area][solid].astype(float).mean() - document.image[area][solid].astype(float).mean()
            assert abs(fall) > 100, (field.name, fall)  # some panels are printed white on dark


def test_the_same_seed_gives_the_same_bytes_in_another_process_and_another_order() -> None:
    here = {template: digest(draw(template, 3, scale=best_scale(template))) for template in TEMPLATES}
    wall = hashlib.sha256(render_text_block(np.random.default_rng(3)).image.tobytes()).hexdigest()
    code = (
        "import hashlib, numpy as np\n"
        "from tests.degradations.documents.test_documents import TEMPLATES, best_scale, digest, draw, render_text_block\n"
        "for template in reversed(list(TEMPLATES)):\n"
        "    for seed in (9, 3):\n"
        "        found = digest(draw(template, seed, scale=best_scale(template)))\n"
        "    print(template, found)\n"
        "print('wall', hashlib.sha256(render_text_block(np.random.default_rng(3)).image.tobytes()).hexdigest())\n"
    )
    root = Path(__file__).parents[3]
    environment = {**os.environ, "PYTHONHASHSEED": "4711", "PYTHONPATH": str(root)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    there = dict(line.split() for line in done.stdout.splitlines())
    assert there == {**here, "wall": wall}


def test_a_full_document_does_not_depend_on_what_was_drawn_before() -> None:
    first = digest(draw("us_licence", 8, scale="full"))
    draw("eu_card", 1, scale="full")
    assert digest(draw("us_licence", 8, scale="full")) == first != digest(draw("us_licence", 9, scale="full"))


def test_no_surname_is_in_two_splits() -> None:
    pools = {split: set(names.surnames(split)) for split in names.SPLITS}
    assert all(len(pool) > 500 for pool in pools.values())
    assert not pools["train"] & pools["validation"] and not (pools["train"] | pools["validation"]) & pools["test"]
    for split, pool in pools.items():
        for template in TINY:
            for seed in range(8):
                document = draw(template, seed, split=split)
                holder = document.identity.get("surname") or document.identity["customer"]
                assert holder in pool or holder.rsplit(" ", 1)[0] in pool


@pytest.mark.parametrize("template", TEMPLATES)
def test_test_drawings_are_never_seen_in_training(template: str) -> None:
    seen, held = read(template).looks["train"], read(template).looks["test"]
    assert not set(seen.palettes) & set(held.palettes)
    assert not set(seen.backgrounds) & set(held.backgrounds)
    assert {family for family, _ in held.face_list()} - {family for family, _ in seen.face_list()}
    named = [{issuer.get("name") for issuer in read(template).issuers[split]} - {None} for split in ("train", "test")]
    assert not named[0] & named[1]
    orders = [arrangement.rows for arrangement in held.arrangements if arrangement.rows]
    for seed in range(200):
        arrangement = seen.arrangements[seed % len(seen.arrangements)]
        assert arrangement.rows not in orders
        if len(arrangement.rows) > 2:
            shuffled = arrangement.shuffled(np.random.default_rng(seed), orders)
            assert shuffled.rows not in orders
            assert sorted(map(sorted, shuffled.rows)) == sorted(map(sorted, arrangement.rows))


@pytest.mark.parametrize("template", ["us_licence", "eu_card", "passport", "residence_permit"])
def test_an_issuer_has_one_look_and_one_order_of_rows_and_a_stress_has_another(template: str) -> None:
    scale = best_scale(template)
    by_issuer: dict[str, set[tuple[str, ...]]] = {}
    for seed in range(24):
        drawing = draw(template, seed, scale=scale).drawing
        look = tuple(drawing[aspect] for aspect in ("palette", "background", "arrangement", "label_face"))
        by_issuer.setdefault(drawing["issuer"], set()).add(look)
    assert len(by_issuer) > 4 and all(len(looks) == 1 for looks in by_issuer.values())
    assert len(set.union(*by_issuer.values())) > 3
    shuffled = draw(template, 3, scale=scale, rows="shuffled")
    assert shuffled.drawing["arrangement"].endswith("-shuffled")
    assert set(shuffled.fields) == set(draw(template, 3, scale=scale).fields)


@pytest.mark.parametrize("template", ["invoice_classic", "invoice_modern"])
@pytest.mark.parametrize("scale", ["tiny", "full"])
def test_line_items_add_up(template: str, scale: str) -> None:
    def cents(text: str) -> int:
        units, hundredths = text.replace(",", "").split(".")
        return int(units) * 100 + int(hundredths)

    for seed in range(8 if scale == "tiny" else 2):
        document = draw(template, seed, scale=scale)
        amounts = []
        for item in document.identity["items"].split("; "):
            match = re.fullmatch(r"(\d+) x (.+) @ ([\d,]+\.\d\d) = ([\d,]+\.\d\d)", item)
            assert match, item
            assert int(match[1]) * cents(match[3]) == cents(match[4])
            assert f"{match[3]}{match[4]}" in printed(document)  # neighbours in the table
            amounts.append(cents(match[4]))
        tax, total = cents(document.fields["tax"].value), cents(document.fields["total"].value)
        assert total == sum(amounts) + tax
        assert abs(tax - sum(amounts) * float(document.identity["tax_rate"]) / 100) <= 0.5
        if "subtotal" in document.fields:
            assert cents(document.fields["subtotal"].value) == sum(amounts)


@pytest.mark.parametrize(("scale", "values"), [("tiny", "natural"), ("tiny", "random"), ("full", "natural")])
def test_a_passport_prints_a_valid_zone_that_agrees_with_its_fields(scale: str, values: str) -> None:
    for seed in range(8 if scale == "tiny" else 2):
        document = draw("passport", seed, scale=scale, values=values)
        upper, lower = (line.text for line in document.lines if len(line.text) == 44)
        assert len(upper) == len(lower) == 44
        for start, end in ((0, 9), (13, 19), (21, 27)):
            assert mrz.check_digit(lower[start:end]) == lower[end]
        assert mrz.check_digit(lower[0:10] + lower[13:20] + lower[21:43]) == lower[43]
        surname, given = (document.fields[name].value for name in ("surname", "given_names"))
        assert upper[5:].rstrip("<").split("<<") == [re.sub("[ -]", "<", surname), re.sub("[ -]", "<", given)]
        number = document.fields["document_number"].value
        assert lower[:9] == number[:9].ljust(9, "<")
        if scale == "full":
            assert (document.fields["mrz_line_1"].value, document.fields["mrz_line_2"].value) == (upper, lower)


def test_a_residence_permit_prints_a_valid_zone_of_three_lines() -> None:
    for seed in range(3):
        document = draw("residence_permit", seed, scale="full", values=("natural", "random")[seed % 2])
        upper, middle, lower = (document.fields[f"mrz_line_{k}"].value for k in (1, 2, 3))
        assert {len(upper), len(middle), len(lower)} == {30}
        for line, start, end in ((upper, 5, 14), (middle, 0, 6), (middle, 8, 14)):
            assert mrz.check_digit(line[start:end]) == line[end]
        assert mrz.check_digit(upper[5:30] + middle[0:7] + middle[8:15] + middle[18:29]) == middle[29]
        surname = re.sub("[ -]", "<", document.fields["surname"].value)
        assert lower.startswith(f"{surname}<<") and middle[15:18] == document.fields["nationality"].value[:3].ljust(
            3, "<"
        )


def test_a_national_id_prints_the_name_in_both_scripts() -> None:
    met = set()
    for seed in range(6):
        document = draw("national_id", seed, split="test", scale="full")
        native = document.identity["native_surname"]
        script = {"UKR": "ukrainian", "BGR": "bulgarian", "GRC": "greek"}[document.identity["issuer"]]
        assert scripts.latin(native, script) == document.fields["surname"].value
        assert not native.isascii() and native in printed(document)
        assert names.split_of(document.fields["surname"].value) == "test"
        met.add(script)
    assert len(met) > 1


def test_a_till_receipt_adds_up_to_the_change() -> None:
    def cents(name: str) -> int:
        return int(document.fields[name].value.replace(".", ""))

    for seed in range(4):
        document = draw("till_receipt", seed, scale="full")
        items = re.findall(r"([\d.]+) x [^;]+ @ ([\d.]+) = ([\d.]+)", document.identity["items"])
        for count, price, amount in items:
            assert abs(float(count) * float(price) - float(amount)) <= 0.0051
        assert items
        assert cents("subtotal") == sum(round(float(a) * 100) for _, _, a in items)
        assert cents("total") == cents("subtotal") + cents("tax")
        assert cents("change") == cents("paid") - cents("total") >= 0


def test_random_values_have_the_shape_of_natural_ones_and_none_of_their_words() -> None:
    pool = set(names.surnames("train"))
    hits, lengths = 0, set()
    for seed in range(60):
        document = draw("eu_card", seed, values="random")
        fields = document.fields
        hits += fields["surname"].value in pool
        lengths.add(len(fields["surname"].value))
        assert re.fullmatch(r"[A-Z]+([ -][A-Z]+)?", fields["surname"].value)
        assert re.fullmatch(r"\d\d\.\d\d\.\d{4}|\d{4}-\d\d-\d\d", fields["date_of_birth"].value)
        assert re.fullmatch(r"[A-Z]", fields["sex"].value)
    assert hits <= 3 and len(lengths) >= 7
    dates = [draw("us_licence", seed, values="random").fields["date_of_birth"].value for seed in range(40)]
    assert any(int(date[:2]) > 12 for date in dates)  # no calendar helps


def test_a_text_block_is_dense_and_has_no_fields() -> None:
    for seed in range(6):
        document = render_text_block(np.random.default_rng(seed), size=(160, 96))
        assert document.image.shape == (96, 160, 3) and not document.fields
        assert len(document.text) > 40
        assert all(c.box[2] <= 160 and c.box[3] <= 97 for c in document.text)
    offsets = {round(c.box[1]) % 16 for s in range(12) for c in render_text_block(np.random.default_rng(s)).text}
    assert len(offsets) > 12  # lines fall anywhere on a grid of patches


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"name": "us_license"}, "unknown template 'us_license'. did you mean 'us_licence'?"),
        ({"split": "dev"}, "unknown split 'dev'. use one of train, validation, test"),
        ({"scale": "huge"}, "unknown scale 'huge'. use one of full, tiny"),
        ({"name": "fapiao", "scale": "tiny"}, "unknown scale 'tiny'. use one of full"),
        ({"values": "real"}, "unknown kind of values 'real'. use one of natural, random"),
    ],
)
def test_a_wrong_choice_is_named_with_its_remedy(choices: dict[str, str], message: str) -> None:
    with pytest.raises(InputError) as caught:
        render(**{"name": "us_licence", "rng": np.random.default_rng(0), **choices})  # type: ignore[arg-type]
    assert str(caught.value) == message


def test_concepts_that_a_template_lacks_can_be_asked_about() -> None:
    questions = question_names()
    concepts = {concept for asked in questions.values() for concept in asked}
    assert all(concepts - set(asked) for asked in questions.values())
    assert questions["us_licence"]["surname"] == "LN" and questions["passport"]["surname"] == "surname"
