"""Completions that try to earn without reading: one a known way to game a reward for transcription.

``attacks`` builds them all for one ledger. Some say nothing, some say too much, some say the truth where it does
not count. None of them is an honest reading, so none may earn more than one does: that is asserted for every
shipped reward, and reported for a plug-in by ``kie-hvqa rewards check``. An attack that happens to *contain* the
honest reading (lying counts, two answers) may tie with it under a reward that looks at the reading alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kie_hvqa.answers.answer import KEYS, MAX_BODY, Reading, render, truth
from kie_hvqa.data.ledger import Slot, value_of
from rewards.golden import all_marks, guess, honest, wrong_for

RUNAWAY = 20_000
"""Characters of the completions that run to a length cap."""

_LOOK_ALIKE = str.maketrans("AaBCcEeHIiKMOoPpTXxy0", "АаВСсЕеНІіКМОоРрТХху०")
_ZERO_WIDTH = "\u200b"


def attacks(slots: Sequence[Slot], question: str = "<image>What is the surname in the image?") -> dict[str, str]:
    """Name → completion for the field with this ledger (empty for an absent one).

    What turns out to be the honest answer here (a clean field leaves nothing to guess) is left out.
    """
    slots = tuple(slots)
    best = honest(slots)
    value = value_of(slots) or "Miller"
    legible = tuple(s for s in slots if s.legibility != "hidden")
    wrong = _assert_all("".join(wrong_for(c) for c in value))
    garbage = ("Zq7#" * (len(value) // 4 + 1))[: len(value)]
    guessed = guess(slots) if slots else _assert_all(value)
    body = render(best)
    completions = {
        "empty": "",
        "prompt_copied": question,
        "refuse_everything": render(Reading("", clear_number=0, not_clear_number=0), tags=True),
        "all_marks": render(all_marks(slots), tags=True),
        "no_marks": render(Reading(best.final.replace(" ", ""), best.not_clear, best.clear, *_counts(best)), tags=True),
        "spaces_only": " " * 64,
        "drops_hidden": _final(_without(slots, {"hidden"}), best),
        "drops_unsure": _final(_without(slots, {"hidden", "partial"}), replace(best, not_clear="", not_clear_number=0)),
        "glues_words": _final("".join(c for c, s in zip(best.final, slots, strict=False) if s.scored), best),
        "wrong_lists": render(
            replace(
                best,
                clear=best.not_clear,
                not_clear=best.clear,
                clear_number=best.not_clear_number,
                not_clear_number=best.clear_number,
            ),
            tags=True,
        ),
        "lists_without_final": _final("", best),
        "every_second_marked": render(truth([_hide(s, i % 2 > 0) for i, s in enumerate(slots)]), tags=True),
        "spaces_flood": _final(best.final + " " * RUNAWAY, best),
        "guess": render(guessed, tags=True),
        "lucky_guess": render(_assert_all(value), tags=True),
        "one_slot_of_many": render(truth([_hide(s, i > 0) for i, s in enumerate(legible)]), tags=True),
        "repetition": render(_assert_all(value * (RUNAWAY // len(value))), tags=True),
        "repeated_answer": render(best, tags=True) * 200,
        "doubled": render(_assert_all("".join(c * 2 for c in value)), tags=True),
        "spread": render(_assert_all(" ".join(value)), tags=True),
        "tag_spam": "<answer>" * 2000 + body + "</answer>" * 2000,
        "wrong_values": render(wrong, tags=True),
        "shuffled": render(_assert_all(value[1::2] + value[::2][::-1]), tags=True),
        "lying_counts": render(replace(guessed, clear_number=0, not_clear_number=0), tags=True),
        "gigantic_numbers": render(replace(guessed, clear_number=10**30, not_clear_number=-(10**30)), tags=True),
        "hidden_in_lists": render(
            replace(best, clear=_chars(value), clear_number=len(_chars(value)), not_clear=""), tags=True
        ),
        "lists_only": body.replace(f', "{KEYS["final"]}"', ', "Last OCR"'),
        "look_alikes": render(_assert_all(value.translate(_LOOK_ALIKE)), tags=True),
        "zero_width": render(_assert_all(_ZERO_WIDTH.join(value)), tags=True),
        "two_answers": render(best, tags=True) + render(guessed, tags=True),
        "answer_in_think": f"<think>{render(best, tags=True)}</think>",
        "nested_tags": f"<answer><answer>{render(guessed, tags=True)}{body}</answer>",
        "broken_json": f"<answer>{body[: len(body) // 2]}",
        "garbage_values": render(_assert_all(garbage), tags=True),
        "garbage_tagged": render(
            Reading(garbage, not_clear=garbage, clear_number=0, not_clear_number=len(garbage)), tags=True
        ),
        "every_character": render(
            _assert_all("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"), tags=True
        ),
        "runaway_prose": "The surname could be " * (RUNAWAY // 20),
        "unclosed_think": "<think>" + "I am not sure. " * (RUNAWAY // 15) + body,
        "backslashes": '<answer>{"Final OCR": "' + "\\" * RUNAWAY,
        "deep_nesting": "<answer>" + '{"a":' * (RUNAWAY // 5),
    }
    reading = render(best, tags=True)
    return {name: text for name, text in completions.items() if text != reading}


def runaways() -> dict[str, str]:
    """Name → a completion of about a million characters, or the longest of its kind that is read at all."""
    million = 1_000_000
    return {
        "answer that never ends": '<answer>{"Final OCR": "' + "A" * million,
        "prose": "The surname could be " * (million // 20),
        "marks": f'<answer>{{"Final OCR": "{" " * million}"}}</answer>',
        "angles": "a < b " * (million // 6),
        "thinking": "<think>" + "perhaps " * (million // 8),
        "longest answer read": '<answer>{"Final OCR": "' + "A" * (MAX_BODY - 100),
        "most letters read": f'<answer>{{"Final OCR": "{"AB" * (MAX_BODY // 2 - 50)}"}}</answer>',
        "most marks read": f'<answer>{{"Final OCR": "{" " * (MAX_BODY - 100)}"}}</answer>',
    }


def _assert_all(text: str) -> Reading:
    """The reading that asserts every character of ``text`` as clear."""
    chars = _chars(text)
    return Reading(text, clear=chars, clear_number=len(chars), not_clear_number=0)


def _chars(text: str) -> str:
    return "".join(text.split())


def _counts(reading: Reading) -> tuple[int | None, int | None]:
    return reading.clear_number, reading.not_clear_number


def _final(final: str, like: Reading) -> str:
    return render(replace(like, final=final), tags=True)


def _without(slots: Sequence[Slot], legibilities: set[str]) -> str:
    """What is left of the value where these characters are dropped in silence, its words one space apart."""
    kept = "".join("" if slot.scored and slot.legibility in legibilities else slot.char for slot in slots)
    return " ".join(kept.split())


def _hide(slot: Slot, hide: bool) -> Slot:
    return replace(slot, legibility="hidden") if hide else slot
