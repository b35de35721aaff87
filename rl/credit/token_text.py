"""Which characters of a completion each of its tokens holds.

A byte-level tokenizer (Qwen's, every family's) cuts bytes, not characters: a token may hold several characters, or a part of
one. The text is that of ``tokenizer.decode(ids, skip_special_tokens=True)``, character by character.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any


@dataclass(frozen=True)
class TokenText:
    """``text`` of a completion, and per token the half-open range of its characters that the token holds all or a part
    of; an empty one for special tokens."""

    text: str
    ranges: tuple[tuple[int, int], ...]


def token_text(tokenizer: Any, ids: Sequence[int]) -> TokenText:
    """The text of ``ids`` by a byte-level ``tokenizer``. Bytes that make no character become U+FFFD, as in ``decode``."""
    special = set(tokenizer.all_special_ids)
    added = {index: token.content for index, token in tokenizer.added_tokens_decoder.items()}
    pieces: list[bytes] = []
    for index, token in zip(ids, tokenizer.convert_ids_to_tokens(list(ids)), strict=True):
        if index in special:
            pieces.append(b"")
        elif index in added:
            pieces.append(added[index].encode())
        else:
            pieces.append(bytes(_bytes_of()[symbol] for symbol in token or ""))
    data = b"".join(pieces)
    character = _characters(data)
    ranges, at = [], 0
    for piece in pieces:
        end = at + len(piece)
        ranges.append((character[at], character[end - 1] + 1) if piece else (character[at], character[at]))
        at = end
    return TokenText(data.decode("utf-8", errors="replace"), tuple(ranges))


def _characters(data: bytes) -> list[int]:
    """The character that each byte belongs to, and, last, how many there are."""
    found: list[int] = []
    count = at = 0
    while at < len(data):
        # A character has four bytes at most; bytes that make none become one U+FFFD for each that Python replaces.
        for size in (1, 2, 3, 4):
            try:
                data[at : at + size].decode("utf-8")
            except UnicodeDecodeError:
                continue
            break
        else:
            size = _bad(data[at : at + 4])
        found += [count] * min(size, len(data) - at)
        count, at = count + 1, at + size
    return [*found, count]


def _bad(data: bytes) -> int:
    """How many bytes Python turns into the first U+FFFD of ``data``."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        return max(1, error.end - error.start)
    return 1


@cache
def _bytes_of() -> dict[str, int]:
    """The byte that each symbol of a byte-level vocabulary stands for (GPT-2's table)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table = {chr(byte): byte for byte in plain}
    return table | {chr(256 + place): byte for place, byte in enumerate(sorted(set(range(256)) - set(plain)))}
