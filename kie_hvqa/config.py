"""YAML recipes, read strictly: a key nobody reads is an error that names its line and the nearest real key.

A recipe is a pydantic model that derives from ``Config``. ``load`` reads the YAML, applies ``key=value``
overrides (dotted keys, YAML values) and validates. ``base: other.yaml`` takes another recipe's keys, where its own say
nothing; the path is relative to the recipe, and ``base: grpo/tiny`` is a shipped one. Nothing is coerced silently: ``"3"``
is not a number. Three things differ from YAML 1.1 as PyYAML reads it: ``1e-4`` is a number (everybody who types it means one), ``no``, ``off`` and their
like are words (``save_strategy: no``), as in YAML 1.2, and a key that stands twice in a mapping is an error, not the last
of the two.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from kie_hvqa.errors import InputError
from kie_hvqa.shipped import recipe


class Config(BaseModel):
    """Base of every recipe: unknown keys are errors, values keep their types, instances do not change."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


PathText = Annotated[str, AfterValidator(os.path.expanduser)]
"""A path in a recipe: ``~`` is the user's home there too, since no shell sees it (nor that of ``output_dir=~/run``)."""

T = TypeVar("T", bound=Config)


class _Loader(yaml.SafeLoader):
    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        problem=f"the key `{key.value}` stands twice in one mapping", problem_mark=key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)


_BOOL = "tag:yaml.org,2002:bool"
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in known if tag != _BOOL]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_BOOL, re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def load(path: str | Path, model: type[T], overrides: Sequence[str] = ()) -> T:
    """Read the recipe at ``path`` as ``model``; each override is ``dotted.key=YAML value``.

    Raises InputError naming file, line, key and remedy.
    """
    data, sources = _inherited(Path(path), "base" not in model.model_fields, ())
    for override in overrides:
        _override(data, override)
    return validate(data, model, sources=sources)


_Source = tuple[Path, Any]
"""A recipe's file and its YAML nodes."""


def _inherited(path: Path, inherits: bool, above: tuple[Path, ...]) -> tuple[dict[str, Any], list[_Source]]:
    """The keys of the recipe at ``path`` over those of its ``base``, and the files they come from, its own first."""
    data, node = _read(path)
    sources = [(path, node)]
    base = data.pop("base", None) if inherits else None
    if base is None:
        return data, sources
    if not isinstance(base, str) or path.resolve() in above:
        raise InputError(
            "a recipe's base is another recipe, which leads back to none before it",
            file=path,
            line=line_of(node, ["base"]),
            field="base",
            remedy="Name a file beside this one.",
        )
    beside = path.parent / base
    under, more = _inherited(beside if beside.suffix else recipe("", base), True, (*above, path.resolve()))
    return _over(under, data), [*sources, *more]


def _over(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Mappings are merged key by key; anything else is replaced."""
    merged = dict(under)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _over(merged[key], value) if both else value
    return merged


def _read(path: Path) -> tuple[dict[str, Any], Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError("no such recipe", file=path, remedy="See configs/ for the shipped ones.") from None
    except (IsADirectoryError, UnicodeDecodeError) as error:
        raise InputError(f"not a YAML recipe ({error})", file=path, remedy="Name a .yaml file.") from None
    return parsed(text, path)


def parsed(text: str, path: Path) -> tuple[dict[str, Any], Any]:
    """The mapping that ``text`` (YAML, or JSON without tabs) holds, and its nodes, which know their lines. ``path`` is for errors.

    Raises InputError.
    """
    try:
        data = yaml.load(text, Loader=_Loader)
        node = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = None if mark is None else mark.line + 1
        raise InputError(
            f"not YAML ({getattr(error, 'problem', None) or error})", file=path, line=line, remedy="Mend that line."
        ) from None
    except RecursionError:
        raise InputError("nested too deeply for a recipe", file=path, remedy="Write it flat.") from None
    except ValueError as error:  # a date that no calendar has, a number that is none
        raise InputError(f"a value that is not what its tag says ({error})", file=path, remedy="Quote it.") from None
    data = {} if data is None else data
    if not isinstance(data, dict):
        raise InputError(
            "a recipe is a mapping of keys to values", file=path, line=1, remedy="Start with `key: value`."
        )
    return data, node


def validate(data: Mapping[str, Any], model: type[T], *, sources: Sequence[_Source] = ()) -> T:
    """Validate plain data as ``model``; the first thing wrong becomes an InputError in the file that says it."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        location = [part for part in first["loc"] if isinstance(part, (str, int))]
        key = ".".join(str(part) for part in location)
        remedy = "Mend the value."
        what = str(first["msg"]).removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            what = "unknown key"
            remedy = nearest(str(location[-1]), _known_keys(model, location[:-1]))
        elif first["type"] == "missing":
            what, remedy = "this key is required", "Add it."
        file, node = next((one for one in sources if _holds(one[1], location)), sources[0] if sources else (None, None))
        raise InputError(what, file=file, line=line_of(node, location), field=key, remedy=remedy) from None


def assignments(overrides: Iterable[str]) -> dict[str, Any]:
    """``dotted.key=YAML value`` arguments as a mapping of their own. Raises InputError for what is no such thing."""
    data: dict[str, Any] = {}
    for override in overrides:
        _override(data, override)
    return data


def nearest(name: str, known: Iterable[str]) -> str:
    """The sentence that suggests what was probably meant."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if close:
        return f"Did you mean `{close[0]}`?"
    return f"Known here: {', '.join(known)}." if known else "Remove it."


def _override(data: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise InputError("an override is key=value", field=override, remedy="Write it as training.learning_rate=1e-4.")
    *parents, last = key.split(".")
    target: Any = data
    for parent in parents:
        if isinstance(target, dict):
            target = target.setdefault(parent, {})
            continue
        raise InputError("this key does not lead to a mapping", field=key, remedy="Check the dotted path.")
    if not isinstance(target, dict):
        raise InputError("this key does not lead to a mapping", field=key, remedy="Check the dotted path.")
    try:
        target[last] = yaml.load(value, Loader=_Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"not a YAML value ({error})", field=key, remedy="Quote it.") from None


def line_of(node: Any, location: Sequence[str | int]) -> int | None:
    """The 1-based line of the deepest part of ``location`` that the YAML holds."""
    line = None
    for part in location:
        if isinstance(node, yaml.MappingNode):
            found = next(((k, v) for k, v in node.value if k.value == str(part)), None)
            if found is None:
                continue  # a union member or model name in pydantic's path, not a key
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
    return line


def _holds(node: Any, location: Sequence[str | int]) -> bool:
    """Whether the YAML says something at ``location``, as far as that is keys of mappings."""
    for part in location:
        if isinstance(node, yaml.MappingNode):
            node = next((value for key, value in node.value if key.value == str(part)), None)
            if node is None:
                return False
    return bool(location)


def _known_keys(model: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    """The keys that the model at ``location`` takes; empty where the path leaves the models."""
    current: Any = model
    for part in location:
        if isinstance(part, int):
            continue
        field = current.model_fields.get(part) if isinstance(current, type) and issubclass(current, BaseModel) else None
        if field is None:
            continue
        current = next(
            (a for a in _flatten(field.annotation) if isinstance(a, type) and issubclass(a, BaseModel)), None
        )
        if current is None:
            return []
    return list(current.model_fields)


def _flatten(annotation: Any) -> list[Any]:
    inner = get_args(annotation)
    return [annotation] if not inner else [leaf for part in inner for leaf in _flatten(part)]
