"""What is asked: files of fields and JSON Schemas, and errors that name the line and the key."""

from __future__ import annotations

import json

import pytest

from kie_hvqa.commands.read import fields_of, template_fields
from kie_hvqa.errors import InputError
from kie_hvqa.reading.fields import Field, load_fields


def test_a_field_is_a_title_or_a_mapping(tmp_path):
    file = tmp_path / "fields.yaml"
    file.write_text(
        "fields:\n"
        "  surname: surname\n"
        "  given_names:\n"
        '  total: {question: "How much is due?", pattern: amount, group: sums, labels: [Total, Amount due]}\n'
    )
    surname, given, total = load_fields(file)
    assert surname == Field("surname", "surname", "What is the surname in the image?")
    assert given.question == "What is the given names in the image?"
    assert (total.question, total.pattern, total.group) == ("How much is due?", "amount", "sums")
    assert total.labels == ("Total", "Amount due")


SCHEMA = {
    "type": "object",
    "title": "Invoice",
    "properties": {
        "number": {"type": "string", "title": "invoice number", "pattern": "[A-Z]{2}\\d+"},
        "date": {"type": "string", "format": "date", "title": "invoice date"},
        "seller": {"type": "object", "properties": {"name": {"title": "name of the seller"}}},
    },
}


def test_a_json_schema_says_the_same(tmp_path):
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(SCHEMA, indent="\t"))
    number, date, seller = load_fields(file)
    assert (number.name, number.title, number.pattern) == ("number", "invoice number", "[A-Z]{2}\\d+")
    assert date.pattern == "date"
    assert (seller.name, seller.group) == ("name", "seller")


@pytest.mark.parametrize(
    ("name", "text", "line", "key", "what"),
    [
        ("f.yaml", "fields:\n  a: a\n  b: {titel: b}\n", 3, "fields.b.titel", "unknown key"),
        ("f.yaml", "fields:\n  a: a\n  b: {pattern: '('}\n", 3, "fields.b.pattern", "regular expression"),
        ("f.yaml", "fields:\n  a: 3\n", 2, "fields.a", "dictionary"),
        ("f.yaml", "fields:\n  a: ''\n", 2, "fields.a.title", "empty"),
        ("f.yaml", "feilds: {}\n", None, "fields", "required"),
        ("f.yaml", "fields: {}\n", None, "fields", "no fields"),
        ("f.yaml", "fields:\n  a: a\n  a: b\n", 3, None, "twice"),
        ("f.yaml", "fields:\n  'a/b': a\n", None, "fields", "no name of a field"),
        ("s.json", '{"properties": {\n"a": {"type": "string"}}}', 2, "properties.a", "no title"),
        ("s.json", '{"properties": {\n"a": {"title": "a",\n"type": "array"}}}', 3, "properties.a.type", "array"),
        ("s.json", '{"properties": {\n"a": {"title": "a",\n"pattern": "("}}}', 3, "properties.a.pattern", "regular"),
        ("s.json", '{"properties": {\n"a": {"title": 3}}}', 2, "properties.a.title", "string"),
        ("s.json", '{"properties": {\n"a": }', 2, None, "not JSON"),
        (
            "s.json",
            '{"properties": {"a": {"title": "a"}, "b": {"properties": {"a": {"title": "b"}}}}}',
            None,
            "a",
            "twice",
        ),
    ],
)
def test_errors_name_the_line_and_the_key(tmp_path, name, text, line, key, what):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError) as caught:
        load_fields(tmp_path / name)
    assert (caught.value.line, caught.value.field) == (line, key)
    assert what in caught.value.what and str(tmp_path / name) in str(caught.value)


def test_every_shipped_template_is_a_set_of_fields():
    from degradations.documents import names, template

    assert len(names()) == 39
    for name in names():
        found = template_fields(name)
        assert {field.name: field.title for field in found} == template(name).questions
    assert {field.name: field.labels for field in template_fields("us_licence")}["surname"] == ("LN",)


def test_exactly_one_thing_says_what_is_asked(tmp_path):
    with pytest.raises(InputError):
        fields_of(None, None, None)
    with pytest.raises(InputError):
        fields_of(None, "us_licence", ["surname"])
    assert [field.name for field in fields_of(None, None, ["date of birth", "No."])] == ["date_of_birth", "no"]
    with pytest.raises(InputError, match="twice"):
        fields_of(None, None, ["surname", "Surname"])
