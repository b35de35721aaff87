"""One line of progress, and libraries silenced by name: whatever else they say is still heard."""

from __future__ import annotations

import io
import logging
import warnings
from types import SimpleNamespace

from transformers import PrinterCallback, ProgressCallback

from rl import console

LOG = {"loss": 0.01234, "reward": 0.4, "ledger/invented_rate": 0.25, "time/data": 3.0, "clip_ratio/low_min": 0.0}


def state(step: int, *, first: bool = True) -> SimpleNamespace:
    return SimpleNamespace(global_step=step, max_steps=180, is_world_process_zero=first)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_becomes_one_line_of_what_matters(capsys):
    line = console.ProgressLine("grpo")
    line.on_train_begin(None, state(0), None)
    line.on_log(None, state(60), None, logs=LOG)
    line.on_log(None, state(60), None, logs={"train_runtime": 3.0})
    line.on_log(None, state(61), None, logs={"eval_hallucination_free_accuracy": 0.5})
    line.on_train_end(None, state(180), None)
    first, second = capsys.readouterr().err.splitlines()
    assert first == "grpo: 33% 60/180, 00:00 left, loss 0.012, reward 0.400, invented 0.250"
    assert second.endswith("loss 0.012, reward 0.400, invented 0.250, held out 0.500")


def test_only_the_first_process_speaks(capsys):
    line = console.ProgressLine("sft")
    line.on_train_begin(None, state(0, first=False), None)
    line.on_log(None, state(1, first=False), None, logs=LOG)
    assert capsys.readouterr().err == ""


def test_on_a_terminal_the_line_moves_in_place(monkeypatch):
    file = Terminal()
    monkeypatch.setattr("sys.stderr", file)
    line = console.ProgressLine("grpo")
    line.on_train_begin(None, state(90), None)
    line.on_step_end(None, state(91), None)
    line.on_log(None, state(91), None, logs=LOG)
    line.on_train_end(None, state(180), None)
    assert file.getvalue().count("\n") == 1  # the end
    assert "51% " in file.getvalue() and "reward 0.400" in file.getvalue() and "time/data" not in file.getvalue()


def trainer(*, disable_tqdm: bool = False) -> SimpleNamespace:
    kept: list = [ProgressCallback(), PrinterCallback()]

    def remove(kind: type) -> None:
        kept[:] = [one for one in kept if not isinstance(one, kind)]

    arguments = SimpleNamespace(disable_tqdm=disable_tqdm)
    return SimpleNamespace(args=arguments, callbacks=kept, remove_callback=remove, add_callback=kept.append)


def test_the_line_takes_the_place_of_the_dictionaries_unless_asked_otherwise(monkeypatch):
    monkeypatch.delenv(console.VERBOSE, raising=False)
    console.show_progress(made := trainer(), "sft")
    assert [type(each) for each in made.callbacks] == [console.ProgressLine]
    console.show_progress(silent := trainer(disable_tqdm=True), "sft")
    assert silent.callbacks == []
    monkeypatch.setenv(console.VERBOSE, "1")
    console.show_progress(loud := trainer(), "sft")
    assert [type(each) for each in loud.callbacks] == [ProgressCallback, PrinterCallback]


def test_libraries_are_silenced_by_name_and_not_otherwise(monkeypatch):
    monkeypatch.delenv(console.VERBOSE, raising=False)
    deepspeed = logging.getLogger("DeepSpeed")
    heard: list[str] = []
    ear = logging.Handler()
    ear.emit = lambda record: heard.append(record.getMessage())
    # Whatever other tests made of this logger.
    for name, value in {"filters": [], "handlers": [ear], "propagate": False, "level": logging.WARNING}.items():
        monkeypatch.setattr(deepspeed, name, value)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        console.quiet_libraries()
        warnings.warn("`is_gradient_checkpointing` is deprecated and will be removed", FutureWarning, stacklevel=1)
        warnings.warn("your learning rate is a word", FutureWarning, stacklevel=1)
        deepspeed.warning("Setting accelerator to CPU.")
        deepspeed.warning("the optimiser is on fire")
    assert [str(one.message) for one in caught] == ["your learning rate is a word"]
    assert heard == ["the optimiser is on fire"]
