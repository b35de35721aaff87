"""Named prompt templates: what a reader is told, with a hash that travels in its checkpoint.

``question`` is the bare question, for readers that were trained on this task and need no explanation.
``official`` is the benchmark's zero-shot task in our own words (the five items, the explicit refusal), for
general models. The text of a template is part of a checkpoint's contract: change it and its hash changes,
and ``eval`` refuses readers that were trained on the old one (DESIGN §6).
"""

from __future__ import annotations

import hashlib
from typing import Any

from kie_hvqa.config import nearest
from kie_hvqa.errors import InputError
from kie_hvqa.ledger import Row

IMAGE_TOKEN = "<image>"
_PLACE = "{question}"

PROMPTS: dict[str, str] = {
    "question": "{question}",
    "official": """\
{question}

The image may be damaged. Transcribe only what the pixels still show, one character at a time, and never guess a \
character from its context. Sort every character of the value into one of three classes:
- clear: it can be read without doubt;
- not clear enough: it is partly hidden or blurred, but it can still be read;
- not clear: it cannot be read. Such a character must not be written anywhere.

Answer with exactly one JSON object inside <answer> and </answer>, with these five keys:
<answer>{"clear Char-level OCR": "the clear characters in order, separated by spaces", \
"not clear enough Char-level OCR": "the characters that are not clear enough, in order, separated by spaces", \
"clear number": how many characters are clear, "not clear enough number": how many are not clear enough, \
"Final OCR": "all readable characters in their original order, with one space in place of each character that cannot \
be read"}</answer>

If the field is not in the image, or nothing of it can be read, leave the three strings empty and both numbers 0.""",
}


def template(name: str) -> str:
    """The template called ``name``; an unknown name is an InputError that suggests the nearest."""
    try:
        return PROMPTS[name]
    except KeyError:
        raise InputError(f"there is no prompt `{name}`", field="prompt", remedy=nearest(name, PROMPTS)) from None


def prompt_hash(name: str) -> str:
    """SHA-256 of the template's text, hexadecimal."""
    return hashlib.sha256(template(name).encode()).hexdigest()


def question(row: Row) -> str:
    """The row's question without the literal ``<image>`` in front."""
    return row.problem.strip().removeprefix(IMAGE_TOKEN).strip()


def fill(name: str, asked: str) -> str:
    """The text of prompt ``name`` around the question ``asked``. Braces in either are left alone."""
    return template(name).replace(_PLACE, asked)


def messages(row: Row, prompt: str) -> list[dict[str, Any]]:
    """The row as one user turn: the image's place, then the text, as chat templates of image models take it."""
    text = fill(prompt, question(row))
    return [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}]
