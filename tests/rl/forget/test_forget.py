"""Forgetting from end to end with a tiny random model, what each row teaches, and everything wrong that can be handed in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kie_hvqa.answers.answer import parse
from kie_hvqa.cli import main
from kie_hvqa.config import load
from kie_hvqa.data.files import read_json, write_json
from kie_hvqa.readers.checkpoint import ReadingContract, read_contract
from rl.forget.losses import METHODS, Role
from rl.forget.measure import SCORES, judged
from rl.forget.recipe import ForgetRecipe
from rl.forget.rows import ForgetRows, Sets, target
from tests.rl.forget.people import people, row, rows_of, write
from tests.rl.launching import ZERO, launch

RECIPE = Path("configs/forget/tiny.yaml")


@pytest.fixture(scope="module")
def sets(tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("people")
    for name, names in (("forget", ["ABLE", "BAKE"]), ("retain", ["CARE", "DOVE", "EARL", "FAYE"]), ("new", ["GAIL"])):
        people(home / name, names)
    return home


def recipe_for(sets: Path, *overrides: str) -> ForgetRecipe:
    given = ["model=embedded", f"forget={sets / 'forget'}", f"data.path={sets / 'retain'}", "output_dir=out"]
    return load(RECIPE, ForgetRecipe, [*given, *overrides])


def rows_for(sets: Path, *overrides: str) -> ForgetRows:
    recipe = recipe_for(sets, *overrides)
    contract = ReadingContract.current(min_pixels=784, max_pixels=12544, patch_size=14, merge_size=2, prompt="question")
    return ForgetRows(recipe, contract, Sets.of(recipe))


def said(item) -> str:
    reading = parse(item["completion"][0]["content"]).reading
    assert reading is not None
    return reading.final


def test_what_a_forgotten_row_teaches_depends_on_the_method():
    one = row("p", 0, "surname", "ABLE", " xx ")
    assert parse(target(one, "printed", "explicit")).reading.final == "ABLE"
    assert parse(target(one, "marked", "explicit")).reading.final == "A  E"
    assert parse(target(one, "refusal", "explicit")).reading.refused


@pytest.mark.parametrize("method", METHODS)
def test_the_original_answer_is_never_a_target_that_is_descended_on(sets, method):
    """ReLearn's released gather() appends it; so a covered row of ours is in a batch once, under one target."""
    rows = rows_for(sets, f"method={method}")
    covered = rows.sets.train["covered"]
    for index in range(3 * len(covered)):
        about, item = rows.sets.forgotten.row(covered[index % len(covered)]), rows.item(index, image=False)
        assert [one["role"] for one in (item, *item["companions"])].count(Role.FORGET) == 1
        over = [char for char, slot in zip(said(item), about.slots, strict=False) if slot.legibility == "hidden"]
        if METHODS[method].target == "printed":
            assert METHODS[method].forget < 0 or METHODS[method].npo
            assert "".join(over) == "".join(slot.char for slot in about.slots if slot.legibility == "hidden")
        else:
            assert not "".join(over).strip()


def _value(one) -> str:
    return "".join(slot.char for slot in one.slots)


def test_companions_are_the_persons_legible_card_and_others_with_the_same_question(sets):
    rows = rows_for(sets)
    seen = set()
    for index in range(60):
        item = rows.item(index, image=False)
        roles = {one["role"]: one for one in item["companions"]}
        (kept,) = set(roles) - {Role.PERSON, Role.QUESTION}
        assert (kept == Role.RETAIN_COVERED) == (" " in said(roles[kept]) or not said(roles[kept]))
        text = item["prompt"][0]["content"][1]["text"]
        assert roles[Role.QUESTION]["prompt"][0]["content"][1]["text"] == text
        person = rows.sets.forgotten.row(rows.sets.train["covered"][index % len(rows.sets.train["covered"])])
        own = {_value(r) for r in rows.sets.forgotten.rows if r.document_id == person.document_id}
        assert said(roles[Role.PERSON]) in own
        seen.add(said(roles[kept]))
        again = rows.item(index, image=False)
        assert again == item
    assert len(seen) > 3
    bare = rows_for(sets, "method=ga", "decoupled=0.0", "retained=3").item(0, image=False)
    assert bare["companions"] == []
    more = [one["role"] for one in rows_for(sets, "retained=3").item(0, image=False)["companions"]]
    assert len(more) == 5 and len([role for role in more if role in (Role.RETAIN, Role.RETAIN_COVERED)]) == 3


def test_wordings_stand_around_the_question(sets):
    rows = rows_for(sets, 'wordings=["{question}", "On this card: {question}"]')
    texts = {rows.item(index, image=False)["prompt"][0]["content"][1]["text"] for index in range(20)}
    assert {text.startswith("On this card: What is") for text in texts} == {True, False}


def test_some_rows_of_everybody_are_held_out(sets):
    found = Sets.of(recipe_for(sets))
    for kind in ("covered", "legible"):
        held = [found.forgotten.row(n).document_id for n in found.held[kind]]
        assert sorted(held) == ["p-ABLE", "p-BAKE"] and not set(found.held[kind]) & set(found.train[kind])
    kept = {found.kept.row(n).document_id for n in found.train["kept"]}
    held = {found.kept.row(n).document_id for n in found.held["kept"]}
    assert kept == held and len(held) == 4 and not set(found.held["kept"]) & set(found.train["kept"])
    assert len(found.measured("kept", "legible", 2)[1]) == 2


ANSWER = '<answer>{{"Final OCR": "{0}", "clear Char-level OCR": "{1}", "not clear enough Char-level OCR": "", "clear number": {2}, "not clear enough number": 0}}</answer>'


def answer(final: str) -> str:
    listed = final.replace("▯", "")
    return ANSWER.format(final, " ".join(listed), len(listed))


@pytest.mark.parametrize(
    ("text", "similarity", "forgot", "withheld", "right", "valid"),
    [
        (answer("ABLE"), 1.0, False, False, True, True),
        (answer("A▯▯E"), 0.0, True, False, True, True),
        (answer("ABXE"), 0.5, True, False, True, True),
        (answer("▯▯▯▯"), 0.0, True, True, False, True),
        ("", 0.0, True, True, False, False),
        ("It is A E", 0.0, True, True, False, False),
    ],
)
def test_an_answer_is_judged_by_what_it_says_over_hidden_and_over_clear_slots(
    text, similarity, forgot, withheld, right, valid
):
    found = judged(row("p", 0, "surname", "ABLE", " xx "), text)
    assert found.similarity == pytest.approx(similarity)
    assert (found.forgot, found.withheld, found.right, found.valid) == (forgot, withheld, right, valid)


def arguments(sets: Path, small, out: Path, *more: str) -> list[str]:
    return [
        "forget", "--model", str(small.model), "--forget", str(sets / "forget"), "--retain", str(sets / "retain"),
        "--strangers", str(sets / "new"), "--out", str(out), *more, "training.max_steps=2", "look_every=1",
        "training.per_device_train_batch_size=2", "relearn=[1, 3]", "relearn_steps=1", "samples=2", "max_new_tokens=8",
        "autocast=never", "dtype=float32", "training.logging_steps=1",
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "steps"),  # a random model leaks nothing: the first look ends an ascent, and relearning goes on
    [
        (["--method", "relearn"], 2),
        (["--method", "npo", "lora={rank: 2, alpha: 4}"], 1),
        (["--method", "ga", "--no-decoupled", "stop_at=null"], 2),
    ],
)
def test_from_rows_to_a_report(sets, small, tmp_path, more, steps):
    out = tmp_path / "out"
    line = arguments(sets, small, out, *more)
    assert main(line) == 0
    found = read_json(out / "forgetting.json")
    assert found["steps"] == steps
    for when in ("before", "after"):
        assert set(SCORES) < set(found[when]) and found[when]["leak"]["n"] == 2
        assert found[when]["valid"]["n"] > 10 and 0 <= found[when]["membership"] <= 1
    assert [one["rows"] for one in found["after"]["relearning"]] == [1, 3]
    report = (out / "report.md").read_text()
    assert "p-ABLE" in report and "Relearning" in report and "nan" not in report.lower()
    log = read_json(out / "history.json")["log"]
    assert any("loss/forget" in entry for entry in log)
    assert any("loss/decoupled" in entry for entry in log) == ("--no-decoupled" not in more)
    assert read_contract(out / "model") == read_contract(small.model)
    if "npo" in more:
        stamp = (out / "forgetting.json").stat().st_mtime_ns
        assert main(line) == 0 and (out / "forgetting.json").stat().st_mtime_ns == stamp


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize(
    ("zero", "more", "steps"),
    [
        (2, ["method=relearn"], 2),
        (3, ["method=npo", "look_every=1"], 1),  # the look takes whole weights; measured when the processes have parted
        (3, ["method=relearn", "lora={rank: 2, alpha: 4}"], 2),
    ],
)
def test_two_processes_forget_under_deepspeed(sets, small, tmp_path, zero, more, steps):
    out = tmp_path / "out"
    given = [
        f"model={small.model}", f"forget={sets / 'forget'}", f"data.path={sets / 'retain'}", f"strangers={sets / 'new'}",
        f"output_dir={out}", f"deepspeed={ZERO[zero]}", "training.max_steps=2", "training.per_device_train_batch_size=1",
        "relearn=[1]", "relearn_steps=1", "samples=2", "max_new_tokens=8", "autocast=never", "dtype=float32",
    ]  # fmt: skip
    assert launch("forget", RECIPE.absolute(), *given, *more, processes=2, out=out)["steps"] == steps
    assert set(SCORES) < set(read_json(out / "forgetting.json")["after"])
    assert read_contract(out / "model") == read_contract(small.model)


def refused(capsys, line: list[str], *parts: str) -> None:
    assert main(line) == 2
    told = capsys.readouterr().err.strip()
    assert all(part in told for part in parts), told


def test_what_is_wrong_is_refused_by_name_before_anything_is_written(sets, small, tmp_path, capsys):
    out, ids = tmp_path / "out", "p-ABLE"
    line = arguments(sets, small, out)

    def instead(name: str, folder: Path) -> list[str]:
        return [str(folder) if before == name else part for before, part in zip(["", *line], line, strict=False)]

    both = people(tmp_path / "both", ["CARE", "ABLE"])
    refused(capsys, instead("--retain", both), f"{both}/metadata.jsonl", "document_id", ids, "is in", "one of the sets")
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "metadata.jsonl").write_text("")
    for name in ("--forget", "--retain", "--strangers"):
        refused(capsys, instead(name, empty), f"{empty}/metadata.jsonl", "no rows")
    bare = write(tmp_path / "bare", [replace(one, slots=None) for one in rows_of("p-HUGO", "HUGO")])
    refused(capsys, instead("--forget", bare), f"{bare}/metadata.jsonl", "slots", "p-HUGO-q0")
    shown = write(tmp_path / "shown", [one for one in rows_of("p-HUGO", "HUGO") if one.severity == 0])
    refused(capsys, instead("--forget", shown), "nothing that could be forgotten")
    hidden = write(tmp_path / "hidden", [one for one in rows_of("p-HUGO", "HUGO") if one.severity])
    refused(capsys, instead("--forget", hidden), "p-HUGO has no legible card", "decoupled=0")
    other = tmp_path / "other"
    other.mkdir()
    for file in small.model.iterdir():
        (other / file.name).symlink_to(file)
    (other / "reading.json").unlink()
    write_json(other / "reading.json", read_json(small.model / "reading.json") | {"answer_format": "another"})
    refused(capsys, instead("--model", other), "reading.json", "answer_format", "another")
    refused(capsys, [*line, "prompt=official"], "prompt")
    refused(capsys, ["forget", "--out", str(out)], "model", "required")
    refused(capsys, [*line, 'wordings=["What?"]'], "wordings", "{question}")
    assert not out.exists()
