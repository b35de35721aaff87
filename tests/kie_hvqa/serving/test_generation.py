"""Turns, stop strings and answers that are broken off, each without a server."""

from __future__ import annotations

import threading

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from kie_hvqa.readers import open_reader
from kie_hvqa.serving.chat_request import BadRequest, ChatRequest
from kie_hvqa.serving.generation import End, Ending, Failed, Generation, Job, Piece
from kie_hvqa.serving.turns import Busy, Shares, Turns
from kie_hvqa.serving.writing import Cutter


@given(st.lists(st.text("abc", max_size=4), max_size=8), st.lists(st.text("abc", min_size=1, max_size=3), max_size=3))
@example(["ab", "b"], ["b", "abb"])  # the longer one is complete only when the text has ended
def test_a_text_is_shown_up_to_its_first_stop_string_however_it_comes(pieces, stops):
    cutter, shown, text = Cutter(stops), "", ""
    for piece in pieces:
        shown += cutter.add(piece)
        text += piece
        found = [(at + len(stop), at) for stop in stops if (at := text.find(stop)) >= 0]
        first = min(found)[1] if found else len(text)
        assert text[:first].startswith(shown), "nothing of a stop string, nothing behind it"
    assert shown + cutter.rest() == text[:first] if pieces else shown == ""
    assert (cutter.end is not None) == any(stop in text for stop in stops)


def test_addresses_take_turns_and_who_left_is_forgotten():
    turns: Turns[str] = Turns()
    for item in ("a1", "a2", "a3", "a4", "b1", "c1", "b2"):
        turns.put(item[0], item)
    turns.drop("a", "a3")
    turns.drop("c", "c1")
    turns.drop("d", "never there")
    assert [turns.take() for _ in range(5)] == ["a1", "b1", "a2", "b2", "a4"]


def test_an_address_has_a_bounded_share_and_gets_it_back():
    shares = Shares(most_requests=2, most_bytes=10)
    with shares.request("a"), shares.request("a"):
        with pytest.raises(Busy), shares.request("a"):
            pass
        with shares.request("b"), shares.body("b") as other:
            other.add(10)
    with shares.request("a"), shares.body("a") as one, shares.body("a") as two:
        one.add(6)
        with pytest.raises(Busy):
            two.add(5)
        two.add(4)
    with shares.request("a"), shares.request("a"), shares.body("a") as again:
        again.add(10)


@pytest.fixture(scope="module")
def generation():
    reader = open_reader("embedded", device="cpu")
    found = Generation(reader, reader.loaded())
    found.start()
    return found


ENDLESS = {"257": -100.0}  # the embedded reader's end token


def asked(text="What is the name?", **fields):
    return ChatRequest.model_validate({"model": "m", "messages": [{"role": "user", "content": text}], **fields})


class Waiter:
    """Collects what a job tells; leaves after ``patience`` pieces."""

    def __init__(self, generation, request, client="a", patience=10**9, images=()):
        self.events, self.over = [], threading.Event()
        self._generation, self._patience = generation, patience
        self.job = Job(client, request, list(images), self.tell)

    def tell(self, event):
        self.events.append(event)
        if sum(isinstance(event, Piece) for event in self.events) == self._patience:
            self._generation.leave(self.job)
        if not isinstance(event, Piece):
            self.over.set()

    def last(self):
        assert self.over.wait(120)
        return self.events[-1]

    @property
    def text(self):
        return "".join(event.text for event in self.events if isinstance(event, Piece))


def answer(generation, request, **options):
    waiter = Waiter(generation, request, **options)
    generation.put(waiter.job)
    return waiter.last(), waiter


def test_a_page_is_encoded_once_for_all_questions_about_it(generation, monkeypatch):
    base, counted = generation._loaded.model.base_model, []
    real = base.get_image_features
    monkeypatch.setattr(base, "get_image_features", lambda *a, **k: (counted.append(1), real(*a, **k))[1])
    place = {"type": "image_url", "image_url": {"url": "data:image/png;base64,"}}

    def said(text, image):
        content = [place, {"type": "text", "text": text}]
        _, waiter = answer(generation, asked(content, max_tokens=12), images=[image])
        return waiter.text

    gradient = Image.linear_gradient("L").resize((112, 84)).convert("RGB")
    shades = [generation._reader.shown(gradient.rotate(180 * turn)) for turn in (0, 1)]
    questions = ("What is the name in the image?", "What is the number in the image?")
    together = [said(text, image.copy()) for image in shades for text in questions]
    assert len(counted) == 2
    alone = [said(text, image) for text in questions for image in shades]
    assert len(counted) == 2 + 4 and [alone[0], alone[2], alone[1], alone[3]] == together


def test_who_leaves_ends_the_answer(generation):
    end, _ = answer(generation, asked(max_tokens=1500, logit_bias=ENDLESS), patience=3)
    assert isinstance(end, End) and end.completion_tokens < 20
    waiting = Waiter(generation, asked(max_tokens=1500, logit_bias=ENDLESS))
    generation.leave(waiting.job)
    generation.put(waiting.job)
    assert answer(generation, asked(max_tokens=1))[0].completion_tokens == 1
    assert waiting.events == [], "it was not begun"


def test_an_answer_is_as_long_as_the_context_leaves_room(generation):
    generation.context, whole = 60, generation.context
    try:
        end, _ = answer(generation, asked(max_tokens=10**9, logit_bias=ENDLESS))
        assert end.reason == "length" and end.prompt_tokens + end.completion_tokens == 60
        failed, _ = answer(generation, asked("x" * 100))
        assert (
            isinstance(failed, Failed) and isinstance(failed.error, BadRequest) and "context of 60" in str(failed.error)
        )
    finally:
        generation.context = whole
    assert whole == 2048


def test_a_stop_string_ends_an_answer_and_is_not_in_it(generation):
    """The stop string begins where a token does: one that began within a token could not be cut out of the tokens."""
    _, whole = answer(generation, asked(max_tokens=40))
    decode = generation._loaded.processor.tokenizer.decode
    ids = [token.id for event in whole.events[:-1] for token in event.tokens]
    starts = [len(decode(ids[:count])) for count in range(1, len(ids) - 3)]
    stop = next(whole.text[at : at + 3] for at in starts if whole.text.find(whole.text[at : at + 3]) == at)
    end, cut = answer(generation, asked(max_tokens=40, stop=["never there", stop]))
    assert cut.text == whole.text[: whole.text.index(stop)]
    assert end.reason == "stop" and end.completion_tokens < 40
    tokens = [token for event in cut.events[:-1] for token in event.tokens]
    assert decode([token.id for token in tokens]) == cut.text


def test_a_bias_bans_and_forces(generation):
    _, free = answer(generation, asked(max_tokens=8))
    first = free.events[0].tokens[0].id
    _, banned = answer(generation, asked(max_tokens=8, logit_bias={str(first): -100.0}))
    assert banned.events[0].tokens[0].id != first
    _, forced = answer(generation, asked(max_tokens=4, logit_bias={"65": 100.0}))
    assert forced.text == "aaaa"
    failed, _ = answer(generation, asked(logit_bias={"999999": 1.0}))
    assert "no token 999999" in str(failed.error)
    control = generation._loaded.suppressed[0]
    _, never = answer(generation, asked(max_tokens=4, logit_bias={str(control): 100.0, "65": 50.0}))
    assert never.text == "aaaa", "no bias brings a control token about"


def test_tiny_temperatures_are_greedy_and_a_seed_is_a_seed(generation):
    def drawn(**fields):
        return answer(generation, asked(max_tokens=12, **fields))[1].text

    greedy = drawn()
    for temperature in (0.0, 5e-324, 1e-45, 1e-12, 1e-5, 1e-4):
        assert drawn(temperature=temperature, seed=1) == greedy
    assert drawn(temperature=2.0, top_p=1e-9, seed=1) == greedy, "the likeliest token alone is left"
    assert drawn(temperature=1.5, seed=7) == drawn(temperature=1.5, seed=7)
    assert len({drawn(temperature=2.0, seed=seed) for seed in range(4)}) > 1


def test_half_a_character_at_the_end_is_shown_as_the_tokenizer_shows_it(generation):
    _, waiter = answer(generation, asked(max_tokens=1, logit_bias={"128": 100.0}))  # the first byte of "é"
    assert waiter.text == "\N{REPLACEMENT CHARACTER}"


def test_the_end_of_the_server_is_told_to_all(generation):
    waiting = [Waiter(generation, asked(max_tokens=1500, logit_bias=ENDLESS), client) for client in "ab"]
    for waiter in waiting:
        generation.put(waiter.job)
    generation.end()
    late = Waiter(generation, asked())
    generation.put(late.job)
    for waiter in [*waiting, late]:
        assert waiter.over.wait(60)
        assert any(isinstance(event, Failed) and isinstance(event.error, Ending) for event in waiter.events)
