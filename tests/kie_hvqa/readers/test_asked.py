"""Signals that take passes of their own are made only where they are asked for, by whoever can make them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PIL import Image

from kie_hvqa.errors import InputError
from kie_hvqa.readers import Answer, Task, open_reader
from kie_hvqa.readers.asked import Asked, key_of, settings
from tests.kie_hvqa.pieces import row, says, slots


class Shaky:
    """Reads "AB", but "AX" on every picture after the first, and draws "AB" and "A "."""

    name = identity = "shaky"
    signals: tuple[str, ...] = ("own",)
    prompt = "question"

    def __init__(self):
        self.seen = []

    def asks(self, row):
        return ""

    def drawing(self, samples, temperature):
        drawn = Shaky()
        drawn.read = lambda tasks, done=frozenset(): (
            Answer(task.row.id, says("AB"), samples=(says("AB"), says("A "))) for task in tasks
        )
        return drawn

    def with_prompt(self, prompt):
        other = Shaky()
        other.read = lambda tasks, done=frozenset(): (Answer(task.row.id, says("A ")) for task in tasks)
        return other

    def read(self, tasks, done=frozenset()):
        for task in tasks:
            if task.row.id in done:
                continue
            self.seen.append(task)
            again = task.image.name != "page.png"
            yield Answer(task.row.id, says("AX" if again else "AB"))


@pytest.fixture
def tasks(tmp_path):
    Image.new("RGB", (80, 40), "white").save(tmp_path / "page.png")
    field = tuple(replace(slot, box=(20 + 10 * i, 10, 30 + 10 * i, 20)) for i, slot in enumerate(slots("AB", "cc")))
    return [Task(row("d_1", field), tmp_path / "page.png"), Task(row("d_2", ()), tmp_path / "page.png")]


def test_further_readings_vote_on_each_symbol(tasks):
    inner = Shaky()
    reader = Asked(inner, ("agreement", "jitter", "crop", "refusal_prompt", "sharpness"), samples=3)
    found = {answer.id: answer for answer in reader.read(tasks)}
    signals = {name: said.symbols for name, said in found["d_1"].signals.items()}
    assert signals["agreement"] == (1.0, 0.5) and found["d_1"].samples == (says("AB"), says("A "))
    assert signals["jitter"] == (1.0, 0.0) and signals["crop"] == (1.0, 0.0)
    assert signals["refusal_prompt"] == (1.0, 0.0)
    assert signals["sharpness"] == (0.0, 0.0), "a white page"
    assert "crop" not in found["d_2"].signals, "nobody knows where an absent field lies"
    assert found["d_1"].response == says("AB"), "the answer is the reader's own"
    moved = next(task for task in inner.seen if task.row.id == "d_1" and task.image.name != "page.png")
    assert moved.row.slots[0].box != tasks[0].row.slots[0].box, "boxes go along with the picture"
    assert not moved.image.exists(), "pictures do not stay"


def test_a_row_that_is_done_is_not_read_again(tasks):
    inner = Shaky()
    assert [a.id for a in Asked(inner, ("jitter",), samples=2).read(tasks, {"d_1"})] == ["d_2"]
    assert {task.row.id for task in inner.seen} == {"d_2"}


def test_how_signals_are_made_is_part_of_an_answers_key(tasks):
    one, other = (Asked(Shaky(), ("agreement", "ink"), samples=n) for n in (2, 3))
    assert key_of(Shaky()) == "" and len({key_of(one), key_of(other), key_of(Asked(Shaky(), ("ink",)))}) == 3
    assert settings(one) == {"own": "", "agreement": "2 samples at 1", "ink": ""}
    assert one.identity == "shaky", "the answers are the reader's own, whatever is asked beside them"


@pytest.mark.parametrize(
    ("spec", "signals", "what"),
    [
        ("rapidocr", ("agreement",), "draws no answers"),
        ("rapidocr", ("contrast",), "cannot give contrast"),
        ("openai:m@http://127.0.0.1:1/v1", ("contrast",), "cannot give contrast"),
        ("rapidocr", ("agreemint",), "Did you mean `agreement`?"),
    ],
)
def test_a_signal_that_a_reader_cannot_give_is_refused(spec, signals, what):
    with pytest.raises(InputError) as refused:
        open_reader(spec, signals=signals)
    assert what in str(refused.value)


def test_signals_of_each_kind_of_reader(tiny_model):
    def of(spec, *asked):
        return set(open_reader(spec, signals=asked).signals)

    own = {"token_probability", "mark_margin", "rival_margin"}
    assert of("rapidocr") == {"character_confidence"}
    assert of("openai:m@http://127.0.0.1:1/v1") == {"token_probability"}
    assert of("openai:m@http://127.0.0.1:1/v1", "mark_margin") == own
    assert of(str(tiny_model), "mark_margin") == own
    assert of(str(tiny_model), "contrast", "agreement") == own | {"contrast", "agreement"}
