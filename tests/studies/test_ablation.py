"""The ablation: its command on the smallest model, its matching against brute force, its page against its results."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import yaml

from kie_hvqa.answers.answer import Reading, render
from kie_hvqa.data.files import read_json, write_json
from kie_hvqa.data.ledger import Row, Slot
from kie_hvqa.errors import InputError
from rewards.plugins.spec import RewardSpec
from rl.recipes import GrpoRecipe
from rl.rollouts.record import file_name, write_rollouts
from studies import curves
from studies.ablation.__main__ import DOCS, main
from studies.ablation.cells import _overrides, cells_of
from studies.ablation.claims import claimed
from studies.ablation.config import WATCH, load_plan, watched
from studies.ablation.matching import Draws, Outcomes, mixture, rates, withdrawal
from studies.ablation.page import NOT_RUN, rendered, replaced
from studies.ablation.repaid import over, repaid, rises
from studies.curves import curves_svg, smoothed

ROOT = Path(__file__).resolve().parents[2]
PLANS = sorted((ROOT / "configs" / "ablation").glob("*.yaml"))


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_shipped_plans_have_a_place_on_the_page_and_load_their_recipes(path):
    from kie_hvqa.config import load
    from rewards.plugins.spec import load_rewards

    plan = load_plan(path, [])
    load(plan.grpo, GrpoRecipe, plan.overrides.get("grpo", []))
    for specs in plan.rewards.values():
        assert load_rewards(watched(specs))
    assert replaced(DOCS.read_text(encoding="utf-8"), plan.section, "x", DOCS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": "x"}, "name one of `simulate` and `data`"),
        ({"reference": "nothing"}, "`nothing` is not among the rewards"),
        ({"matched": ["kie_hvqa_paper"]}, "cannot be matched with itself"),
        ({"seeds": [1, 1]}, "a seed stands twice"),
        ({"rewards": {"../out": [{"function": "format"}]}}, "cannot be the name of a cell's directory"),
        ({"rewards": {"base": [{"function": "format"}]}}, "cannot be the name of a cell's directory"),
    ],
)
def test_a_plan_that_does_not_hold_together_is_refused(tmp_path, change, message):
    plan = yaml.safe_load(PLANS[-1].read_text()) | change
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(plan))
    with pytest.raises(InputError, match=message):
        load_plan(tmp_path / "plan.yaml", [])


def test_rewards_in_files_are_relative_to_the_plan_and_the_truth_is_always_watched(tmp_path):
    plan = yaml.safe_load(PLANS[-1].read_text())
    plan |= {"rewards": {"mine": [{"function": "./mine.py:f"}]}, "reference": "mine"}
    plan |= {"matched": [], "ladder": [], "answer_credit": []}
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(plan))
    (spec,) = load_plan(tmp_path / "plan.yaml", []).rewards["mine"]
    assert spec.function == f"{tmp_path / './mine.py'}:f"
    assert watched([spec]) == [spec, WATCH]
    assert watched([WATCH]) == [WATCH]


def test_a_reward_without_slots_pays_answers_whole_and_others_where_the_plan_says_so(tmp_path):
    plan = load_plan(ROOT / "configs" / "ablation" / "tiny.yaml", [])
    whole = {
        cell.reward: "advantages.credit=answer" in _overrides(plan, tmp_path, cell) for cell in cells_of(plan, tmp_path)
    }
    assert {name for name, answers in whole.items() if answers} == {
        "kie_hvqa_paper",
        "uncertainty_tags",
        "faithful_answer",
    }
    assert whole["faithful"] is False


# --- equal over-refusal ----------------------------------------------------------------------------------------------


def cell(seed: int, refuses: float, invents: float, seeds: int = 2, questions: int = 120) -> Outcomes:
    """Answers to four questions a document, ten clear and four hidden slots each; the surest invent least."""
    rng = np.random.default_rng(seed)
    sure = rng.random((seeds, questions))
    marked = rng.binomial(10, refuses, (seeds, questions))
    invented = rng.binomial(4, np.clip(2 * invents * (1 - sure), 0, 1))
    counts = np.stack([marked, np.full_like(marked, 10), invented, np.full_like(marked, 4)], axis=2)
    return Outcomes(counts.astype(float), sure, np.repeat(np.arange(questions // 4), 4))


def draws(resamples: int = 200) -> Draws:
    return Draws.of(30, np.random.default_rng(1), resamples)


def rate_of(part: Outcomes) -> tuple[float, float]:
    total = part.counts.sum(axis=(0, 1))
    return total[0] / total[1], total[2] / total[3]


def test_a_mixture_is_the_reader_that_answers_some_questions_with_each():
    bold, careful, reference = cell(0, 0.05, 0.5), cell(1, 0.30, 0.1), cell(2, 0.15, 0.45)
    found = mixture([careful, bold], ["careful", "bold"], reference, draws())
    (x0, y0), (x1, y1), (x, y) = rate_of(bold), rate_of(careful), rate_of(reference)
    share = (x1 - x) / (x1 - x0)
    assert found.over_refusal == pytest.approx(x)
    assert found.invented == (pytest.approx(share * y0 + (1 - share) * y1), pytest.approx(y))
    assert found.low < found.difference < found.high < 0
    assert found.note == f"{share:.0%} of the questions to bold, the others to careful"
    # Really built: a coin for every question and seed gives the same rates.
    coin = np.random.default_rng(3).random((200, *bold.counts.shape[:2], 1)) < share
    built = np.where(coin, bold.counts, careful.counts).sum(axis=(0, 1, 2))
    assert built[0] / built[1] == pytest.approx(x, abs=2e-3)
    assert built[2] / built[3] == pytest.approx(found.invented[0], abs=5e-3)


def test_a_family_with_itself_differs_by_nothing_and_outside_its_range_there_is_no_mixture():
    bold, careful = cell(0, 0.05, 0.5), cell(1, 0.30, 0.1)
    same = mixture([bold, careful], ["bold", "careful"], bold, draws())
    assert same.difference == pytest.approx(0.0) and same.low < 0 < same.high  # its seeds are drawn twice
    assert mixture([bold, careful], ["bold", "careful"], cell(2, 0.01, 0.6), draws()) is None
    assert mixture([bold], ["bold"], bold, draws()) is None


def test_withdrawal_moves_the_bolder_reader_by_its_least_confident_answers():
    careful, bold = cell(1, 0.30, 0.1), cell(2, 0.05, 0.5)
    target, mine = rate_of(careful)
    # By hand: withdraw one answer after the other, all slots of it marked, until the over-refusal is reached.
    order = np.argsort(bold.confidence, axis=None)
    counts = bold.counts.reshape(-1, 4).copy()
    withdrawn = 0
    while counts[:, 0].sum() / counts[:, 1].sum() < target:
        counts[order[withdrawn], 0], counts[order[withdrawn], 2] = 10, 0
        withdrawn += 1
    theirs = counts[:, 2].sum() / counts[:, 3].sum()
    for first, second, ours in ((careful, bold, mine), (bold, careful, theirs)):
        found = withdrawal(first, "a", second, "b", draws())
        other = theirs if ours == mine else mine
        assert found.over_refusal == pytest.approx(target)
        assert found.invented == (pytest.approx(ours, abs=0.003), pytest.approx(other, abs=0.003))
        assert found.low <= found.difference <= found.high
        assert found.note.startswith("b withdraws" if first is careful else "a withdraws")


def test_withdrawal_needs_confidences_and_slots():
    bold, careful = cell(0, 0.05, 0.5), cell(1, 0.30, 0.1)
    assert withdrawal(careful, "a", Outcomes(bold.counts, None, bold.document), "b", draws()) is None
    nothing = Outcomes(np.zeros_like(bold.counts), bold.confidence, bold.document)
    assert withdrawal(nothing, "a", nothing, "b", draws()) is None


def test_resampled_rates_are_those_of_the_resampled_documents():
    part, drawn = cell(0, 0.2, 0.3), draws(3)
    seeds = drawn.seeds(2)
    over, invented = rates(part, drawn.documents, seeds)
    for row in range(4):
        weight = drawn.documents[row][part.document][None, :, None] * seeds[row][:, None, None]
        total = (part.counts * weight).sum(axis=(0, 1))
        assert (over[row], invented[row]) == (pytest.approx(total[0] / total[1]), pytest.approx(total[2] / total[3]))


# --- prices that rise ------------------------------------------------------------------------------------------------


def test_rollouts_are_paid_again_at_the_last_prices_so_the_same_answers_earn_the_same(tmp_path):
    slots = tuple(Slot(char, "clear", 1.0, (0, 0, 1, 1)) for char in "170")
    row = Row("r", "", "d", "card", "train", "height", "answerable", "?", "", slots)
    answers = [render(Reading(value, "", value, 3, 0), tags=True) for value in ("170", "171")]
    for step in (1, 2, 3, 4):
        said = answers if step < 4 else answers[:1]
        table = pa.table({"id": ["r"] * len(said), "completion": said})
        write_rollouts(tmp_path / "rollouts", file_name(step, 0), [table])
    kwargs = {"confidence_target": 0.8, "rise_steps": 3}
    specs = [RewardSpec(function="faithful", kwargs=kwargs, weight=2.0)]
    assert rises(specs) and not rises([RewardSpec(function="faithful")])
    paid = repaid(specs, tmp_path / "rollouts", {"r": row})
    wrong = (2 - 4) / 3  # two right, one at w = 4
    assert paid == {step: pytest.approx(2 * ((1 + wrong) / 2 if step < 4 else 1)) for step in (1, 2, 3, 4)}
    assert over(paid, [2, 4, 6]) == [paid[1], pytest.approx((paid[3] + paid[4]) / 2), None]
    with pytest.raises(InputError, match="no row r"):
        repaid(specs, tmp_path / "rollouts", {})


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ran(small, tmp_path_factory):
    """The command on the smallest model: two rewards, two seeds, one step."""
    home = tmp_path_factory.mktemp("ablation")
    recipe = small.recipe(home / "grpo.yaml", "rewards: [{function: format}]", "num_generations: 2, report_to: [], "
                          "per_device_train_batch_size: 4, max_completion_length: 8, activation_checkpointing: false")  # fmt: skip
    plan = {
        "title": "The smallest model", "section": "ablation", "data": str(small.data), "model": str(small.model),
        "base": str(small.model), "grpo": recipe.name, "overrides": {"grpo": ["training.max_steps=1"]}, "seeds": [3, 4],
        "rewards": {"bold": [{"function": "faithful", "kwargs": {"confidence_target": 0.8, "rise_steps": 2}}],
                    "paper": [{"function": "kie_hvqa_paper"}]},
        "reference": "paper", "matched": ["bold"], "ladder": ["paper", "bold"], "split": "train", "limit": 8,
        "max_new_tokens": 8, "resamples": 100, "seconds": {"step": 1.0, "question": 0.5, "warm_start": 60.0},
    }  # fmt: skip
    (home / "plan.yaml").write_text(yaml.safe_dump(plan))
    command = ["--config", str(home / "plan.yaml"), "--out", str(home / "out")]
    assert main(command) == 0
    return home / "out", command


@pytest.mark.slow
def test_every_cell_is_trained_and_evaluated_and_the_truth_is_logged_for_each(ran):
    out, _ = ran
    for reward, seed in itertools.product(("bold", "paper"), (3, 4)):
        directory = out / reward / f"seed-{seed}"
        log = read_json(directory / "history.json")["log"]
        assert "ledger/hallucination_free_accuracy" in log[0]
        assert read_json(directory / "training.json")["recipe"]["training"]["seed"] == seed
        assert read_json(directory / "metrics.json")["samples"] == 8
    found = read_json(out / "ablation.json")
    assert list(found["scores"]) == ["base", "no_rl", "bold", "paper"]
    assert found["seeds"] == [3, 4] and found["questions"] == 8
    assert {"bold-paper", "paper-no_rl", "paper-base"} <= set(found["differences"])
    assert all(len(found["scores"][name]["parse_failure_rate"]["seeds"]) == 2 for name in ("bold", "paper"))
    assert found["ladder"]["cells"] == ["paper", "bold"]
    paper = found["attack"]["paper"]
    assert len(paper["curves"]["reward"]) == len(paper["steps"]) == 1


@pytest.mark.slow
def test_run_again_it_does_nothing_and_a_lost_cell_alone_is_done_anew(ran, capfd):
    out, command = ran
    before = {path: path.stat().st_mtime_ns for path in out.glob("*/seed-*/model/model.safetensors")}
    assert len(before) == 4
    assert main([*command, "--time"]) == 0
    assert "0 of 4 cells to do, 1 steps and 8 questions each: about 0.0 hours" in capfd.readouterr().out
    shutil.rmtree(out / "bold" / "seed-4")
    results = read_json(out / "ablation.json")
    assert main([*command, "--time"]) == 0
    assert "1 of 4 cells to do" in capfd.readouterr().out
    with claimed(out / "bold" / "seed-4") as mine:  # as another process would
        assert mine and main(command) == 0
        assert "3 of 4 cells done\nanother process is at bold/seed-4" in capfd.readouterr().out
    assert main(command) == 0
    again = {path for path, time in before.items() if path.stat().st_mtime_ns != time}
    assert again == {out / "bold" / "seed-4" / "model" / "model.safetensors"}
    anew = read_json(out / "ablation.json")
    assert anew["scores"] == results["scores"] and anew["matched"] == results["matched"]
    assert main([*command, "overrides={grpo: [training.learning_rate=0.5]}"]) == 2
    assert "this directory holds another run" in capfd.readouterr().err


@pytest.mark.slow
def test_the_page_is_written_from_the_results_alone(ran, tmp_path, capfd):
    out, command = ran
    page = tmp_path / "page.md"
    page.write_text("# Rewards\n\n<!-- ablation: begin -->\nwhat stood here\n<!-- ablation: end -->\nafter\n")
    (tmp_path / "out").mkdir()
    shutil.copy(out / "ablation.json", tmp_path / "out")
    assert main([*command[:2], "--out", str(tmp_path / "out"), "--write-docs", str(page)]) == 0
    text = page.read_text()
    assert "what stood here" not in text and text.endswith("<!-- ablation: end -->\nafter\n")
    assert "| `paper` |" in text and "2 seeds, 8 questions" in text
    assert (tmp_path / "ablation.svg").read_text().startswith("<svg")
    assert read_json(tmp_path / "ablation.json") == read_json(out / "ablation.json")
    bare = tmp_path / "bare.md"
    bare.write_text("# Rewards\n")
    assert main([*command, "--write-docs", str(bare)]) == 2
    assert "no section `ablation`" in capfd.readouterr().err


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_docs_say_what_the_results_beside_them_say(path):
    """Absent until the plan has been run; from then on nobody edits the numbers by hand."""
    section = load_plan(path, []).section
    text = DOCS.read_text(encoding="utf-8")
    kept = DOCS.with_name(f"{section}.json")
    body = rendered(read_json(kept)) if kept.exists() else NOT_RUN
    assert replaced(text, section, body, DOCS) == text


def test_curves_leave_out_what_was_not_logged(tmp_path):
    values = [None, 0.2, None, None, None, None, None, None, 0.4]
    assert smoothed(values)[0] == smoothed(values)[4] == pytest.approx(0.2)
    assert smoothed([None] * 9)[4] is None
    curves = {"reward": [1.0, 2.0, 3.0], "hallucination_free_accuracy": [0.1, 0.2, 0.3]}
    curves |= {"over_refusal_rate": [None] * 3, "invented_rate": [0.5, None, 0.4]}
    svg = curves_svg({"a<b": {"steps": [1, 2, 3], "curves": curves}})
    assert "a&lt;b" in svg and svg.count("<path") > 10 and "nan" not in svg.lower()
    write_json(tmp_path / "x.json", {"svg": svg})  # plain text


def test_curves_of_a_run_are_those_of_its_log(tmp_path, monkeypatch):
    log = [{"loss": 1.0, "step": 5, "reward": 0.25, "ledger/invented_rate": 0.5}, {"step": 5, "eval_balanced": 0.5}]
    (tmp_path / "history.json").write_text(json.dumps({"steps": 5, "log": log}))
    found = curves.curves_of(tmp_path)
    assert found["steps"] == [5] and found["curves"]["reward"] == [0.25] and found["curves"]["invented_rate"] == [0.5]
    assert found["curves"]["over_refusal_rate"] == [None]
    monkeypatch.setattr("sys.argv", ["curves", f"a=b={tmp_path}", "--out", str(tmp_path / "x.svg")])
    with pytest.raises(SystemExit):
        curves.main()
    monkeypatch.setattr("sys.argv", ["curves", f"make demo={tmp_path}", "--out", str(tmp_path / "x.svg")])
    curves.main()
    assert ">make demo<" in (tmp_path / "x.svg").read_text()
