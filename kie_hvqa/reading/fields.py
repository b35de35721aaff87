"""What is asked of a document: a file of fields, a JSON Schema, a shipped set, or names on the command line.

A file of fields is YAML; a field is what a question calls it, or a mapping that says more::

    fields:
      surname: surname
      date_of_birth: {title: date of birth, pattern: date, labels: [DOB, Born], group: holder}
      total: {question: "What is the amount to be paid?", pattern: amount}

A JSON Schema (an object with ``properties``, each with a ``title``) says the same; ``pattern``, ``format: date`` and the
properties of nested objects, which become groups, are taken, anything else it says is not a reader's business. Patterns only
judge what was read (``reading.checks``): they never fill a gap. ``labels`` are the words that a page prints beside the value:
an OCR engine, which cannot be asked, finds the field by them (``reading.by_label``). ``stops`` are labels of what stands beside it and is
not asked: a value ends there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, field_validator

from kie_hvqa.config import Config, load, parsed, validate
from kie_hvqa.errors import InputError

KINDS = ("date", "amount", "mrz")
"""Patterns that have a name; any other is a regular expression for the whole value."""
MOST_FIELDS = 1000
_NAME = re.compile(r"[^\W_][\w .:-]{0,99}")
_LONGEST = 2000  # characters of a question


@dataclass(frozen=True, slots=True)
class Field:
    """One thing to be read. ``question`` is what a reader is asked, in words; ``title`` what a person calls it."""

    name: str
    title: str
    question: str
    pattern: str | None = None
    group: str | None = None
    labels: tuple[str, ...] = ()
    stops: tuple[str, ...] = ()

    @classmethod
    def called(cls, title: str) -> Field:
        """The field of that title, asked about as the readers here were taught to be asked."""
        return cls(_slug(title), title, _question(title))


class FieldRules(Config):
    """What a file may say about one field."""

    title: str | None = None
    question: str | None = None
    pattern: str | None = None
    group: str | None = None
    labels: list[str] = []
    stops: list[str] = []

    @field_validator("pattern")
    @classmethod
    def _pattern(cls, value: str | None) -> str | None:
        if value is not None and value not in KINDS:
            try:
                re.compile(value)
            except (re.error, RecursionError, OverflowError) as error:
                raise ValueError(f"neither {', '.join(KINDS)} nor a regular expression ({error})") from None
        return value

    @field_validator("title", "question")
    @classmethod
    def _words(cls, value: str | None) -> str | None:
        if value is not None and not 0 < len(value.strip()) <= _LONGEST:
            raise ValueError(f"it is empty, or longer than {_LONGEST} characters")
        return value

    def named(self, name: str) -> Field:
        title = self.title or name.replace("_", " ")
        question = self.question or _question(title)
        return Field(name, title, question, self.pattern, self.group, tuple(self.labels), tuple(self.stops))


def _rules(value: Any) -> Any:
    return {"title": value} if isinstance(value, str) else {} if value is None else value


class FieldsFile(Config):
    """A file of fields; ``base: other.yaml`` takes another file's fields and adds to them."""

    name: str | None = None
    fields: dict[str, Annotated[FieldRules, BeforeValidator(_rules)]]


class _Property(BaseModel):
    """What is taken of a property of a JSON Schema."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)

    title: str | None = None
    question: str | None = None
    pattern: str | None = None
    format: str | None = None
    type: str | list[str] | None = None
    properties: dict[str, _Property] | None = None


class _Schema(Config):
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)

    properties: dict[str, _Property]


def load_fields(path: Path) -> tuple[Field, ...]:
    """The fields that the file at ``path`` names, in its order. InputError naming file, line and key."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(
            "no such file of fields", file=path, remedy="See docs/reading.md for what is in one."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read ({error})", file=path, remedy="Name a .yaml or .json file.") from None
    if path.suffix.lower() == ".json" or text.lstrip().startswith("{"):
        try:
            json.loads(text)
        except RecursionError:
            raise InputError("nested too deeply", file=path, remedy="Write it flat.") from None
        except ValueError as error:
            line = error.lineno if isinstance(error, json.JSONDecodeError) else None
            raise InputError(f"not JSON ({error})", file=path, line=line, remedy="Mend that line.") from None
        text = text.replace("\t", " ")  # between values only: inside a JSON string a tab is written \t
    data, node = parsed(text, path)
    if "properties" in data and "fields" not in data:
        schema = validate(data, _Schema, sources=[(path, node)])
        found = list(_of_properties(schema.properties, data["properties"], path, node, ("properties",), None))
    else:
        file = (
            load(path, FieldsFile)
            if path.suffix.lower() != ".json"
            else validate(data, FieldsFile, sources=[(path, node)])
        )
        found = [rules.named(name) for name, rules in file.fields.items()]
    return checked(found, path)


def _of_properties(
    properties: Mapping[str, _Property], raw: Any, path: Path, node: Any, place: tuple[str, ...], group: str | None
) -> Iterator[Field]:
    for name, said in properties.items():
        here = (*place, name)
        if said.properties is not None:
            yield from _of_properties(said.properties, raw[name]["properties"], path, node, (*here, "properties"), name)
            continue
        if said.title is None and said.question is None:
            raise _at(path, node, here, "this property has no title, and a question needs words", "Give it a title.")
        if said.type not in (None, "string", "number", "integer") and not isinstance(said.type, list):
            what = f"a property of type {said.type!r} is no one value that a page prints"
            raise _at(path, node, (*here, "type"), what, "Name its values one by one.")
        pattern = said.pattern
        if pattern is None and said.format == "date":
            pattern = "date"
        try:
            rules = FieldRules(title=said.title, question=said.question, pattern=pattern, group=group)
        except ValueError as error:
            what = (
                str(error.errors()[0]["msg"]).removeprefix("Value error, ") if hasattr(error, "errors") else str(error)
            )
            raise _at(path, node, (*here, "pattern"), what, "Mend the value.") from None
        yield rules.named(name)


def _at(path: Path, node: Any, place: Sequence[str], what: str, remedy: str) -> InputError:
    from kie_hvqa.config import line_of

    return InputError(what, file=path, line=line_of(node, place), field=".".join(place), remedy=remedy)


def checked(fields: Sequence[Field], path: Path | None = None) -> tuple[Field, ...]:
    """``fields`` whose names can stand in a row's id and in a table's head, each once. InputError otherwise."""
    if not fields:
        raise InputError("there are no fields", file=path, field="fields", remedy="Name at least one.")
    if len(fields) > MOST_FIELDS:
        raise InputError(f"more than {MOST_FIELDS} fields", file=path, field="fields", remedy="Ask for fewer.")
    seen: set[str] = set()
    for field in fields:
        if not _NAME.fullmatch(field.name):
            raise InputError(
                f"{field.name[:100]!r} is no name of a field",
                file=path,
                field="fields",
                remedy="Use letters, digits, spaces and _ . : - in it, a letter or a digit first.",
            )
        if field.name in seen:
            raise InputError("this field is named twice", file=path, field=field.name, remedy="Name it once.")
        seen.add(field.name)
    return tuple(fields)


def _question(title: str) -> str:
    return f"What is the {title} in the image?"


def _slug(title: str) -> str:
    return re.sub(r"\W+", "_", title.strip()).strip("_").lower()[:100] or "field"
