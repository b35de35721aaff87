"""The answer: the one module that reads and writes the official answer JSON.

A reader answers a question about one field with, inside ``<answer>…</answer>`` and optionally after
``<think>…</think>``::

    {"clear Char-level OCR": "S m t", "not clear enough Char-level OCR": "", "clear number": 3,
     "not clear enough number": 0, "Final OCR": "Sm t "}

In ``Final OCR`` a space stands for a character that cannot be read (or for the space between two words:
only an alignment with the ledger can tell). ``render`` writes that JSON, ``parse`` reads it back from
whatever a model really wrote and says in ``Parsed.repairs`` how it had to be mended; the names are the keys
of ``REPAIRS``. The published benchmark file has malformed inner JSON too, and takes the same road.

Rules that decide what counts as an answer:

* Only text outside ``<think>`` is an answer, and of several complete ``<answer>`` blocks the last one is.
* Without ``Final OCR`` there is no reading, whatever the lists say: the lists have no positions.
* Text without the official keys is not a reading.
* Characters without ink (NUL and other controls, zero-width ones, marks of direction) are not part of a reading.
  Look-alikes are: a Cyrillic А where a Latin A is printed is another character. Full-width forms (U+FF01 to U+FF5E, U+3000)
  are their ASCII, and text is composed (NFC), that of the lists after their spaces are gone.
* Besides the space, ``[UNREADABLE]``, ``[illegible]`` and the same in round brackets, U+25A1, U+25AF, U+2588 and U+FFFD are
  marks. Question marks, asterisks, underscores and rows of X are printed on documents too: they stay what they are here,
  and ``kie_hvqa.answers.masks`` says which are marks, with the printed value at hand.
* ``N/A``, ``null``, ``not legible``, ``not present``, ``illegible`` or ``unreadable``, in any case, as the whole answer or as the
  whole ``Final OCR``, refuse the field: unless its characters are counted or listed, as those of a printed "N/A" are.
* A completion longer than ``MAX_CHARS``, or one whose answer is longer than ``MAX_BODY``, is not an answer about one
  field (``too long``); parsing is linear in the rest.

Run: ``python -m kie_hvqa.answers.answer < answer.txt`` prints the reading and its repairs.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from typing import Literal as OneOf

from kie_hvqa.answers.answer_json import Literal, pairs
from kie_hvqa.answers.boxes import BOX_KEY
from kie_hvqa.data.ledger import Box, Slot

ANSWER_FORMAT = "kie-hvqa-1"
MARK = " "
EXPLICIT_MARK = "\u25af"
BOX_GLYPHS = "\u25a1\u25af\u2588\ufffd"  # single characters that are marks wherever they stand
Style = OneOf["official", "explicit", "with_box"]
MAX_CHARS = 1 << 20
MAX_BODY = 1 << 15
MAX_TAGS = 1000
MAX_ANGLES = 1 << 16
MAX_NUMBER = 1_000_000
MAX_ACCENTS = 30  # combining characters in a row: Unicode's own bound (UAX #15), beyond which sorting them is quadratic

KEYS: dict[str, str] = {
    "clear": "clear Char-level OCR",
    "not_clear": "not clear enough Char-level OCR",
    "clear_number": "clear number",
    "not_clear_number": "not clear enough number",
    "final": "Final OCR",
}
"""Part of a reading → its official key, in the official order."""

ORDER: dict[Style, tuple[str, ...]] = {
    "official": tuple(KEYS),
    "explicit": ("final", "clear", "not_clear", "clear_number", "not_clear_number"),
    "with_box": ("final", "clear", "not_clear", "clear_number", "not_clear_number"),
}
"""The parts in the order in which they are written. ``explicit`` is what is easier to learn: Final OCR first, one symbol a slot with
a mark of its own (``EXPLICIT_MARK``: one token in Qwen's vocabulary, and printed on no document); the lists follow from it. A
reader that writes so is read as any other. ``with_box`` is the same with ``boxes.BOX_KEY`` at the end, where anything is asserted:
what is read does not hang on what is written after it."""

REPAIRS: dict[str, str] = {
    "no answer": "nothing is written outside <think>",
    "too long": f"more than {MAX_CHARS} characters, or {MAX_BODY} in the answer itself: not read at all",
    "too many tags": f"more than {MAX_TAGS} answer or think tags, or {MAX_ANGLES} characters <: not read at all",
    "no tags": "no <answer> tags: all text outside <think> was taken",
    "answer not closed": "<answer> without </answer>: everything after it was taken",
    "several answers": "more than one <answer>: the last complete one was taken",
    "nested tags": "<answer> inside <answer>: the innermost was taken",
    "stray tag": "</answer> without <answer>",
    "answer in think": "an <answer> inside <think> was ignored",
    "think not opened": "</think> without <think>: everything before it was taken as thinking",
    "think not closed": "<think> without </think>: everything after it was taken as thinking",
    "code fence": "the JSON stood in a Markdown code fence",
    "prose": "there was other text around the JSON",
    "escaped JSON": "the whole JSON was escaped once too often",
    "malformed JSON": "not JSON: keys and values were picked out one by one",
    "truncated JSON": "the JSON object was never closed",
    "truncated final": "Final OCR was never closed: what there is of it was taken",
    "unclosed string": "another string was never closed",
    "unquoted value": "text without quotes was taken as a string",
    "no JSON": "none of the official keys was found",
    "no final": "there is no Final OCR: no reading",
    "missing key": "another official key is missing",
    "key spelling": "a key in other letter case, spacing or wording",
    "unknown key": "a key that the format does not have was ignored",
    "repeated key": "a key more than once: its last value was taken",
    "wrapped": "the object stood inside another one",
    "list": "a list where a string belongs",
    "null": "a null where a value belongs",
    "nested value": "an object where a plain value belongs was ignored",
    "number as text": "a number where text belongs, or text where a number belongs",
    "bad box": "a box that is not four numbers with the smaller ones first was ignored",
    "bad number": "a count that is not a whole number from 0 to 1,000,000 was ignored",
    "odd space": "tabs, line breaks or other white space were taken as spaces",
    "invisible": "characters that nobody can see (NUL, zero-width, directional) were left out: nothing is printed so",
    "explicit marks": "[illegible], (unreadable), a box or a replacement character was taken as a mark",
    "refusal in words": "N/A, null, not legible, not present … stood alone: the field was taken as refused",
    "full-width": "full-width forms were taken as their ASCII, in the JSON itself too",
    "unicode": f"characters were composed (Unicode NFC), and accents beyond {MAX_ACCENTS} in a row left out",
    "masks": "?, *, _ or rows of X, which the value does not have, were taken as marks (kie_hvqa.answers.masks)",
}
"""Repair name → what was done. A reading is None after ``no answer``, ``too long``, ``too many tags``, ``no JSON``
and ``no final``. ``masks`` is not made here: it takes the printed value."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reader said about one field.

    ``final`` has one symbol a slot: a character is asserted, a space is a mark or a word space. ``clear`` and
    ``not_clear`` are the characters of the two lists without spaces; the numbers are what the reader *claims* to
    have counted, None where it claims nothing.
    """

    final: str
    not_clear: str = ""
    clear: str = ""
    clear_number: int | None = None
    not_clear_number: int | None = None

    @property
    def refused(self) -> bool:
        """Nothing is asserted anywhere: the refusal of the whole field."""
        return not self.clear and not self.not_clear and not self.final.strip()


REFUSAL = Reading("", clear_number=0, not_clear_number=0)


@dataclass(frozen=True, slots=True)
class Parsed:
    """The reading (None: there is none), the names of the repairs in the order made, the thinking if any, and the box if the reader
    says where it read, in the numbers that it wrote (``kie_hvqa.answers.boxes``)."""

    reading: Reading | None
    repairs: tuple[str, ...] = ()
    think: str | None = None
    box: Box | None = None


def truth(slots: Sequence[Slot], *, mark: str = MARK) -> Reading:
    """What a perfect reader answers: hidden slots are marked, partial ones read and flagged, clear ones read.

    Trailing spaces of ``final`` are kept ("Emi  "). No slots, or nothing legible, is the refusal. Another ``mark`` tells the
    hidden slots from the spaces between words, for ``render``: what ``parse`` reads has spaces for both.
    """
    clear = "".join(slot.char for slot in slots if slot.scored and slot.legibility == "clear")
    partial = "".join(slot.char for slot in slots if slot.scored and slot.legibility == "partial")
    if not clear and not partial:
        return REFUSAL
    symbols = ((slot.char if slot.legibility != "hidden" else mark) if slot.scored else MARK for slot in slots)
    final = "".join(symbols)
    return Reading(final, partial, clear, len(clear), len(partial))


def render(reading: Reading, *, tags: bool = False, style: Style = "official", box: Box | None = None) -> str:
    """The official JSON of a reading, its keys in the order of ``style``; ``tags`` wraps it in ``<answer>…</answer>``. A ``box`` of whole
    numbers comes last.

    ``parse(render(reading)).reading == reading`` for every reading whose text is composed (NFC) and holds no white
    space but spaces, nothing invisible, no spaces in the lists and none of the explicit marks.
    """
    said = {
        "clear": " ".join(reading.clear),
        "not_clear": " ".join(reading.not_clear),
        "clear_number": reading.clear_number,
        "not_clear_number": reading.not_clear_number,
        "final": reading.final,
    }
    where = {} if box is None else {BOX_KEY: list(map(int, box))}
    text = json.dumps({KEYS[part]: said[part] for part in ORDER[style]} | where, ensure_ascii=False)
    return f"<answer>{text}</answer>" if tags else text


def perfect(slots: Sequence[Slot], style: Style, box: Box | None = None) -> str:
    """The perfect answer about a ledger, in tags, as a reader of ``style`` writes it; ``box`` is the field's, as that reader writes it."""
    due = truth(slots, mark=MARK if style == "official" else EXPLICIT_MARK)
    return render(due, tags=True, style=style, box=box if style == "with_box" and not due.refused else None)


# An answer exactly as ``render`` writes it, in plain ASCII: nothing to mend, and read in a third of the time. What an
# escape, a mark in words ("[UNREADABLE]"), a refusal in words or another tag could hide is left to the long way.
_PLAIN, _COUNT = r'"(?P<{}>[ !#-\x27)-;=-Z\]-~{}]*)"', r"(?P<{}>0|[1-9][0-9]{{0,5}})"


def _as_agreed(style: Style) -> re.Pattern[str]:
    mark = EXPLICIT_MARK if style == "explicit" else ""
    values = {part: (_COUNT if part.endswith("number") else _PLAIN) for part in KEYS}
    parts = [f'"{KEYS[part]}": {values[part].format(part, mark if part == "final" else "")}' for part in ORDER[style]]
    where = rf'(?:, "{BOX_KEY}": \[(?P<box>[0-9]{{1,5}}(?:, [0-9]{{1,5}}){{3}})\])?' if style == "explicit" else ""
    return re.compile("<answer>{" + ", ".join(parts) + where + "}</answer>")


_STYLES: tuple[Style, ...] = ("official", "explicit")
_AGREED = {style: _as_agreed(style) for style in _STYLES}


def parse(text: str) -> Parsed:
    """Read whatever a model wrote. Never raises; linear in the length of ``text``."""
    style: Style = "explicit" if text.startswith('<answer>{"Final') else "official"
    if len(text) <= MAX_BODY and (agreed := _AGREED[style].fullmatch(text)) is not None:
        final, clear_number, not_clear_number = agreed["final"], agreed["clear_number"], agreed["not_clear_number"]
        lists = agreed["not_clear"].replace(MARK, ""), agreed["clear"].replace(MARK, "")
        said = agreed.groupdict().get("box")
        box = None if said is None else _corners(said.split(", "))
        if (final and clear_number == not_clear_number == "0") or (said is not None and box is None):
            return _parse(text)
        repairs = ("explicit marks",) if EXPLICIT_MARK in final else ()
        reading = Reading(final.replace(EXPLICIT_MARK, MARK), *lists, int(clear_number), int(not_clear_number))
        return Parsed(reading, repairs, box=box)
    return _parse(text)


def _parse(text: str) -> Parsed:
    if len(text) > MAX_CHARS:
        return Parsed(None, ("too long",))
    repairs: dict[str, None] = {}
    body, think = _locate(text, repairs)
    if body is not None and len(body) > MAX_BODY:
        repairs["too long"] = None
        body = None
    reading, box = (None, None) if body is None else _reading(body, repairs)
    return Parsed(reading, tuple(repairs), think, box)


# --- where the answer stands ---------------------------------------------------------------------------------

_TAG = re.compile(r"<(/?)(answer|think)>", re.IGNORECASE)


def _locate(text: str, repairs: dict[str, None]) -> tuple[str | None, str | None]:
    """The text of the answer and that of the thinking, each None where there is none."""
    if text.startswith("<answer>") and text.endswith("</answer>") and text.find("<", 8) == len(text) - 9:
        return text[8:-9], None
    if text.count("<") > MAX_ANGLES:  # each is looked at
        repairs["too many tags"] = None
        return None, None
    thoughts: list[str] = []
    outside: list[str] = []
    blocks: list[str] = []
    cursor = 0  # where the current stretch outside <think> begins
    answer: int | None = None  # where the open <answer> begins
    think: int | None = None  # where the open <think> begins
    for count, tag in enumerate(_TAG.finditer(text)):
        if count >= MAX_TAGS:
            repairs["too many tags"] = None
            return None, None
        closing, is_think = bool(tag[1]), tag[2].lower() == "think"
        if think is not None:
            if not is_think:
                repairs["answer in think"] = None
            elif closing:
                thoughts.append(text[think : tag.start()])
                think, cursor = None, tag.end()
                answer = None if answer is None else cursor  # thinking inside the answer is not the answer
        elif is_think and not closing:
            outside.append(text[cursor : tag.start()])
            think = tag.end()
        elif is_think:
            # Chat templates put <think> into the prompt, so that only its end is generated.
            repairs["think not opened"] = None
            if blocks or answer is not None:
                repairs["answer in think"] = None
            thoughts, outside, blocks, answer, cursor = [text[: tag.start()]], [], [], None, tag.end()
        elif not closing:
            if answer is not None:
                repairs["nested tags"] = None
            answer = tag.end()
        elif answer is None:
            repairs["stray tag"] = None
        else:
            blocks.append(text[answer : tag.start()])
            answer = None
    if think is not None:
        repairs["think not closed"] = None
        thoughts.append(text[think:])
        think_tag = think - len("<think>")
        end = think_tag
    else:
        outside.append(text[cursor:])
        end = len(text)
    thought = "\n".join(thoughts) if thoughts else None
    if len(blocks) + (answer is not None) > 1:
        repairs["several answers"] = None
    if blocks:
        return blocks[-1], thought
    if answer is not None:
        repairs["answer not closed"] = None
        return text[answer:end], thought
    body = "".join(outside)
    if not body.strip():
        repairs["no answer"] = None
        return None, thought
    repairs["no tags"] = None
    return body, thought


# --- from its keys and values to a reading ----------------------------------------------------------------------

_EXACT = {key: part for part, key in KEYS.items()}
_LOOSE = {re.sub("[^a-z]", "", key.lower()): part for part, key in KEYS.items()} | {
    "notclearcharlevelocr": "not_clear",
    "notclearnumber": "not_clear_number",
    "final": "final",
}
_NOT_LETTERS = re.compile("[^a-z]+")


def _reading(body: str, repairs: dict[str, None]) -> tuple[Reading | None, Box | None]:
    """The reading, and the box beside it."""
    found: dict[str, Any] = {}
    box = None
    for key, value in pairs(body, repairs):
        if key == BOX_KEY:
            if box is not None:
                repairs["repeated key"] = None
            box = _box(value, repairs)
            continue
        part = _EXACT.get(key)
        if part is None:
            part = _LOOSE.get(_NOT_LETTERS.sub("", key.lower())) if len(key) < 100 else None
            repairs["unknown key" if part is None else "key spelling"] = None
            if part is None:
                continue
        if part in found:
            repairs["repeated key"] = None
        if isinstance(value, tuple):
            repairs["nested value"] = None
        else:
            found[part] = value
    if not found:
        if _refuses(body):
            repairs["refusal in words"] = None
            return Reading(""), None
        repairs["no JSON"] = None
        return None, None
    if "final" not in found:
        repairs["no final"] = None
        return None, None
    if len(found) < len(KEYS):
        repairs["missing key"] = None
    reading = Reading(
        _text(found["final"], MARK, repairs),
        _listed(found.get("not_clear", ""), repairs),
        _listed(found.get("clear", ""), repairs),
        _number(found["clear_number"], repairs) if "clear_number" in found else None,
        _number(found["not_clear_number"], repairs) if "not_clear_number" in found else None,
    )
    return _in_words(reading, repairs), box


_REFUSALS = {"n/a", "null", "not legible", "not present", "illegible", "unreadable"}
_LONGEST_REFUSAL = 40  # with what may stand around it


def _refuses(text: str) -> bool:
    """Whether ``text`` is nothing but a refusal in words, whatever its quotes, brackets and full stop."""
    if len(text) > _LONGEST_REFUSAL:
        return False
    return " ".join(text.translate(_TO_ASCII).casefold().strip(" \t\r\n.\"'`()[]{}<>").split()) in _REFUSALS


def _in_words(reading: Reading, repairs: dict[str, None]) -> Reading:
    """``reading``, or the refusal that it says in words. A printed "N/A" is told by its characters, counted or listed."""
    final = reading.final
    if not final or reading.clear_number or reading.not_clear_number or not _refuses(final):
        return reading
    for listed in (reading.clear, reading.not_clear):
        if listed and not any(listed.casefold() == word.replace(MARK, "") for word in _REFUSALS):
            return reading
    repairs["refusal in words"] = None
    return Reading("", "", "", reading.clear_number, reading.not_clear_number)


_EXPLICIT_MARKS = re.compile(
    rf"\[(?:unreadable|illegible)\]|\((?:unreadable|illegible)\)|[{BOX_GLYPHS}]", re.IGNORECASE | re.ASCII
)
_ODD_SPACE = re.compile(r"[^\S ]")
# Control characters that are no white space, soft hyphens, zero-width characters, directional marks.
_INVISIBLE = re.compile("[\0-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]")
_FULL_WIDTH = re.compile("[\uff01-\uff5e\u3000]")
_TO_ASCII = {0x3000: MARK} | {code: chr(code - 0xFF01 + 0x21) for code in range(0xFF01, 0xFF5F)}
_ACCENTS_IN_ONE = "\u0f73\u0f75\u0f81"  # no combining characters themselves, but made of two


def _text(value: Any, empty: str, repairs: dict[str, None]) -> str:
    """``value`` as text; ``empty`` stands for an empty item of a list."""
    if isinstance(value, list):
        repairs["list"] = None
        value = "".join(item if item else empty for item in map(_item, value))
    elif value is None:
        repairs["null"] = None
        return ""
    elif not isinstance(value, str):
        repairs["nested value"] = None
        return ""
    elif isinstance(value, Literal):
        repairs["number as text"] = None
        value = str(value)
    if not value.isascii() and _FULL_WIDTH.search(value):
        repairs["full-width"] = None
        value = value.translate(_TO_ASCII)
    if _INVISIBLE.search(value):
        repairs["invisible"] = None
        value = _INVISIBLE.sub("", value)
    if ("[" in value or "(" in value or not value.isascii()) and _EXPLICIT_MARKS.search(value):
        repairs["explicit marks"] = None
        value = _EXPLICIT_MARKS.sub(MARK, value)
    if _ODD_SPACE.search(value):
        repairs["odd space"] = None
        value = _ODD_SPACE.sub(MARK, value)
    return _composed(value, repairs)


def _listed(value: Any, repairs: dict[str, None]) -> str:
    """``value`` as the characters of a list. An accent may stand apart from its letter there."""
    return _composed(_text(value, "", repairs).replace(MARK, ""), repairs)


def _composed(text: str, repairs: dict[str, None]) -> str:
    if text.isascii() or unicodedata.is_normalized("NFC", text):
        return text
    repairs["unicode"] = None
    kept, accents = [], 0
    for char in text:
        accents = accents + 1 if unicodedata.combining(char) or char in _ACCENTS_IN_ONE else 0
        if accents <= MAX_ACCENTS:
            kept.append(char)
    return unicodedata.normalize("NFC", "".join(kept))


def _item(value: Any) -> str:
    return str(value) if isinstance(value, str) else ""


def _number(value: Any, repairs: dict[str, None]) -> int | None:
    if value is None:
        repairs["null"] = None
        return None
    if isinstance(value, str):
        if not isinstance(value, Literal):
            repairs["number as text"] = None
        digits = value.strip().removesuffix(".0")
        if len(digits) <= 7 and digits.isascii() and digits.isdigit() and int(digits) <= MAX_NUMBER:
            return int(digits)
    repairs["bad number"] = None
    return None


def _box(value: Any, repairs: dict[str, None]) -> Box | None:
    """``value`` as a box; an empty list and null are none, and said on purpose."""
    if value is None or value == []:
        return None
    box = _corners(value) if isinstance(value, list) else None
    if box is None:
        repairs["bad box"] = None
    return box


def _corners(sides: Sequence[Any]) -> Box | None:
    """Four numbers as (x0, y0, x1, y1), each at most ``MAX_NUMBER``; None where they are no box."""
    if len(sides) != 4 or not all(isinstance(side, str) and _SIDE.fullmatch(side) for side in sides):
        return None
    x0, y0, x1, y1 = map(float, sides)
    return (x0, y0, x1, y1) if x0 < x1 <= MAX_NUMBER and y0 < y1 <= MAX_NUMBER else None


_SIDE = re.compile(r"[0-9]{1,7}(?:\.[0-9]{1,20})?")


if __name__ == "__main__":
    import sys

    print(parse(sys.stdin.read()))
