"""The answer JSON: what is read, what is refused, what is mended and what that is called."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kie_hvqa.answers import answer, masks
from kie_hvqa.answers.answer import (
    EXPLICIT_MARK,
    KEYS,
    MAX_BODY,
    MAX_CHARS,
    MAX_NUMBER,
    ORDER,
    REFUSAL,
    REPAIRS,
    Reading,
    parse,
    perfect,
    render,
    truth,
)
from kie_hvqa.data.ledger import Slot
from rewards.golden import answers, goldens
from tests.kie_hvqa.pieces import ledgers, slots

SMITH = Reading("Sm t ", "", "Smt", 3, 0)
GOOD = render(SMITH)
TAGGED = f"<answer>{GOOD}</answer>"


# The two records that are published word for word (facts/kie-hvqa.md).
PUBLISHED = [
    (
        '{"clear Char-level OCR": "S m t ", "not clear enough Char-level OCR": "", "clear number": 3, '
        '"not clear enough number": 0, "Final OCR": "Sm t "}',
        slots("Smith", "cchch"),
    ),
    (
        '{"clear Char-level OCR": "m i ", "not clear enough Char-level OCR": "E", "clear number": 2, '
        '"not clear enough number": 1, "Final OCR": "Emi  "}',
        slots("Emily", "pcchh"),
    ),
]


@pytest.mark.parametrize(("record", "ledger"), PUBLISHED)
def test_published_records_are_what_a_perfect_reader_answers(record: str, ledger: tuple[Slot, ...]) -> None:
    assert parse(record).reading == truth(ledger)
    rendered = json.loads(render(truth(ledger)))
    published = json.loads(record)
    assert list(rendered) == list(published) == list(KEYS.values())
    assert rendered["Final OCR"] == published["Final OCR"]
    assert rendered["clear number"] == published["clear number"]
    assert rendered["clear Char-level OCR"] == published["clear Char-level OCR"].strip()


def test_render_writes_the_official_json() -> None:
    assert render(SMITH, tags=True) == (
        '<answer>{"clear Char-level OCR": "S m t", "not clear enough Char-level OCR": "", "clear number": 3, '
        '"not clear enough number": 0, "Final OCR": "Sm t "}</answer>'
    )
    assert parse(TAGGED).repairs == ()


def test_truth_keeps_word_spaces_and_refuses_what_is_hidden_whole() -> None:
    assert truth(slots("Al By", "cpchc")) == Reading("Al  y", "l", "Ay", 2, 1)
    assert truth(slots("Al", "hh")) == truth([]) == REFUSAL
    assert REFUSAL.refused and not SMITH.refused
    assert Reading("   ").refused
    assert not Reading("", clear="x").refused  # what the lists assert is asserted


FINAL = '{"Final OCR": "ab"}'
AB = Reading("ab")
MENDED: list[tuple[str, Reading | None, set[str]]] = [
    # where the answer stands
    (f"<think>It says Smith?</think>\n{TAGGED}\n", SMITH, set()),
    (f"<THINK>hm</THINK><Answer>{GOOD}</ANSWER>", SMITH, set()),
    (f"hm</think>{TAGGED}", SMITH, {"think not opened"}),
    (f"{TAGGED}</think>", None, {"think not opened", "answer in think", "no answer"}),
    (f"<think>{TAGGED}</think>", None, {"answer in think", "no answer"}),
    (f"<think>{TAGGED}</think><answer>{FINAL}</answer>", AB, {"answer in think", "missing key"}),
    (f"<think>{TAGGED}", None, {"answer in think", "think not closed", "no answer"}),
    (f"<answer>{GOOD}", SMITH, {"answer not closed"}),
    (f"<answer><think>{FINAL}</think>{GOOD}</answer>", SMITH, set()),
    (f"<answer>{GOOD}<think>{FINAL}", SMITH, {"answer not closed", "think not closed"}),
    (f"<answer>{FINAL}</answer> or {TAGGED}", SMITH, {"several answers"}),
    (f"{TAGGED}<answer>{FINAL}", SMITH, {"several answers"}),
    (f"<answer><answer>{GOOD}</answer>", SMITH, {"nested tags"}),
    (f"</answer>{TAGGED}", SMITH, {"stray tag"}),
    (GOOD, SMITH, {"no tags"}),
    ("", None, {"no answer"}),
    ("<answer></answer>" * 600, None, {"too many tags"}),
    ("x" * (MAX_CHARS + 1), None, {"too long"}),
    ("<answer>" + "x" * (MAX_BODY + 1) + "</answer>", None, {"too long"}),
    # around the JSON
    (f"<answer>```json\n{GOOD}\n```</answer>", SMITH, {"code fence"}),
    (f'<answer>Sure: {GOOD} I hope "this" helps</answer>', SMITH, {"prose"}),
    (f'<answer>{{"answer": {GOOD}}}</answer>', SMITH, {"wrapped"}),
    (f"<answer>[{GOOD}]</answer>", SMITH, {"prose"}),
    ("<answer>" + GOOD.replace('"', '\\"') + "</answer>", SMITH, {"escaped JSON"}),
    # malformed JSON
    ("<answer>" + GOOD.replace('"', "'") + "</answer>", SMITH, {"malformed JSON"}),
    ("<answer>{'Final OCR': 'O'Neil'}</answer>", Reading("O'Neil"), {"malformed JSON", "missing key"}),
    (f"<answer>{GOOD[:-1]},}}</answer>", SMITH, {"malformed JSON"}),
    ('<answer>{"Final OCR": "a "b" c"}</answer>', Reading('a "b" c'), {"malformed JSON", "missing key"}),
    ('<answer>{"Final OCR": "a\\"b", }</answer>', Reading('a"b'), {"malformed JSON", "missing key"}),
    ('<answer>{"Final OCR": "a\\u00e9", }</answer>', Reading("aé"), {"malformed JSON", "missing key"}),
    ("<answer>{Final OCR: ab, clear number: 2}</answer>", Reading("ab", clear_number=2),
     {"malformed JSON", "unquoted value", "missing key"}),
    ("<answer>{'Final OCR': 00123}</answer>", Reading("00123"), {"malformed JSON", "number as text", "missing key"}),
    (f"<answer>```json\n{GOOD[:-1]},}}\n```</answer>", SMITH, {"malformed JSON", "code fence"}),
    (f'<answer>{GOOD[:-1]}, "note": "x",}}</answer>', SMITH, {"malformed JSON"}),
    (f"<answer>{FINAL}{GOOD}</answer>", SMITH, {"malformed JSON", "repeated key"}),
    # truncated
    (f"<answer>{GOOD[:-1]}", SMITH, {"answer not closed", "malformed JSON", "truncated JSON"}),
    (f"<answer>{GOOD[:-4]}", Reading("Sm ", "", "Smt", 3, 0),
     {"answer not closed", "malformed JSON", "truncated JSON", "truncated final"}),
    (f"<answer>{GOOD[:26]}", None, {"answer not closed", "malformed JSON", "truncated JSON", "unclosed string", "no final"}),
    ('<answer>{"Final OCR": ["a", "b"', AB,
     {"answer not closed", "malformed JSON", "truncated JSON", "unclosed string", "list", "missing key"}),
    ('<answer>{"Final OCR": "ab\\u00', AB,
     {"answer not closed", "malformed JSON", "truncated JSON", "truncated final", "missing key"}),
    # nothing to read
    ("<answer>The name is Smith.</answer>", None, {"no JSON"}),
    ("Final OCR: Smith, clear number: 5", None, {"no tags", "no JSON"}),
    ('<answer>{"name": "Smith"}</answer>', None, {"unknown key", "no JSON"}),
    ('<answer>{"clear number": 3}</answer>', None, {"no final"}),
    ("<answer>" + "[" * 20000 + "</answer>", None, {"no JSON"}),
    ('<answer>{"Final OCR": "ab", "clear Char-level OCR": ' + "[" * 20000, AB,
     {"answer not closed", "malformed JSON", "truncated JSON", "unclosed string", "list", "missing key"}),
    # keys and values
    ('<answer>{"FINAL_ocr": "ab"}</answer>', AB, {"key spelling", "missing key"}),
    ('<answer>{"Final OCR": "x", "Final OCR": "ab"}</answer>', AB, {"repeated key", "missing key"}),
    ('<answer>{"Final OCR": "ab", "why": {"Final OCR": "x"}}</answer>', AB, {"unknown key", "missing key"}),
    ('<answer>{"Final OCR": "ab", "clear number": {}}</answer>', AB, {"nested value", "missing key"}),
    ('<answer>{"Final OCR": ["a", "", null, "b"]}</answer>', Reading("a  b"), {"list", "missing key"}),
    ('<answer>{"Final OCR": null}</answer>', Reading(""), {"null", "missing key"}),
    ('<answer>{"Final OCR": 12.50}</answer>', Reading("12.50"), {"number as text", "missing key"}),
    ('<answer>{"Final OCR": "ab", "clear number": "2"}</answer>', Reading("ab", clear_number=2),
     {"number as text", "missing key"}),
    (f'<answer>{{"Final OCR": "ab", "clear number": {MAX_NUMBER + 1}}}</answer>', AB, {"bad number", "missing key"}),
    ('<answer>{"Final OCR": "ab", "clear number": -1}</answer>', AB, {"bad number", "missing key"}),
    ('<answer>{"Final OCR": "ab", "clear number": true}</answer>', AB, {"bad number", "missing key"}),
    (f'<answer>{{"Final OCR": "ab", "clear number": {"9" * 9999}}}</answer>', AB, {"bad number", "missing key"}),
    ('<answer>{"Final OCR": "ab", "bbox_2d": [9, 9, 1, 1]}</answer>', AB, {"bad box", "missing key"}),
    ('<answer>{"Final OCR": "a\\tb\\u00a0c"}</answer>', Reading("a b c"), {"odd space", "missing key"}),
    ('<answer>{"Final OCR": "[unreadable]a\u25a1\u2588\u25af\ufffd?"}</answer>', Reading(" a    ?"),
     {"explicit marks", "missing key"}),
    ('<answer>{"Final OCR": "e\u0301"}</answer>', Reading("\u00e9"), {"unicode", "missing key"}),
    ('<answer>{"Final OCR": "\u202ea\u200f\u200b\\u0000b\ufeff\u00ad\x07"}</answer>', AB, {"malformed JSON", "invisible", "missing key"}),
    ('<answer>{"Final OCR": "\u200fa\\u0000b"}</answer>', AB, {"invisible", "missing key"}),
    # a look-alike (Cyrillic А) and half of a surrogate pair are what they are
    ('<answer>{"Final OCR": "\u0410b"}</answer>', Reading("\u0410b"), {"missing key"}),
    ('<answer>{"Final OCR": "a\\ud800"}</answer>', Reading("a\ud800"), {"missing key"}),
    ("<" * 70_000 + TAGGED, None, {"too many tags"}),
    # what other people's models write
    ('<answer>{"Final OCR": "a[illegible]b(Unreadable)c(ILLEGIBLE)"}</answer>', Reading("a b c "),
     {"explicit marks", "missing key"}),
    ('<answer>{"Final OCR": "a?*_Xb"}</answer>', Reading("a?*_Xb"), {"missing key"}),
    ('<answer>{"Final OCR": "Ａ１（\u3000～"}</answer>', Reading("A1( ~"), {"full-width", "missing key"}),
    ('<answer>{"Final OCR": "［ＵＮＲＥＡＤＡＢＬＥ］b"}</answer>', Reading(" b"), {"full-width", "explicit marks", "missing key"}),
    ("<answer>" + GOOD.replace(":", "：") + "</answer>", SMITH, {"malformed JSON", "full-width"}),
    ("<answer>" + GOOD.replace(":", "：").replace(",", "，") + "</answer>", SMITH, {"malformed JSON", "full-width"}),
    ('<answer>{"clear Char-level OCR": "e \u0301 b", "Final OCR": "e\u0301b"}</answer>', Reading("\u00e9b", clear="\u00e9b"),
     {"unicode", "missing key"}),
    ('<answer>{"Final OCR": "a' + "\u0301\u0327" * 40 + '"}</answer>', Reading("á̧" + "\u0327" * 14 + "\u0301" * 14),
     {"unicode", "missing key"}),
    ("<answer>N/A</answer>", Reading(""), {"refusal in words"}),
    ("Not legible.", Reading(""), {"no tags", "refusal in words"}),
    ('<answer>```\n"not present"\n```</answer>', Reading(""), {"refusal in words"}),
    ("<answer>The name is not present</answer>", None, {"no JSON"}),
    ('<answer>{"Final OCR": "n/a"}</answer>', Reading(""), {"refusal in words", "missing key"}),
    (render(Reading("Not  legible", clear_number=0, not_clear_number=0), tags=True), REFUSAL, {"refusal in words"}),
    ('<answer>{"clear Char-level OCR": "N/A", "Final OCR": "N/A", "clear number": "N/A"}</answer>', Reading(""),
     {"refusal in words", "number as text", "bad number", "missing key"}),
    # a printed "N/A" is read and counted
    (render(Reading("N/A", "", "N/A", 3, 0), tags=True), Reading("N/A", "", "N/A", 3, 0), set()),
    ('<answer>{"Final OCR": "NA"}</answer>', Reading("NA"), {"missing key"}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "reading", "repairs"), MENDED)
def test_what_models_write_is_mended_and_said(text: str, reading: Reading | None, repairs: set[str]) -> None:
    parsed = parse(text)
    assert parsed.reading == reading
    assert set(parsed.repairs) == repairs


def test_every_documented_repair_is_made_somewhere_above() -> None:
    assert set().union(*(repairs for _, _, repairs in MENDED)) | {masks.REPAIR} == set(REPAIRS)


def test_thinking_is_kept_apart() -> None:
    assert parse(f"<think>Smith?</think>{TAGGED}").think == "Smith?"
    assert parse(f"Smith?</think>{TAGGED}").think == "Smith?"
    assert parse(TAGGED).think is None


@pytest.mark.parametrize("cut", range(len(GOOD)))
def test_a_truncated_answer_never_asserts_what_it_does_not_say(cut: int) -> None:
    reading = parse("<answer>" + GOOD[:cut]).reading
    if reading is None:
        assert GOOD.find('"Final OCR": "') + 13 > cut - 1
    else:
        assert SMITH.final.startswith(reading.final)


numbers = st.none() | st.integers(0, MAX_NUMBER)


@settings(deadline=None, max_examples=300)
@given(
    st.text(st.sampled_from("N/A nulNOT(legib)x1.[?_"), max_size=12),
    st.sampled_from(["", "N/A", "x"]),
    numbers,
    numbers,
)
def test_the_short_way_and_the_long_way_agree(final: str, listed: str, one: int | None, two: int | None) -> None:
    text = render(Reading(final, "", listed, one, two), tags=True)
    assert parse(text) == answer._parse(text)


plain = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs", "Zs", "Zl", "Zp", "Cc", "Mn", "Mc"]), max_size=12
).filter(lambda text: parse(render(Reading(text))).repairs == ("no tags", "null"))


@settings(deadline=None)
@given(st.lists(plain, max_size=4).map(" ".join), plain, plain, numbers, numbers, st.booleans())
def test_parse_undoes_render(
    final: str, unclear: str, clear: str, one: int | None, two: int | None, tags: bool
) -> None:
    reading = Reading(final, unclear, clear, one, two)
    assert parse(render(reading, tags=tags)).reading == reading


fragments = st.lists(
    st.sampled_from(
        [
            *KEYS.values(),
            "<answer>",
            "</answer>",
            "<think>",
            "</think>",
            "```",
            "{",
            "}",
            "[",
            "]",
            '"',
            "'",
            ":",
            ",",
            "\\",
            *(" ", "\n", "3", "null", "S m t", "\\u00", "\ud800", "\0", "\u202e", GOOD, TAGGED),
        ]
    )
    | st.text(max_size=3),
    max_size=30,
).map("".join)


@settings(deadline=None, max_examples=300)
@given(fragments)
def test_parse_never_raises_and_names_what_it_did(text: str) -> None:
    parsed = parse(text)
    assert set(parsed.repairs) <= set(REPAIRS)
    assert (parsed.reading is None) == bool(
        {"no answer", "too long", "too many tags", "no JSON", "no final"} & set(parsed.repairs)
    )
    if parsed.reading is not None:
        again = parse(render(parsed.reading)).reading
        assert again is not None
        assert (again.final, again.clear, again.not_clear) == (
            parsed.reading.final,
            parsed.reading.clear,
            parsed.reading.not_clear,
        )


SPAM = [
    "<",
    "<answer>",
    "<answer></answer>",
    "<think>",
    "</think>",
    "{",
    "[",
    '"',
    "\\",
    '{"a":',
    '" ,"',
    "```",
    " ",
    "'",
    "\n",
]
SPAM += [
    '"clear number":',
    '"final ocr":"',
    '{"Final OCR": "a',
    "not clear ",
    "[UNREADABLE]",
    "\u25a1",
    '\\"',
    "e\u0301",
    "\u0301\u0327",  # sorted by insertion where nobody bounds the run
    "\u0f73",
    "\uff21",
    "\uff1a",
]


# The bar of 50 ms for a megabyte is `python -m studies.benches.parsing`; here forty times that, which no busy machine
# reaches (ten times was reached by one) and which everything that is not linear passes by far.
PATIENCE = 2.0


@pytest.mark.parametrize("length", [MAX_BODY, MAX_CHARS])
@pytest.mark.parametrize("start", ["", '{"Final OCR": "', '<answer>{"Final OCR": [', '{"Final OCR": '])
def test_no_string_takes_long(start: str, length: int) -> None:
    for spam in SPAM:
        text = (start + spam * (length // len(spam)))[: length - len(start)]
        assert _cpu_seconds(text) < PATIENCE, f"{spam!r}"


@settings(deadline=None, max_examples=40)
@given(fragments, fragments, st.sampled_from(SPAM) | fragments, fragments, st.sampled_from([MAX_BODY, MAX_CHARS]))
def test_no_megabyte_takes_long(start: str, one: str, other: str, end: str, length: int) -> None:
    unit = (one + other) or "x"
    text = (start + unit * (length // len(unit)))[: length - len(end)] + end
    assert _cpu_seconds(text) < PATIENCE


def test_an_answer_after_a_megabyte_of_thinking_is_read() -> None:
    thinking = "<think>" + "The surname could be Smith. " * 37_000 + "</think>"
    parsed = parse(thinking + TAGGED)
    assert 1_000_000 < len(thinking) < MAX_CHARS
    assert (parsed.reading, parsed.repairs) == (SMITH, ())


def _cpu_seconds(text: str) -> float:
    start = time.thread_time()
    parse(text)
    return time.thread_time() - start


printable = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12)
exotic = st.text(st.sampled_from('ab <>[]"\\{}\t\n\u00e9e\u0301\u25a1'), max_size=6)


@settings(max_examples=400, deadline=None)
@given(*[st.one_of(printable, exotic)] * 3, *[st.one_of(st.integers(-5, 2_000_000), st.none())] * 2, st.booleans())
@example("S m t", "", "[UNREADABLE]", 3, 0, True)
@example("", "", "<answer>", 3, 0, True)
def test_an_answer_as_agreed_is_read_as_the_long_way_reads_it(
    clear: str, not_clear: str, final: str, number: int | None, other: int | None, ascii_only: bool
) -> None:
    fields = dict(zip(KEYS, (clear, not_clear, number, other, final), strict=True))
    for order in ORDER.values():
        said = {KEYS[part]: fields[part] for part in order}
        text = f"<answer>{json.dumps(said, ensure_ascii=ascii_only)}</answer>"
        assert parse(text) == answer._parse(text)


def test_what_render_writes_takes_the_short_way() -> None:
    """Names and numbers of documents do; an accent or a quotation mark may take the long one."""
    for golden in goldens():
        for text in answers(golden.slots).values():
            assert (answer._AGREED["official"].fullmatch(text) is not None) == text.startswith("<answer>")
    assert parse(render(truth(slots("O'Neil-3/4 #7", "cccccccccc-cc")), tags=True)).repairs == ()


@given(ledgers())
def test_the_explicit_style_says_the_same_with_one_symbol_a_slot(ledger: tuple[Slot, ...]) -> None:
    """Final OCR comes first and marks hidden slots, and them alone, with a symbol that no document prints."""
    said = perfect(ledger, "explicit")
    assert parse(said).reading == parse(perfect(ledger, "official")).reading
    assert set(parse(said).repairs) <= {"explicit marks"} and parse(said) == answer._parse(said)
    assert said.startswith('<answer>{"Final OCR": ')
    final = json.loads(said.removeprefix("<answer>").removesuffix("</answer>"))[KEYS["final"]]
    if final:
        hidden = [slot.scored and slot.legibility == "hidden" for slot in ledger]
        assert [symbol == EXPLICIT_MARK for symbol in final] == hidden


def test_an_explicit_answer_takes_the_short_way() -> None:
    ledger = slots("ONeil 7", "cchpp-h")
    said = perfect(ledger, "explicit")
    assert answer._AGREED["explicit"].fullmatch(said)
    assert parse(said).reading == parse(render(truth(ledger))).reading
