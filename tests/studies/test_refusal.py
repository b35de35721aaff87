"""Learnt refusal: layers, directions and thresholds as the methods have them, matched refusal by hand, and every arm in miniature."""

from __future__ import annotations

from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from kie_hvqa.data.files import read_json
from kie_hvqa.data.ledger import Row, Slot
from kie_hvqa.readers import embedded_directory
from kie_hvqa.scoring.risk import auroc
from studies.refusal.__main__ import ARMS, main
from studies.refusal.arms import check, four_cells, refusal_tokens
from studies.refusal.arms.editing import direction
from studies.refusal.arms.lessons import marked, printed, strata_weights
from studies.refusal.arms.probers import chosen_threshold, cosine, fitted
from studies.refusal.frame import OPENER, Layers
from studies.refusal.judge import CLEAR, HIDDEN, Curve, average_precision
from studies.refusal.setting import SMALL
from studies.refusal.study import Study

COMMAND = ["--small", "--arms", "token_probability", "steering", "tokens", "suites"]


def row(value: str, legibility: str, kind: str = "answerable") -> Row:
    kinds = {"c": "clear", "p": "partial", "h": "hidden"}
    slots = tuple(Slot(char, kinds[letter], 1.0, (0, 0, 1, 1)) for char, letter in zip(value, legibility, strict=True))
    recipe: list[object] = []
    return Row(
        "r",
        "",
        "d",
        "id_card",
        "train",
        "surname",
        kind,
        "<image>What is the surname in the image?",
        "",
        slots,
        2,
        recipe,
    )


def test_targets_say_what_each_method_asks_for():
    mixed, gone, absent = row("AB CD", "chccp"), row("AB", "hh", "unreadable"), row("", "", "absent")
    assert (marked(mixed), marked(gone), marked(absent), printed(mixed)) == ("A▯ CD", "", "", "AB CD")
    assert check.target(mixed, "draft").split(check.BREAK)[:2] == ["AB CD", "cn cp"]
    assert check.target(mixed, "check_first").count(check.BREAK) == 1 and check.BREAK not in check.target(
        mixed, "direct"
    )
    tasks = [SimpleNamespace(row=one) for one in (mixed,)]
    for whole, naive in ((1.0, four_cells.SURE), (0.0, four_cells.UNSURE)):
        known = {"r": [1.0 - whole, whole, 1.0]}
        (lesson,) = four_cells.lessons("naive", tasks, known)
        assert lesson.target == "AB CD" + naive, "R-Tuning as it is keeps a lucky guess"
        (lesson,) = four_cells.lessons("four", tasks, known)
        assert lesson.target == "A▯ CD" + (four_cells.UNSURE if whole else four_cells.SURE), (
            "what is hidden is marked, lucky or not"
        )
    assert refusal_tokens.target(absent)[0] == refusal_tokens.CATEGORIES["absent"]
    assert refusal_tokens.target(mixed)[:3] == refusal_tokens.ANSWER + "A" + refusal_tokens.CATEGORIES["blurred"]
    assert refusal_tokens.target(row("AB", "cp"))[0] == refusal_tokens.AMBIGUOUS
    assert strata_weights()["mixed"] > strata_weights()["partial_only"]


def test_a_category_is_written_where_it_reaches_its_threshold_and_never_below():
    steps: list[torch.Tensor] = []
    scores = torch.tensor([[0.3, 0.5, 0.2], [0.8, 0.05, 0.15]]).log()
    out = refusal_tokens.Thresholds([1, 2], [0.4, 0.4], steps)(torch.zeros(2, 1), scores)
    assert out.argmax(-1).tolist() == [1, 0] and torch.isinf(out[0, [0, 2]]).all() and torch.isinf(out[1, 1:]).all()
    assert steps[0].tolist() == pytest.approx([0.7, 0.2])


def test_a_direction_keeps_the_mean_in_the_quietest_dimensions_alone():
    rng = torch.Generator().manual_seed(0)
    differences = torch.randn(40, 10, generator=rng) * torch.tensor([0.1] * 3 + [3.0] * 7) + 1.0
    found = direction(differences)
    assert (found != 0).tolist() == [True] * 3 + [False] * 7
    assert found[:3].tolist() == pytest.approx(differences.mean(0)[:3].tolist())
    assert cosine(torch.ones(5, 4)) == pytest.approx(1.0)
    assert abs(cosine(torch.randn(400, 64, generator=rng))) < 0.01


def test_a_prober_learns_labels_and_nothing_from_shuffled_ones():
    rng = np.random.default_rng(0)
    states = torch.tensor(rng.normal(size=(600, 12)), dtype=torch.float32)
    truth = (states[:, 0] > 0).numpy()
    assert auroc(truth[400:], fitted(states[:400], truth[:400], 0).probability(states[400:])) > 0.97
    mixed = fitted(states[:400], rng.permutation(truth[:400]), 0, steps=60)
    assert abs(auroc(truth[400:], mixed.probability(states[400:])) - 0.5) < 0.15
    assert chosen_threshold(
        np.array([0.1, 0.2, 0.3, 0.9]), np.array([False, False, False, True]), 0.0
    ) == pytest.approx(0.3, abs=1e-3)


def curve(sure: list[float], kinds: str) -> Curve:
    return Curve(
        np.array([CLEAR if kind == "c" else HIDDEN for kind in kinds]), np.array(sure), np.arange(len(sure)), len(sure)
    )


def test_inventions_at_matched_refusal_by_hand():
    ones = np.ones(8)
    base = curve([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2], "cchcchhh")
    refused, left = base.points(ones)
    assert list(zip(refused.tolist(), left.tolist(), strict=True))[:4] == [(0, 1), (0, 0.75), (0, 0.5), (0, 0.25)]
    assert base.invented_at(0.25, base, ones) == 0.25 and base.invented_at(0.75, base, ones) == 0.0
    # Refuses half of the clear slots and asserts one hidden one in four as it is: below that it is mixed with the base.
    arm = curve([-1, -1, 0.9, -1, 0.8, 0.7, -1, -1], "cchhcchh")
    assert arm.points(ones)[0][0] == 0.5 and arm.points(ones)[1][0] == 0.25
    assert arm.invented_at(0.25, base, ones) == pytest.approx((1 + 0.25) / 2)
    # Another refuses one clear slot in four and asserts nothing hidden; the base asserts a quarter where it refuses as much.
    assert curve([-1, 0.9, -1, -1, 0.8, 0.7, -1, -1], "cchhcchh").beside(base, ones) == (0.25, -0.25)
    assert average_precision(np.array([True, False, True]), np.array([3.0, 2.0, 1.0]), np.ones(3)) == pytest.approx(
        (1 + 2 / 3) / 2
    )


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """One arm on a frozen base, one that warm starts and the suites, on a handful of pages, two steps; all seven take a minute."""
    out = tmp_path_factory.mktemp("refusal")
    assert main([*COMMAND, "--out", str(out)]) == 0
    return out


@pytest.mark.long
def test_arms_run_by_one_command_and_again_it_does_nothing(ran, capsys):
    found = read_json(ran / "results.json")
    assert list(found["arms"]) == [arm for arm in ARMS if arm in COMMAND]
    assert {own["arm"] for own in found["readers"].values()} == {*found["arms"]} - {"suites"}
    assert len(found["arms"]["suites"][0]["of"]) == 5
    for own in found["readers"].values():
        assert set(own) >= set(SMALL.judged) and 0 <= own["test"]["invented_at_15"]["value"] <= 1
    assert ElementTree.parse(ran / "refusal.svg").getroot().tag.endswith("svg")
    before = {path: path.stat().st_mtime_ns for path in (ran / "seed-0").rglob("*")}
    capsys.readouterr()
    assert main([*COMMAND, "--out", str(ran)]) == 0
    readers, arms = capsys.readouterr().out.strip().split("\n\n")
    assert len(readers.splitlines()) == 2 + len(found["readers"])
    assert len(arms.splitlines()) == 2 + len(found["arms"])
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.long
def test_a_layer_is_what_its_block_gives(ran):
    """Not what it is given, which is what transformers calls by the same number; and the last is not normed yet."""
    study = Study(SMALL, ran)
    tasks = study.tasks("validation")[:2]
    tasks = [task for task in tasks if task.image == tasks[0].image] or tasks[:1]
    frame = study.base
    with torch.no_grad(), Layers(frame, [0, 1]) as seen:
        said = frame.model(**frame.inputs(tasks, [OPENER] * len(tasks)), output_hidden_states=True)
    for layer in (0, 1):
        assert torch.equal(seen.steps(layer)[0], said.hidden_states[layer + 1][:, -1])
    assert frame.directory == embedded_directory()
    assert torch.allclose(frame.states(tasks)[:, 1], seen.steps(1)[0], atol=1e-5)
