"""The report in a real browser: its script runs under its own policy, and search, filters, pages and keys work."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kie_hvqa.answers.answer import Reading, render, truth
from kie_hvqa.data.dataset import load_rows
from kie_hvqa.data.ledger import Row
from kie_hvqa.report import write_report
from kie_hvqa.runs.evaluator import score_predictions

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (Debian's package chromium)")

ATTACK = '<script>document.title="owned"</script><img src=x onerror="document.title=\'owned\'">'
FLAGS = (
    "--headless",
    "--window-size=1280,900",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
)

# What a reader of the page does, and what the page shows then.
PROBE = """<script>
const at = (id) => document.getElementById(id), seen = {};
const shown = () => at("shown").textContent, cards = () => [...document.querySelectorAll(".sample")];
const choose = (id, value) => { at(id).value = value; at(id).dispatchEvent(new Event("change")); };
const press = (key) => (document.activeElement || document.body).dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
const kind = (name) => document.querySelector(`[data-kind="${name}"]`).click();
seen.start = [shown(), cards().length, at("page").textContent];
at("next").click(); seen.next = [at("page").textContent, cards().length, at("next").disabled];
at("previous").click(); seen.back = at("page").textContent;
kind("invented"); seen.invented = shown();
choose("run", "1"); seen.second = [shown(), at("empty").hidden];
at("reset").click(); seen.reset = shown();
choose("severity", "3"); seen.severity = shown(); choose("severity", "any");
choose("type", "invoice"); seen.type = shown(); choose("type", "any");
at("search").value = "CARD_7_NAME"; at("search").dispatchEvent(new Event("input")); seen.search = [shown(), cards().map((card) => card.dataset.id)];
at("search").value = ""; at("search").dispatchEvent(new Event("input"));
choose("sort", "data"); seen.order = cards().slice(0, 3).map((card) => card.dataset.id);
choose("sort", "worst"); seen.worst = cards()[0].dataset.id; choose("sort", "data");
document.activeElement.blur(); press("j"); seen.first = document.activeElement.dataset.id;
press("j"); press("k"); seen.again = document.activeElement.dataset.id;
press("Enter"); seen.opened = [at("detail").open, at("detail").querySelectorAll("table.slots tbody tr").length];
const side = (name) => at("detail").querySelector(name).getBoundingClientRect(); seen.beside = [side(".shown").right <= side(".read").left, at("detail").querySelector(".read").lastChild.textContent.includes(",,")];
press("ArrowRight"); seen.following = at("detail").querySelector(".where").textContent;
at("detail").close(); at("detail").dispatchEvent(new Event("close")); seen.focus = document.activeElement.dataset.id;
const slot = cards()[0].querySelector("td[data-slot]"); slot.dispatchEvent(new MouseEvent("mouseover", { bubbles: true }));
seen.box = cards()[0].querySelectorAll("rect.on").length;
press("b"); seen.plain = document.body.classList.contains("plain");
at("theme").click(); at("theme").click(); seen.theme = [document.documentElement.dataset.theme, getComputedStyle(document.body).colorScheme];
press("/"); seen.slash = document.activeElement.id;
at("all").click();
const pick = (id, value) => { choose(id, value); const found = shown(); choose(id, "any"); return found; };
seen.filters = [pick("field", "name"), pick("template", "card"), pick("stratum", "mixed"), pick("legibility", "h"), pick("agreement", "apart"), pick("agreement", "same")];
seen.sure = [...cards()[0].querySelectorAll(".says li")].map((line) => line.textContent);
const stack = document.querySelector("#strata .stack"), tip = at("tip");
stack.focus(); press("ArrowRight"); press("ArrowRight"); press("ArrowLeft");
seen.tip = [tip.hidden, tip.firstChild.textContent, stack.querySelector(".mark").title];
press("Enter"); seen.behind = [shown(), at("run").value, at("stratum").value, tip.hidden, document.activeElement.dataset.id];
const chart = document.querySelectorAll("#where .chart")[0], mark = [...chart.querySelectorAll(".mark")].find((one) => one.dataset.to && one.dataset.tip.startsWith("honest, 3:"));
const box = mark.querySelector("circle").getBoundingClientRect(), middle = { clientX: (box.left + box.right) / 2, clientY: (box.top + box.bottom) / 2, bubbles: true };
chart.dispatchEvent(new PointerEvent("pointermove", { ...middle, pointerType: "mouse" })); seen.hover = [tip.hidden, tip.firstChild.textContent === mark.dataset.tip];
chart.dispatchEvent(new PointerEvent("click", { ...middle, clientX: middle.clientX + 12, pointerType: "touch" })); seen.touch = [tip.hidden, shown(), tip.querySelector("button").hidden];
tip.querySelector("button").click(); seen.touched = [shown(), at("severity").value, at("run").value];
const risk = document.querySelector("#risk .chart"); risk.focus(); press("ArrowRight"); press("ArrowRight");
seen.curve = tip.firstChild.textContent.split("\\n"); press("Escape"); seen.escaped = tip.hidden;
seen.wide = [...document.querySelectorAll(".scroll.runs-off")].length;
document.querySelector("#ledger .scroll").style.width = "200px"; window.dispatchEvent(new Event("resize"));
seen.narrow = document.querySelector("#ledger .scroll").classList.contains("runs-off");
at("all").click(); at("search").value = "onerror"; at("search").dispatchEvent(new Event("input"));
seen.attack = [shown(), [...cards()[0].querySelectorAll("pre")].map((pre) => pre.textContent), cards()[0].querySelectorAll("script, img:not(.picture img)").length];
seen.title = document.title;
document.body.dataset.probe = JSON.stringify(seen);
</script>"""


def guess(row: Row) -> str:
    value = "".join("q" if slot.legibility == "hidden" else slot.char for slot in row.slots or ()) or "170"
    return render(Reading(value, "", value.replace(" ", ""), len(value), 0), tags=True)


def honest(row: Row) -> str:
    return ATTACK if row.id == "card_1_name" else render(truth(row.slots or ()), tags=True)


@pytest.fixture
def runs(make_cards: Callable[..., Path], tmp_path: Path) -> list[Path]:
    """Two runs over thirty samples, which are two pages of the gallery."""
    data = make_cards(tmp_path / "cards", 10)
    metadata = data / "metadata.jsonl"
    drawn = [json.loads(line) for line in metadata.read_text().splitlines()]
    lines = [json.dumps(row | {"template": "card" if row["severity"] else "old_card"}) for row in drawn]
    metadata.write_text("\n".join(lines) + "\n")
    for name, reader in (("guesser", guess), ("honest", honest)):
        said = [{"id": row.id, "response": reader(row), "confidence": 0.5} for row in load_rows(data)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in said))
        score_predictions(tmp_path / f"{name}.jsonl", tmp_path / name, data=data)
    return [tmp_path / "guesser", tmp_path / "honest"]


def dom(file: Path, profile: Path, *, quiet: bool = True) -> str:
    """The document after its scripts have run. Fails on anything in the console where it is to be ``quiet``."""
    done = subprocess.run(
        [
            str(CHROMIUM),
            *FLAGS,
            f"--user-data-dir={profile}",
            "--virtual-time-budget=3000",
            "--enable-logging=stderr",
            "--dump-dom",
            f"file://{file}",
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert not (quiet and "CONSOLE" in done.stderr), done.stderr
    return done.stdout


def test_filters_pages_keys_and_the_close_look(runs: list[Path], tmp_path: Path) -> None:
    write_report(runs, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    # The policy forbids any other script, the probe too, so the copy that is probed goes without it.
    probed = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text).replace("</body>", PROBE + "</body>")
    (tmp_path / "probed.html").write_text(probed)
    found = re.search(r'data-probe="([^"]*)"', dom(tmp_path / "probed.html", tmp_path / "profile"))
    assert found is not None, "the probe did not run to its end"
    seen: dict[str, Any] = json.loads(html.unescape(found[1]))
    assert seen["start"] == ["30 of 30 samples", 24, "1 / 2"]
    assert (seen["next"], seen["back"]) == (["2 / 2", 6, True], "1 / 2")
    assert seen["invented"] == "10 of 30 samples"
    assert seen["second"] == ["0 of 30 samples", False] and seen["reset"] == "30 of 30 samples"
    assert seen["severity"] == "3 of 30 samples"  # card 3 alone: severities go round in seven
    assert seen["type"] == "15 of 30 samples"
    assert seen["search"] == ["1 of 30 samples", ["card_7_name"]]
    assert seen["order"] == ["card_0_name", "card_0_number", "card_0_height"]
    assert seen["worst"] == "card_1_name"  # unparsable: every slot left out
    assert (seen["first"], seen["again"]) == ("card_0_name", "card_0_name")
    assert seen["opened"] == [True, 10]  # the slots of "Marta Quist" without its word space
    assert seen["beside"] == [True, False]
    assert "card_0_number" in seen["following"] and seen["focus"] == "card_0_number"
    assert seen["box"] == 1
    assert seen["plain"] is True
    assert seen["theme"] == ["dark", "dark"]
    assert seen["slash"] == "search"
    assert seen["filters"][:4] == ["10 of 30 samples", "24 of 30 samples", "10 of 30 samples", "10 of 30 samples"]
    assert seen["filters"][4:] == ["20 of 30 samples", "10 of 30 samples"]  # all but the heights, which are read alike
    assert seen["sure"] == ["guesser: invented · confidence 50 %", "honest: hallucination-free · confidence 50 %"]
    assert seen["tip"] == [False, "guesser, whole: right 100.0, 50 of 50 slots", ""]
    assert seen["behind"][:4] == ["10 of 30 samples", "0", "whole", True] and seen["behind"][4].startswith("card_")
    assert seen["hover"] == [False, True]
    assert seen["touch"] == [False, "10 of 30 samples", False]  # a finger sees the numbers first
    assert seen["touched"] == ["3 of 30 samples", "3", "1"]
    assert seen["curve"][0].startswith("at ") and [line.partition(":")[0] for line in seen["curve"][1:]] == [
        "guesser",
        "honest",
    ]
    assert seen["escaped"] is True
    assert "risk at coverage 80 %" in text and "coverage at risk 5 %" in text
    assert (seen["wide"], seen["narrow"]) == (0, True)
    assert seen["attack"] == ["1 of 30 samples", [guess(row_of(tmp_path, "card_1_name")), ATTACK], 0]
    assert seen["title"] == "KIE-HVQA: guesser, honest"


def row_of(tmp_path: Path, name: str) -> Row:
    return next(row for row in load_rows(tmp_path / "cards") if row.id == name)


def test_its_own_script_and_pictures_beside_it_pass_its_own_policy(runs: list[Path], tmp_path: Path) -> None:
    write_report(runs, tmp_path / "report.html", pictures=0)
    page = dom(tmp_path / "report.html", tmp_path / "profile")
    assert "30 of 30 samples" in page
    assert "<title>KIE-HVQA: guesser, honest</title>" in page
    assert 'src="cards/images/card_' in page
    assert '<div class="no-picture">' not in page
    shutil.rmtree(tmp_path / "cards" / "images")
    moved = dom(tmp_path / "report.html", tmp_path / "profile", quiet=False)
    assert '<div class="no-picture">This picture is not in the file' in moved
