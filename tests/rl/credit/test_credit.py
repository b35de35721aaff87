"""Which token decides which slot: exact on answers made by hand, for byte-level tokenizers as Qwen's families have them."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import Qwen2Tokenizer

from kie_hvqa.answers.answer import Reading, parse, render, truth
from kie_hvqa.answers.verdicts import Ledger
from kie_hvqa.data.files import read_json
from kie_hvqa.data.ledger import Slot
from kie_hvqa.errors import InputError
from rewards.plugins.spec import RewardSpec, load_reward
from rl import grpo
from rl.advantages import SlotCredit, slot_advantages
from rl.credit.deciding import deciding, refusing
from rl.credit.token_text import token_text
from rl.tiny.tokenizer import build_tokenizer

KIND = {"c": "clear", "p": "partial", "h": "hidden"}
TINY = build_tokenizer(["What is the LN in the image?"])


def _slots(value: str, kinds: str) -> list[Slot]:
    return [Slot(char, KIND[kind], None, None) for char, kind in zip(value, kinds, strict=True)]


def _merged(*pairs: str) -> Qwen2Tokenizer:
    """A tokenizer with merges, as a trained one has them: "S m" makes one token of two characters."""
    vocabulary = dict(TINY.get_vocab())
    plain = {token: index for token, index in vocabulary.items() if index not in TINY.added_tokens_decoder}
    plain["<|endoftext|>"] = 0
    merges = [tuple(pair.split(" ")) for pair in pairs]
    for left, right in merges:
        plain.setdefault(left + right, max(plain.values()) + 1)
    return Qwen2Tokenizer(vocab=plain, merges=merges, unk_token="<|endoftext|>", eos_token="<|endoftext|>")


MERGED = _merged("S m", "t h", "Ġ th", "i t", "Ã ¼")


@pytest.mark.parametrize("tokenizer", [TINY, MERGED], ids=["bytes", "merges"])
@given(text=st.text(max_size=30).filter(lambda text: "<|" not in text))
def test_the_text_and_its_ranges_are_those_of_decode(tokenizer, text):
    ids = tokenizer(text)["input_ids"]
    found = token_text(tokenizer, ids)
    assert found.text == tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    covered = [place for first, end in found.ranges for place in range(first, end)]
    assert set(covered) == set(range(len(found.text))) and covered == sorted(covered)


@given(st.lists(st.integers(1, 256), max_size=12))
def test_bytes_that_make_no_character_are_counted_as_decode_counts_them(ids):
    found = token_text(TINY, ids)
    assert found.text == TINY.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    assert all(0 <= first < end <= len(found.text) for first, end in found.ranges)


def test_a_character_of_two_bytes_belongs_to_both_of_its_tokens():
    ids = TINY("aü")["input_ids"]
    assert token_text(TINY, ids).ranges == ((0, 1), (1, 2), (1, 2))
    assert token_text(MERGED, MERGED("aü")["input_ids"]).ranges == ((0, 1), (1, 2))


def _decided(value: str, kinds: str, reading: Reading) -> dict[str, dict[int, list[int]]]:
    """Per part of the answer: place in its string (its length: the closing quote) → slots."""
    text = render(reading, tags=True)
    found = deciding(text, parse(text), Ledger.of(_slots(value, kinds)))
    assert found is not None
    parts, rest = {}, dict(found)
    for name, key in (("clear", '"clear Char'), ("not_clear", '"not clear enough Char'), ("final", '"Final')):
        start = text.index('"', text.index(": ", text.index(key))) + 1
        end = text.index('"', start)
        parts[name] = {place - start: rest.pop(place) for place in sorted(rest) if start <= place <= end}
    assert not rest
    return parts


def test_a_right_answer_is_decided_character_by_character():
    """S m i t h with the i hidden and the t faint: the lists skip what they do not hold."""
    found = _decided("Smith", "cchpc", truth(_slots("Smith", "cchpc")))
    assert found["clear"] == {0: [0], 2: [1], 4: [2, 3, 4]}  # "S m h": i and t are skipped where h follows
    assert found["not_clear"] == {0: [2, 3]}  # "t": i is skipped; the first list has the others
    assert found["final"] == {0: [0], 1: [1], 2: [2], 3: [3], 4: [4]}


def test_what_is_skipped_at_the_end_is_decided_by_the_closing_quote():
    found = _decided("Smith", "ccchh", truth(_slots("Smith", "ccchh")))
    assert found["clear"] == {0: [0], 2: [1], 4: [2], 5: [3, 4]}
    assert found["not_clear"] == {0: [3, 4]}  # an empty list is a closing quote
    assert found["final"] == {0: [0], 1: [1], 2: [2], 3: [3], 4: [4]}


def test_what_is_left_out_is_decided_by_what_follows():
    found = _decided("Smith", "cchhc", Reading("Smh", "", "Smh", 3, 0))
    assert found["final"] == {0: [0], 1: [1], 2: [2, 3, 4]}
    one_mark = _decided("Smith", "cchhc", Reading("Sm h", "", "Smh", 3, 0))
    assert one_mark["final"] == {0: [0], 1: [1], 2: [2, 3], 3: [4]}


def test_a_word_space_and_an_added_character_decide_nothing():
    slots = [*_slots("ab", "cc"), Slot(" ", "clear", None, None), *_slots("cd", "cc")]
    text = render(Reading("ab cdX", "", "abcd", 4, 0), tags=True)
    found = deciding(text, parse(text), Ledger.of(slots))
    assert found is not None
    final = text.index("ab cdX")
    assert {place - final: s for place, s in found.items() if place >= final} == {0: [0], 1: [1], 3: [3], 4: [4]}


def test_a_refusal_is_decided_by_its_three_closing_quotes():
    found = _decided("ab", "hh", Reading("", "", "", 0, 0))
    assert found == {"clear": {0: [0, 1]}, "not_clear": {0: [0, 1]}, "final": {0: [0, 1]}}


@pytest.mark.parametrize(
    "text", ["", "no answer", '<answer>{"Final OCR": "ab"}</answer>', render(Reading('a"b'), tags=True)]
)
def test_what_cannot_be_taken_apart_is_not(text):
    assert deciding(text, parse(text), Ledger.of(_slots("ab", "cc"))) is None


def test_an_explicit_mark_decides_as_a_space_does():
    spaced = render(Reading("a c", "", "ac", 2, 0), tags=True)
    marked = spaced.replace('a c"}', 'a▯c"}')
    about = Ledger.of(_slots("abc", "chc"))
    assert deciding(marked, parse(marked), about) == deciding(spaced, parse(spaced), about)


# --- advantages


def test_a_slot_has_the_groups_mean_for_its_baseline():
    pays = torch.tensor([[1.0, 1.0, 0.0], [1.0, -1.0, 0.0], [1.0, 0.0, 0.0]])
    assert slot_advantages(pays, "none").tolist() == [[0, 1, 0], [0, -1, 0], [0, 0, 0]]
    scaled = slot_advantages(pays)
    assert scaled[:, 1].tolist() == pytest.approx([1.0, -1.0, 0.0], abs=1e-3) and not scaled[:, [0, 2]].any()


@given(
    st.lists(st.lists(st.floats(-2, 2), min_size=3, max_size=3), min_size=2, max_size=8),
    st.sampled_from(["group", "slot", "none"]),
)
def test_every_slots_advantages_sum_to_nothing(pays, scale):
    found = slot_advantages(torch.tensor(pays, dtype=torch.float64), scale)
    assert found.sum(dim=0).abs().max() < 1e-6 * max(1.0, float(found.abs().max()))


def test_a_row_that_could_not_be_read_moves_no_baseline():
    pays = torch.tensor([[1.0], [-1.0], [float("nan")]])
    assert slot_advantages(pays, "none").flatten().tolist() == [1.0, -1.0, 0.0]


def _credit(scale: str, **kwargs: object) -> SlotCredit:
    return SlotCredit(
        [load_reward(RewardSpec(function="faithful", kwargs={"confidence_target": 0.5, **kwargs}))], scale
    )


@pytest.mark.parametrize("tokenizer", [TINY, MERGED], ids=["bytes", "merges"])
def test_tokens_get_the_sum_over_what_they_decide_and_the_rest_the_whole_answers(tokenizer):
    """Two answers about Smith, i hidden: one marks it, the other invents a character. They differ in one slot."""
    slots = [
        {"char": c, "legibility": KIND[k], "evidence": None, "box": None} for c, k in zip("Smith", "cchcc", strict=True)
    ]
    rows = [{"slots": slots, "question_kind": "answerable"}] * 2
    texts = [
        render(Reading("Sm th", "", "Smth", 4, 0), tags=True),
        render(Reading("Smoth", "", "Smoth", 5, 0), tags=True),
    ]
    ids = [tokenizer(text)["input_ids"] for text in texts]
    whole = torch.tensor([0.5, -0.5])
    found = _credit("none").by_token(whole, rows, ids, tokenizer, 2, 0)
    assert found.shape == (2, max(map(len, ids)))
    for row, (text, tokens) in enumerate(zip(texts, ids, strict=True)):
        decided = deciding(text, parse(text), Ledger.of(_slots("Smith", "cchcc")))
        assert decided is not None
        shares = [0, 0, 1.0 if row == 0 else -1.0, 0, 0]
        at = 0
        for place, token in enumerate(tokens):
            piece = tokenizer.decode([token])
            over = {slot for char in range(at, at + len(piece)) for slot in decided.get(char, ())}
            expected = sum(shares[slot] for slot in over) if over else float(whole[row])
            assert float(found[row, place]) == pytest.approx(expected), (row, piece)
            at += len(piece)
        assert not found[row, len(tokens) :].any()
    if tokenizer is MERGED:
        assert any(len(tokenizer.decode([token]).strip()) > 1 for token in ids[0])  # some hold several characters


def test_a_share_of_the_whole_answers_advantage_comes_on_top():
    slots = [{"char": c, "legibility": "clear", "evidence": None, "box": None} for c in "ab"]
    rows = [{"slots": slots, "question_kind": "answerable"}] * 2
    ids = [TINY(render(Reading(v, "", v, 2, 0), tags=True))["input_ids"] for v in ("ab", "ax")]
    whole = torch.tensor([0.25, -0.25])
    plain = _credit("none").by_token(whole, rows, ids, TINY, 2, 0)
    shared = replace(_credit("none"), whole=0.5).by_token(whole, rows, ids, TINY, 2, 0)
    decided = plain != whole[:, None]
    assert decided.any() and not decided.all()
    assert torch.equal(shared, plain + 0.5 * whole[:, None] * decided)


@pytest.mark.parametrize("tokenizer", [TINY, MERGED], ids=["bytes", "merges"])
@pytest.mark.parametrize("style", ["official", "explicit"])
def test_the_refusal_of_an_absent_field_counts_for_what_others_assert(tokenizer, style):
    """One token says it, as one token refuses a printed field of as many slots. All others keep the whole answer's advantage."""
    rows = [{"slots": [], "question_kind": "absent"}] * 3
    answers = [Reading("", "", "", 0, 0), Reading("Smith", "", "Smith", 5, 0), Reading("Ann", "", "Ann", 3, 0)]
    texts = [render(each, tags=True, style=style) for each in answers]
    ids = [tokenizer(text)["input_ids"] for text in texts]
    whole = torch.tensor([1.0, -0.5, -0.5])
    found = _credit("group").by_token(whole, rows, ids, tokenizer, 3, 0)
    assert refusing(texts[0], parse(texts[0])) == texts[0].index('"Final OCR": "') + len('"Final OCR": "')
    assert sorted(found[0, : len(ids[0])].tolist()) == [1.0] * (len(ids[0]) - 1) + [4.0]
    says = int(found[0].argmax())  # it closes Final OCR, and may hold more
    assert ['"Final OCR": ""' in tokenizer.decode(ids[0][:end]) for end in (says, says + 1)] == [False, True]
    for row in (1, 2):
        assert (found[row, : len(ids[row])] == -0.5).all() and not found[row, len(ids[row]) :].any()


def test_a_refusal_that_all_share_counts_for_one():
    rows = [{"slots": [], "question_kind": "absent"}] * 2
    ids = [TINY(render(Reading("", "", "", 0, 0), tags=True))["input_ids"]] * 2
    found = _credit("group").by_token(torch.tensor([0.5, 0.5]), rows, ids, TINY, 2, 0)
    assert (found == 0.5).all()


def test_an_answer_that_cannot_be_read_keeps_the_whole_answers_advantage():
    slots = [{"char": "a", "legibility": "clear", "evidence": None, "box": None}]
    rows = [{"slots": slots, "question_kind": "answerable"}] * 2
    ids = [TINY(text)["input_ids"] for text in ("nonsense", render(Reading("a", "", "a", 1, 0), tags=True))]
    found = _credit("group").by_token(torch.tensor([-1.0, 1.0]), rows, ids, TINY, 2, 0)
    assert (found[0, : len(ids[0])] == -1).all() and not found[0, len(ids[0]) :].any()


FAITHFUL = "rewards: [{function: faithful, kwargs: {confidence_target: 0.5}}]"
TRAINING = "per_device_train_batch_size: 8, num_generations: 4, max_completion_length: 24, report_to: [], seed: 3"


def test_a_run_by_slot_trains_and_keeps_its_rollouts(small, tmp_path):
    import pandas as pd

    recipe = small.recipe(tmp_path / "grpo.yaml", f"{FAITHFUL}\nadvantages: {{credit: slot}}", TRAINING)
    grpo.run(recipe)
    log = read_json(tmp_path / "out" / "history.json")["log"]
    assert all(math.isfinite(entry["loss"]) for entry in log if "loss" in entry)
    assert len(pd.read_parquet(tmp_path / "out" / "rollouts")) == 16


@pytest.mark.parametrize(
    ("text", "training", "said"),
    [
        ("rewards: [{function: format}]", "", "taken apart by slot"),
        (FAITHFUL, "off_policy_mask_threshold: 0.5", "weighs whole answers"),
    ],
)
def test_slots_without_a_price_are_refused(small, tmp_path, text, training, said):
    recipe = small.recipe(tmp_path / "grpo.yaml", f"{text}\nadvantages: {{credit: slot}}", f"{TRAINING}, {training}")
    with pytest.raises(InputError, match=said):
        grpo.run(recipe)


def test_prices_follow_a_target_that_rises():
    """One of two answers is wrong about a slot: the distance of their pay is 1 + w."""
    rows = [{"slots": [{"char": "a", "legibility": "clear"}], "question_kind": "answerable"}] * 2
    ids = [TINY(render(Reading(char, "", char, 1, 0), tags=True))["input_ids"] for char in "ab"]
    credit = _credit("none", confidence_target=0.8, rise_steps=10)
    for step, wrong in ((0, 1.0), (10, 4.0)):
        found = credit.by_token(torch.zeros(2), rows, ids, TINY, 2, step)
        assert sorted({round(value, 5) for value in found.flatten().tolist()}) == [-(1 + wrong) / 2, 0, (1 + wrong) / 2]


def test_official_rows_have_slots_too():
    answer = render(Reading("a b", "", "ab", 2, 0))  # something hidden between two clear characters
    rows = [{"slots": None, "answer": answer, "question_kind": "answerable"}] * 2
    ids = [
        TINY(render(Reading(final, "", final.replace(" ", ""), 2, 0), tags=True))["input_ids"]
        for final in ("a b", "axb")
    ]
    found = _credit("none").by_token(torch.zeros(2), rows, ids, TINY, 2, 0)
    assert found.max() == 1.0 and found.min() == -1.0
