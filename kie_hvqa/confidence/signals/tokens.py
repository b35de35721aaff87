"""From the tokens of an answer to one confidence a symbol: token probability, and what marks and rivals had beside it.

``token_probability``  the probability of what wrote the symbol, in Final OCR and in a list (``written``), multiplied
``mark_margin``        the least share p / (p + m) there, m the mass of marks at that place
``rival_margin``       the least share p / (p + r), r the probability of the likeliest other token

A token that holds several characters gives each of them its own probability, which is never more than the character's. A
character of several tokens (bytes) has their product. Of an answer that reads nothing the refusal has the probability of the whole
answer. Source: Geng et al., "A survey of confidence estimation and calibration in large language models", NAACL 2024, section 3;
the margin is that of active learning (Scheffer et al. 2001).
"""

from __future__ import annotations

import codecs
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from kie_hvqa.answers.answer import MARK, parse
from kie_hvqa.confidence.signals.written import places_of
from kie_hvqa.confidence.symbols import SymbolConfidence

TOKEN_PROBABILITY, MARK_MARGIN, RIVAL_MARGIN = "token_probability", "mark_margin", "rival_margin"
MARGINS = (MARK_MARGIN, RIVAL_MARGIN)


@dataclass(frozen=True, slots=True)
class Piece:
    """A token: its text, the log-probability that it was written with, and, where known, the probabilities of all marks and of
    the likeliest other token in its place."""

    text: str
    logprob: float
    marks: float | None = None
    rival: float | None = None


def token_signals(response: str, pieces: Sequence[Piece]) -> dict[str, SymbolConfidence] | None:
    """The signals of an answer out of the tokens that wrote it; None where it cannot be parsed or the tokens are not its.

    The margins are there where every piece says what they take.
    """
    reading = parse(response).reading
    owners = _owners(response, pieces)
    if reading is None or owners is None or not all(math.isfinite(piece.logprob) for piece in pieces):
        return None
    if reading.refused:
        refusal = math.exp(min(0.0, math.fsum(piece.logprob for piece in pieces)))
        symbols = (None,) * len(reading.final)
        return {TOKEN_PROBABILITY: SymbolConfidence.of(symbols, refusal)}
    places = places_of(response, reading)
    if places is None:
        return None
    wrote = [
        sorted({owners[at] for at in (*final, *listed) if owners[at] >= 0})
        for final, listed in zip(places.final, places.listed, strict=True)
    ]
    found = {TOKEN_PROBABILITY: SymbolConfidence.of([_probability(pieces, tokens) for tokens in wrote])}
    if all(piece.marks is not None and piece.rival is not None for piece in pieces):
        others = [
            [(piece.rival if symbol == MARK else piece.marks) or 0.0 for piece in (pieces[token] for token in tokens)]
            for symbol, tokens in zip(reading.final, wrote, strict=True)
        ]
        found[MARK_MARGIN] = SymbolConfidence.of(
            [_margin(pieces, tokens, own) for tokens, own in zip(wrote, others, strict=True)]
        )
        found[RIVAL_MARGIN] = SymbolConfidence.of(
            [_margin(pieces, tokens, [pieces[token].rival or 0.0 for token in tokens]) for tokens in wrote]
        )
    return found


def _probability(pieces: Sequence[Piece], tokens: Sequence[int]) -> float | None:
    if not tokens:
        return None
    return math.exp(min(0.0, math.fsum(pieces[token].logprob for token in tokens)))


def _margin(pieces: Sequence[Piece], tokens: Sequence[int], others: Sequence[float]) -> float | None:
    shares = []
    for token, other in zip(tokens, others, strict=True):
        own = math.exp(pieces[token].logprob)
        shares.append(own / (own + other) if own + other > 0 else 0.0)
    return min(shares, default=None)


def _owners(response: str, pieces: Sequence[Piece]) -> list[int] | None:
    """For each character of ``response`` the index of its piece, −1 where none wrote it; None where the pieces do not say it."""
    text = "".join(piece.text for piece in pieces)
    shift = 0 if text == response else text.find(response)
    if shift < 0 or not response or (shift and text.find(response, shift + 1) >= 0):
        return None
    owners: list[int] = []
    for index, piece in enumerate(pieces):
        owners += [index] * len(piece.text)
    return owners[shift : shift + len(response)]


def whole_characters(tokens: Iterable[tuple[bytes, Piece]]) -> list[Piece]:
    """Pieces whose texts are whole characters, out of tokens of bytes: one that ends within a character waits for the next.

    The log-probabilities of what waited are added up; marks and rivals are those of the last.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    found: list[Piece] = []
    waiting = 0.0
    for data, piece in tokens:
        text = decoder.decode(data)
        waiting += piece.logprob
        if text or not data:
            found.append(replace(piece, text=text, logprob=waiting))
            waiting = 0.0
    if rest := decoder.decode(b"", final=True):
        found.append(Piece(rest, waiting, 0.0, 0.0))
    return found
