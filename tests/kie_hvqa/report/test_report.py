"""The report: right numbers, one file that needs nothing else, and nothing that a model wrote runs."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kie_hvqa.answers.answer import Reading, render, truth
from kie_hvqa.data.dataset import load_rows
from kie_hvqa.data.ledger import Row, Slot
from kie_hvqa.errors import InputError
from kie_hvqa.report import write_report
from kie_hvqa.report.charts import Bar, Curve, axis_top, curves, dots, lines, round_ticks
from kie_hvqa.report.confidence import shown as confidences
from kie_hvqa.report.gallery import select
from kie_hvqa.report.marking import mark_up
from kie_hvqa.report.outcomes import shares
from kie_hvqa.report.pictures import region
from kie_hvqa.runs.evaluator import score_predictions
from kie_hvqa.scoring.comparison import write_comparison
from kie_hvqa.scoring.metrics import OVERALL_SCORES, compare, score_rows
from kie_hvqa.scoring.scores import score
from kie_hvqa.scoring.tables import LABELS, comparison_table, difference, metrics_table, verdict
from tests.kie_hvqa.pieces import ledgers
from tests.kie_hvqa.pieces import row as piece

ATTACK = '<script>document.title="owned"</script><img src=x onerror="document.title=\'owned\'">'


def guess(row: Row) -> str:
    """Every slot filled: what is hidden is invented, an absent field too."""
    value = "".join("q" if slot.legibility == "hidden" else slot.char for slot in row.slots) or "170"
    return render(Reading(value, "", value.replace(" ", ""), len(value), 0), tags=True)


def honest(row: Row) -> str:
    return render(truth(row.slots), tags=True)


@pytest.fixture
def runs(cards, tmp_path):
    """Two runs over the same cards: one that guesses, one that is honest but for an answer with markup in it."""
    rows = load_rows(cards)
    directories = []
    for name, reader in (("guesser", guess), ("honest", honest)):
        answers = {row.id: reader(row) for row in rows}
        if name == "honest":
            answers["card_1_name"] = ATTACK
        file = tmp_path / f"{name}.jsonl"
        file.write_text("".join(json.dumps({"id": key, "response": text}) + "\n" for key, text in answers.items()))
        score_predictions(file, tmp_path / name, data=cards)
        directories.append(tmp_path / name)
    return directories


class Page(HTMLParser):
    """What a browser would load and run, and the data that the page's script draws from."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.scripts = 0
        self.handlers: list[str] = []
        self.text = ""
        self._block = ""
        self._in_block = False
        self.feed(text)
        self.data: dict[str, Any] = json.loads(self._block) if self._block else {}
        self.samples: list[dict[str, Any]] = self.data.get("samples", [])

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self._in_block = tag == "script" and values.get("type") == "application/json"
        self.scripts += tag == "script" and not self._in_block
        self.sources += [values[key] for key in ("src", "href") if key in values]
        self.handlers += [key for key in values if key.startswith("on")]

    def handle_endtag(self, tag):
        self._in_block = False

    def handle_data(self, data):
        if self._in_block:
            self._block += data
        else:
            self.text += data

    def kinds(self, run: int) -> dict[str, set[str]]:
        """Sample → the kinds of error of ``run``."""
        names = [kind for kind, _ in self.data["kinds"]]
        return {sample["i"]: {names[number] for number in sample["R"][run][3]} for sample in self.samples}


@pytest.fixture
def page(runs, tmp_path):
    write_report(runs, tmp_path / "report.html")
    return Page((tmp_path / "report.html").read_text())


def test_the_file_needs_nothing_but_itself(page, tmp_path):
    assert page.sources
    assert all(source.startswith(("data:", "#")) for source in page.sources)
    text = (tmp_path / "report.html").read_text()
    assert "@import" not in text
    assert not re.search(r"""url\(|(?:src|href)\s*=\s*["']?https?:""", text)


def test_what_a_model_wrote_is_text(page, tmp_path):
    assert page.scripts == 1, "the report's own"
    assert page.handlers == []
    (attacked,) = [sample for sample in page.samples if sample["i"] == "card_1_name"]
    assert attacked["R"][1][6] == ATTACK
    assert ATTACK not in (tmp_path / "report.html").read_text()


def test_half_a_surrogate_pair_does_not_stop_the_report(cards, tmp_path):
    file = tmp_path / "odd.jsonl"
    said = '<answer>{"Final OCR": "\\ud800\\u0000\\u202e"}</answer> \ud800 </script><!--'
    file.write_text("".join(json.dumps({"id": row.id, "response": said}) + "\n" for row in load_rows(cards)))
    score_predictions(file, tmp_path / "odd", data=cards)
    write_report([tmp_path / "odd"], tmp_path / "report.html")
    odd = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert len(odd.samples) == 12
    assert odd.samples[0]["R"][0][6] == said


def test_a_confidence_that_is_no_number_is_refused_where_it_is_read(cards, tmp_path):
    file = tmp_path / "sure.jsonl"
    lines = [{"id": row.id, "response": honest(row), "confidence": float("nan")} for row in load_rows(cards)]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(InputError, match="finite") as caught:
        score_predictions(file, tmp_path / "sure", data=cards)
    assert (caught.value.line, caught.value.field) == (1, "confidence")


def test_the_headline_shows_values_intervals_and_paired_differences(page, runs, cards):
    rows = load_rows(cards)
    first, second = (score_rows(rows, {row.id: reader(row) for row in rows}) for reader in (guess, honest))
    second = [score(row, ATTACK if row.id == "card_1_name" else honest(row)) for row in rows]
    label = LABELS["hallucination_free_accuracy"]
    found = compare(second, first)["hallucination_free_accuracy"]
    assert found["mean"] == pytest.approx((11 - 4) / 12)
    assert difference(found, label) in page.text
    overall = json.loads((runs[1] / "metrics.json").read_text())["overall"]["hallucination_free_accuracy"]
    assert f"{100 * overall['value']:.1f}" in page.text
    assert overall["low"] is None and found["low"] is None and "too few" in page.text  # four documents


def test_every_sample_says_which_run_erred_and_how(page):
    guessed, honest_run = page.kinds(0), page.kinds(1)
    assert any("invented" in guessed[name] and honest_run[name] == {"free"} for name in guessed)
    assert honest_run["card_1_name"] == {"unparsable"}
    assert any("false_answer" in kinds for kinds in guessed.values())
    assert not any("invented" in kinds for kinds in honest_run.values())


def test_a_failed_reader_and_sampled_answers_are_shown(cards, tmp_path):
    rows = load_rows(cards)
    file = tmp_path / "drawn.jsonl"
    lines: list[dict[str, Any]] = [{"id": row.id, "response": honest(row)} for row in rows]
    lines[0] |= {"samples": [honest(rows[0]), guess(rows[0]), "I cannot say", honest(rows[0])]}
    lines[1] |= {"response": "", "error": "HTTP 429 <b>slow down</b>"}
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    score_predictions(file, tmp_path / "drawn", data=cards)
    write_report([tmp_path / "drawn"], tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text())
    readings = {sample["i"]: sample["R"][0] for sample in page.samples}
    assert readings[rows[0].id][7:] == [None, [["Ma··a·Quist", 2], ["Maqqa·Quist", 1], [None, 1]]]
    assert readings[rows[1].id][7:] == ["HTTP 429 <b>slow down</b>", []]
    assert page.kinds(0)[rows[1].id] == {"failed"}
    assert len(readings[rows[2].id]) == 7, "one answer, no error: nothing to add"


def test_the_numbers_at_a_glance_say_whose_they_are(page):
    assert "honest at a glance, with its paired differences from guesser" in page.text


def test_the_ledger_lies_over_the_picture(page, cards):
    row = load_rows(cards)[0]
    (sample,) = [sample for sample in page.samples if sample["i"] == row.id]
    assert sample["v"] == "Marta Quist"
    assert sample["l"] == "cchhc_ccccc"
    assert sample["e"][:3] == [100, 100, 0]
    assert sample["z"] == [192, 96] and sample["p"] < len(page.data["pictures"])
    assert sample["b"][:4] == pytest.approx([round(value, 1) for value in row.slots[0].box])
    symbols, verdicts, inserted, _, label, _, _ = sample["R"][0]
    assert (symbols, verdicts, inserted, label) == ("Maqqa Quist", "rriirsrrrrr", "", "invented")
    assert sample["R"][1][:2] == ["Ma  a Quist", "rrmmrsrrrrr"]


def test_rivals_twins_and_operators_are_shown(cards, tmp_path):
    metadata = cards / "metadata.jsonl"
    lines = [json.loads(line) for line in metadata.read_text().splitlines()]
    lines[0]["slots"][2]["rivals"] = "t1"
    lines[0]["recipe"] = [{"operator": "opaque_occluder", "parameters": "{}"}]
    metadata.write_text("".join(json.dumps(line) + "\n" for line in lines))
    file = tmp_path / "said.jsonl"
    file.write_text("".join(json.dumps({"id": line["id"], "response": line["answer"]}) + "\n" for line in lines))
    score_predictions(file, tmp_path / "run", data=cards)
    write_report([tmp_path / "run"], tmp_path / "report.html")
    (sample,) = [s for s in Page((tmp_path / "report.html").read_text()).samples if s["i"] == lines[0]["id"]]
    assert sample["r"] == {"2": "t1"}
    assert sample["o"] == ["opaque occluder"]


def test_the_gallery_is_bounded_and_still_shows_each_kind(runs, tmp_path):
    write_report(runs, tmp_path / "small.html", samples=3)
    small = Page((tmp_path / "small.html").read_text())
    assert len(small.samples) == 3
    assert "3 of 12 samples" in small.text
    kinds = set.union(*small.kinds(0).values(), *small.kinds(1).values())
    assert kinds >= {"invented", "false_answer", "unparsable"}
    write_report(runs, tmp_path / "none.html", samples=0)
    assert Page((tmp_path / "none.html").read_text()).samples == []


def test_pictures_beyond_the_first_are_named_from_where_the_report_lies(runs, cards, tmp_path):
    (tmp_path / "pages").mkdir()
    write_report(runs, tmp_path / "pages" / "report.html", pictures=2)
    page = Page((tmp_path / "pages" / "report.html").read_text())
    inlined = [sample for sample in page.samples if "p" in sample]
    others = [sample for sample in page.samples if "u" in sample]
    assert len(inlined) == 2 and len(others) == 10
    assert len(page.data["pictures"]) <= 2
    assert (tmp_path / "pages" / others[0]["u"]).resolve().is_file()
    assert others[0]["g"][:2] == [0, 0] and others[0]["g"][2:] == others[0]["z"]
    assert "The first 2 carry their pictures" in page.text


def test_questions_about_one_page_share_its_picture(page):
    assert len(page.data["pictures"]) == 4
    assert len({sample["p"] for sample in page.samples}) == 4


def test_a_missing_image_is_said_and_the_rest_is_shown(runs, cards, tmp_path):
    (cards / "images" / "card_0.png").unlink()
    (cards / "images" / "card_1.png").write_bytes(b"no image")
    write_report(runs, tmp_path / "report.html", pictures=5)
    page = Page((tmp_path / "report.html").read_text())
    said = {sample["i"]: sample["x"] for sample in page.samples if "x" in sample}
    assert len(said) == 6 and len(page.samples) == 12
    assert "no such image" in said["card_0_name"] and "unreadable" in said["card_1_name"]


@pytest.fixture
def stranger(make_cards, tmp_path):
    """A run that used the same ids for other documents."""
    data = make_cards(tmp_path / "other", 4, (208, 96))
    file = tmp_path / "stranger.jsonl"
    file.write_text("".join(json.dumps({"id": row.id, "response": honest(row)}) + "\n" for row in load_rows(data)))
    score_predictions(file, tmp_path / "stranger", data=data)
    return tmp_path / "stranger"


def test_runs_over_other_data_are_not_put_side_by_side(runs, stranger, tmp_path):
    with pytest.raises(InputError, match="other data") as caught:
        write_report([runs[0], stranger], tmp_path / "report.html")
    assert caught.value.file == str(stranger)
    with pytest.raises(InputError, match="other data"):
        write_comparison({"a": runs[0], "b": stranger}, tmp_path / "comparison.json")


def test_runs_over_some_of_the_same_rows_are_compared_on_those(runs, cards, tmp_path):
    score_predictions(tmp_path / "honest.jsonl", tmp_path / "six", data=cards, limit=6)
    write_report([runs[0], tmp_path / "six"], tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text())
    assert "on the 6 questions that all were asked" in page.text
    assert len(page.samples) == 6
    with pytest.raises(InputError, match="same --split and --limit"):
        write_comparison({"a": runs[0], "b": tmp_path / "six"}, tmp_path / "comparison.json")


def test_official_lines_make_a_report_without_a_ledger(tmp_path):
    line = {"answer": '<answer>{"Final OCR": "Sm t "}</answer>', "response": "<answer>Smith</answer>"}
    (tmp_path / "lines.jsonl").write_text(json.dumps(line) + "\n" + json.dumps(line) + "\n")
    score_predictions(tmp_path / "lines.jsonl", tmp_path / "run")
    write_report([tmp_path / "run"], tmp_path / "report.html")
    text = Page((tmp_path / "report.html").read_text()).text
    assert "have no ledger" in text
    assert "similarity of Final OCR" in text


@pytest.mark.parametrize("spoil", ["metrics.json", "run.json", "data"])
def test_a_run_that_cannot_be_shown_is_named(runs, cards, tmp_path, spoil):
    if spoil == "data":
        metadata = cards / "metadata.jsonl"
        metadata.write_text(metadata.read_text().replace('"char": "M"', '"char": "B"'))
    else:
        (runs[1] / spoil).unlink()
    with pytest.raises(InputError) as caught:
        write_report(runs, tmp_path / "report.html")
    assert str(cards if spoil == "data" else runs[1]) in caught.value.file
    assert not (tmp_path / "report.html").exists()


# --- its parts ---


@settings(deadline=None)  # a busy machine is no failure
@given(ledgers("ab c1", size=8), st.text("ab c1x", max_size=10), st.text("abx", max_size=2))
def test_an_answer_is_free_or_an_error_says_why_it_is_not(ledger, final, listed):
    row = piece("r_1", ledger)
    marked = mark_up(row, render(Reading(final, listed, final.replace(" ", ""), 0, 0)))
    assert len(marked.outcomes) == len(marked.symbols) == len(ledger)
    assert marked.free == bool(score(row, render(Reading(final, listed, final.replace(" ", ""), 0, 0))).counts["free"])
    assert bool(marked.errors) == (not marked.free)


def test_a_selection_takes_every_kind_before_more_of_one(cards):
    rows = load_rows(cards)
    marked = {row.id: [mark_up(row, guess(row) if "number" not in row.id else "garbage")] for row in rows}
    kinds = {error for row in select(rows, marked, 3) for error in marked[row.id][0].errors}
    assert kinds >= {"invented", "false_answer", "unparsable"}
    assert len(select(rows, marked, 100)) == len(rows)


def test_a_large_page_is_cut_to_the_field_and_a_small_one_is_not():
    slots = [Slot("a", "clear", 1.0, (900.0 + 20 * i, 1500.0, 918.0 + 20 * i, 1530.0)) for i in range(8)]
    x0, y0, x1, y1 = region((1240, 1754), slots)
    assert x0 <= 900 and x1 >= 1058 and y0 <= 1500 and y1 >= 1530
    assert (x1 - x0) * (y1 - y0) < 1240 * 1754 / 4
    assert (0 <= x0 < x1 <= 1240) and (0 <= y0 < y1 <= 1754)
    assert region((192, 96), [Slot("a", "clear", 1.0, (10, 10, 20, 20))]) == (0, 0, 192, 96)
    assert region((1240, 1754), []) == (0, 0, 1240, 1754)


GROUPS = [("0", [Bar(0.5, 0.4, 0.6, 10), None]), ("1", [Bar(0.25, None, None, 10), Bar(0.0, 0.0, 0.1, 3)])]


def heights(svg: str) -> list[float]:
    return [float(value) for value in re.findall(r'cy="([\d.]+)"', svg)]


def test_a_mark_is_as_high_as_its_value_and_a_missing_one_is_not_there():
    svg = lines(GROUPS, ["a", "b<c"], "title", 100)
    base, top = 190 - 24, 8
    assert heights(svg) == pytest.approx([(base + top) / 2, base - (base - top) / 4, base], abs=0.1)
    assert "a, 0: 50.0 [40.0, 60.0], n = 10" in svg and "b&lt;c, 1: 0.0 [0.0, 10.0], n = 3" in svg
    assert axis_top(GROUPS) == 60
    assert axis_top([("0", [Bar(0.02, None, None, 3)])]) == 5
    assert axis_top([]) == 5


def test_dots_lie_at_their_values():
    svg = dots(GROUPS, ["a", "b"], "title", 100)
    places = [float(value) for value in re.findall(r'cx="([\d.]+)"', svg)]
    assert places == pytest.approx([114 + 236 * value for value in (0.5, 0.25, 0.0)], abs=0.1)
    assert svg.count("–</text>") == 1


def test_curves_keep_within_their_axes():
    svg = curves([Curve(0, [(0, 0), (50, 20), (100, 40)], "a")], "title", across=(0, 100), up=(0, 40))
    (path,) = re.findall(r'class="line" d="M([^"]+)"', svg)
    assert path == "34.0 166.0L192.0 87.0L350.0 8.0"
    assert round_ticks(0, 100) == [0, 20, 40, 60, 80, 100]
    assert round_ticks(0.13, 0.31) == [0.15, 0.2, 0.25, 0.3]
    assert round_ticks(3, 3) == [3]


def test_a_difference_is_coloured_only_where_its_interval_excludes_zero():
    invented, accuracy = LABELS["invented_rate"], LABELS["hallucination_free_accuracy"]
    up = {"mean": 0.05, "low": 0.01, "high": 0.09}
    assert (verdict(up, accuracy), verdict(up, invented)) == ("better", "worse")
    assert verdict({"mean": 0.05, "low": -0.01, "high": 0.09}, accuracy) == ""
    assert verdict({"mean": 0.05, "low": None, "high": None}, accuracy) == ""
    assert difference({"mean": -0.05, "low": -0.09, "high": 0.0}, accuracy) == "−5.0 [−9.0, 0.0]"


def test_a_comparison_holds_three_values_and_three_paired_differences(runs, cards, tmp_path):
    third = shutil.copytree(runs[1], tmp_path / "third")
    named = {"base": runs[0], "warm_start": runs[1], "grpo": third}
    comparison = write_comparison(named, tmp_path / "comparison.json")
    assert json.loads((tmp_path / "comparison.json").read_text()) == comparison
    assert set(comparison) == set(OVERALL_SCORES)
    pairs = {"warm_start-base", "grpo-warm_start", "grpo-base"}
    assert all(set(row) == set(named) | pairs for row in comparison.values())
    row = comparison["hallucination_free_accuracy"]
    assert row["warm_start-base"]["mean"] == pytest.approx(row["warm_start"] - row["base"], abs=2e-6)
    assert row["grpo-base"]["mean"] > 0 == row["grpo-warm_start"]["mean"]
    assert row["grpo-base"]["low"] is row["grpo-base"]["high"] is None  # four documents are too few
    table = comparison_table(comparison, list(named))
    assert "warm_start-base" in table.splitlines()[0]
    assert "+58.3" in next(line for line in table.splitlines() if line.startswith("hallucination-free"))


def test_the_terminal_table_says_percent_and_how_many(runs):
    table = metrics_table(json.loads((runs[1] / "metrics.json").read_text()))
    strata, _, scores = table.partition("\n\n")
    head, rule, questions, run, best, *references = strata.splitlines()
    assert head.split()[:6] == ["hallucination-free", "(%)", "balanced", "plain", "whole", "mixed"]
    assert set(rule) <= {"─", " "} and questions.split() == ["questions", "12", "4", "4", "4"]
    assert (run.split()[3], best.split()[-5:]) == ("91.7", ["91.7", "91.7", "100.0", "75.0", "100.0"])
    assert [line.split()[-4:] for line in references] == [
        ["33.3", "0.0", "0.0", "100.0"],
        ["33.3", "100.0", "0.0", "0.0"],
        ["66.7", "100.0", "0.0", "100.0"],
    ]
    head, rule, balanced, accuracy, *_ = scores.splitlines()
    assert head.split()[:7] == ["score", "(%)", "value", "95", "%", "interval", "n"]
    assert set(rule) <= {"─", " "} and balanced.startswith("balanced hallucination-free accuracy")
    assert accuracy.split()[:3] == ["hallucination-free", "accuracy", "91.7"]
    assert "12 questions about 4 documents" in table


@given(ledgers("ab c1", size=8), st.text("ab c1x", max_size=10))
@settings(deadline=None)
def test_the_pieces_of_a_bar_are_all_of_its_slots(ledger, final):
    counts = score(piece("r_1", ledger), render(Reading(final, "", final.replace(" ", ""), 0, 0))).counts
    found, total = shares(counts)
    assert sum(found.values()) == total == sum(slot.scored for slot in ledger)
    assert found["invented"] + found["lucky"] == counts["invented"]


def test_outcomes_stand_by_stratum_with_references_and_ceiling(page, tmp_path):
    text = (tmp_path / "report.html").read_text()
    body = text[text.index('<section id="strata"') : text.index('<section id="where"')]
    assert (
        body.count('class="bar-row"') == 2 * 2 and "no slots" in body
    )  # whole and mixed; nothing to read is absent here
    assert all(f'<th scope="row">{name}</th>' in body for name in ("refuses all", "prints all", "drops all"))
    assert body.count('class="below"') == 2 and "with perfect marks" in body
    assert "guesser, mixed: invented" in body and "run=0&amp;stratum=mixed&amp;kind=invented" in body


def test_reference_readers_stand_in_tables_and_charts(page, tmp_path):
    text = (tmp_path / "report.html").read_text()
    ledger = text[text.index('<section id="ledger"') : text.index('<section id="strata"')]
    (free,) = [row for row in ledger.split("<tr") if ">hallucination-free accuracy" in row]
    assert re.findall(r'class="num ref">([^<]*)<', free) == ["33.3", "33.3", "66.7"]
    where = text[text.index('<section id="where"') : text.index('<section id="official"')]
    assert all(f"<title>{name}</title>" in where for name in ("refuses all", "prints all", "drops all"))
    assert "prints all, id card: " in where
    assert 'data-to="run=1&amp;severity=3&amp;kind=invented"' in where


def test_a_reference_that_leaves_the_axis_is_left_out():
    references = [("in", [0.1, 0.6]), ("out", [0.1, 0.7]), ("unknown", [None, None])]
    svg = lines(GROUPS, ["a", "b"], "title", 60, references)
    assert "<title>in</title>" in svg and "out" not in svg and "unknown" not in svg
    svg = dots(GROUPS, ["a", "b"], "title", 60, references)
    assert "in, 1: 60.0" in svg and "out, 0: 10.0" in svg and "out, 1" not in svg and "unknown" not in svg


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([0.25, 1.0, None, 0.25], ["confidence 25 %", "confidence 100 %", None, "confidence 25 %"]),
        ([-0.00912, -2.0, -1e-9], ["surer than 33 % of its answers", "surer than 0 % of its answers", "surer than 67 % of its answers"]),
        ([3.0, float("nan")], ["surer than 0 % of its answers", None]),
        ([None], [None]),
    ],
)  # fmt: skip
def test_confidence_is_a_share_or_a_rank(given, said):
    assert [None if one is None else one[1] for one in confidences(given)] == said


def test_the_place_of_a_confidence_keeps_its_order():
    places = [one[0] for one in confidences([-3.0, -1.0, -1.0, -0.5]) if one]
    assert places == [0.125, 0.5, 0.5, 0.875]
