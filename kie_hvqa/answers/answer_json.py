"""Keys and values out of the text of an answer, however broken its JSON is.

Models truncate, forget quotes, leave quotes inside strings, trail commas, escape everything once more and wrap it in
prose; the published benchmark file has some of that in its own truths. ``pairs`` first takes what stands between
the outer braces as JSON. Where that fails it looks for the official keys one by one and takes as the value of
each what follows it, up to the next key. No recursion on what is nested, and linear time: every repetition in
a regular expression that could start anywhere is bounded.

Only ``kie_hvqa.answers.answer`` imports this. Repairs are noted under the names in ``answer.REPAIRS``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any


class Literal(str):
    """A JSON number as it was written: 007 and 12.50 keep their zeros, and no number is too long to read."""

    __slots__ = ()


# An object becomes a tuple of pairs, which keeps repeated keys and tells it from a list.
_DECODER = json.JSONDecoder(
    object_pairs_hook=tuple,
    parse_int=Literal,
    parse_float=Literal,
    parse_constant=Literal,
)
_ESCAPED_OBJECT = re.compile(r'\{\s{0,64}\\"')


def pairs(body: str, repairs: dict[str, None]) -> Iterable[tuple[str, Any]]:
    """The (key, value) pairs in ``body``, in order; empty where there are none.

    A value is a string, a ``Literal``, None, a list, a tuple of pairs (an object), True or False.
    """
    found = _strict(body, repairs)
    return _tolerant(body, repairs) if found is None else found


def _strict(body: str, repairs: dict[str, None]) -> Iterable[tuple[str, Any]] | None:
    """The pairs of the JSON object in ``body``, or None if what stands between its braces is not JSON."""
    start, end = body.find("{"), body.rfind("}") + 1
    if start < 0:
        return None
    text = body[start : max(end, start)]
    notes = []
    around = body[:start] + body[end:] if end > start else body[:start]
    if around and not around.isspace():
        if "```" in around:
            notes.append("code fence")
            around = re.sub(r"```\w{0,20}", "", around)
        if around.strip():
            notes.append("prose")
    if _ESCAPED_OBJECT.match(text):
        notes.append("escaped JSON")
        text = text.replace('\\"', '"').replace("\\\\", "\\")
    try:
        pairs: Any = _DECODER.decode(text)
    except (ValueError, RecursionError):
        return None
    for _ in range(2):
        if len(pairs) == 1 and isinstance(pairs[0][1], tuple):
            notes.append("wrapped")
            pairs = pairs[0][1]
    repairs.update(dict.fromkeys(notes))
    return pairs


_QUOTES = {'"': '"', "'": "'", "`": "`", "“": "”", "‘": "’", "”": "”", "’": "’"}
_GAP = r"[\s_\-]{0,4}"
_NOT_CLEAR = rf"not{_GAP}clear(?:{_GAP}enough)?{_GAP}"
_KEY = re.compile(
    rf"""(?:\\?["'`“”‘’]|[{{,，])\s{{0,8}}
    ((?:{_NOT_CLEAR}|clear{_GAP})(?:char{_GAP}level{_GAP}ocr|number)|final{_GAP}ocr|bbox_2d)
    \s{{0,8}}\\?["'`“”‘’]?\s{{0,8}}([:：])""",
    re.IGNORECASE | re.VERBOSE,
)
# The quote that ends a value is the one before a brace, the end, or a comma that a key follows; others are inside it.
_CLOSE = {
    quote: re.compile(
        rf"""(?<!\\){quote}\s{{0,64}}(?:\Z|\}}|[,，]\s{{0,64}}(?:\Z|["'][^"':：]{{0,80}}["']\s{{0,8}}[:：]))"""
    )
    for quote in set(_QUOTES.values())
}
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.)|\Z)", re.DOTALL)
_PARTIAL_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{0,3})?\Z")
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_ITEM = re.compile(r""""([^"]*)"|'([^']*)'|([^,\s"'\[\]]+)""")


def _tolerant(body: str, repairs: dict[str, None]) -> list[tuple[str, Any]]:
    """Pick the official keys and their values out of text that is not JSON."""
    if re.search(r'[{,]\s{0,64}\\"', body):
        repairs["escaped JSON"] = None
        body = body.replace('\\"', '"').replace("\\\\", "\\")
    keys = list(_KEY.finditer(body))
    if "{" not in body:  # without a brace only a quoted key tells JSON from prose
        keys = [key for key in keys if key[0][0] not in ",，"]
    if not keys:
        return []
    repairs["malformed JSON"] = None
    if any(key[2] == "：" for key in keys):
        repairs["full-width"] = None
    if "```" in body:
        repairs["code fence"] = None
    if "}" not in body[keys[-1].end() :]:
        repairs["truncated JSON"] = None
    pairs = []
    for index, key in enumerate(keys):
        last = index + 1 == len(keys)
        segment = body[key.end() :] if last else body[key.end() : keys[index + 1].start()]
        is_final = key[1][:1] in "fF"
        value = _value(segment, last, "truncated final" if is_final else "unclosed string", repairs)
        if value is not _NOTHING:
            pairs.append((key[1], value))
    return pairs


_NOTHING = object()


def _value(segment: str, last: bool, unclosed: str, repairs: dict[str, None]) -> Any:
    """The value at the head of ``segment``, which runs up to the next key; _NOTHING where there is none."""
    text = segment.lstrip()
    if text.startswith('\\"'):
        text = text[1:]
    if not text:
        return _NOTHING
    if text[0] == "[":
        inner, closed, _ = text[1:].partition("]")
        if not closed:
            repairs["unclosed string"] = None
        try:
            items = _DECODER.decode(f"[{inner}]")
        except (ValueError, RecursionError):
            items = [next(part for part in item.groups() if part is not None) for item in _ITEM.finditer(inner)]
        return items
    quote = _QUOTES.get(text[0])
    if quote is None:
        bare = re.match(r"[^,，}\n]*", text)[0].strip()  # type: ignore[index]
        if bare.lower() in ("null", "none"):
            return None
        if bare and not bare.strip("0123456789.-+"):
            return Literal(bare)
        if not bare or bare[0] in "{}":
            return _NOTHING
        repairs["unquoted value"] = None
        return bare
    text = text[1:]
    close = _CLOSE[quote].search(text)
    at = close.start() if close else text.rfind(quote)
    if at >= 0:
        content = text[:at]
    else:
        repairs[unclosed] = None
        content = text if last else text.rstrip().removesuffix(",")
        if content.rstrip().endswith("}"):
            content = content.rstrip().removesuffix("}")
        content = _PARTIAL_ESCAPE.sub("", content)
    return _ESCAPE.sub(_unescape, content) if "\\" in content else content


def _unescape(match: re.Match[str]) -> str:
    if match[1]:
        return chr(int(match[1], 16))
    return _ESCAPED.get(match[2], match[2]) if match[2] else ""
