"""The review page in a real browser, by keyboard alone; and the tasks of Label Studio, read back by our own importer."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import pytest

from kie_hvqa.reading.fields import Field
from kie_hvqa.reading.label_studio import write_tasks
from kie_hvqa.reading.results import Character, DocumentResult, FieldResult
from kie_hvqa.reading.review import write_review
from tests.kie_hvqa.reading.pieces import page
from tests.kie_hvqa.report.test_report_browser import CHROMIUM, dom

FIELDS = (Field.called("surname"), Field("born", "date of birth", "When?", "date"))
ATTACK = '</script><img src=x onerror="document.title=1">'

# What a person does with a keyboard, and what the page shows then.
PROBE = """<script>
const seen = {}, rows = () => [...document.querySelectorAll("#fields li")], now = () => document.activeElement;
const hit = (key, more = {}) => now().dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...more }));
const type = (text) => { for (const char of text) { const input = now(), at = input.selectionStart; input.setRangeText(char, at, input.selectionEnd, "end"); input.dispatchEvent(new InputEvent("input", { inputType: "insertText", data: char })); } };
const name = () => document.getElementById("document").textContent, place = () => document.getElementById("place").textContent;
seen.start = [name(), place(), rows().length, now().id];
seen.order = rows().map((line) => [line.querySelector("label").textContent, line.querySelector("input").value]);
hit("PageDown"); seen.second = [name(), now().value, now().selectionStart, now().selectionEnd, document.querySelectorAll("#picture rect").length, document.querySelectorAll(".crop").length];
type("03"); seen.typed = now().value;
hit("Enter"); seen.settled = [place(), document.querySelectorAll("#fields li.done").length];
hit("PageUp"); seen.back = name();
hit("n", { altKey: true }); hit("PageUp"); seen.illegible = rows()[0].querySelector(".status").textContent;
hit("ArrowUp"); hit("Escape"); seen.undone = [rows().filter((line) => line.classList.contains("done")).length, place()];
hit("a", { altKey: true });
let kept = null; const real = URL.createObjectURL; URL.createObjectURL = (blob) => { kept = blob; return real(blob); };
HTMLAnchorElement.prototype.click = () => {};  // a download that nobody takes may keep the browser for ever
hit("s", { ctrlKey: true });
seen.attack = [document.title, document.querySelectorAll("main img:not(.crop):not(#picture img)").length];
kept.text().then((text) => { seen.saved = text.trim().split("\\n").map((line) => JSON.parse(line)); document.body.dataset.probe = JSON.stringify(seen); });
</script>"""


def results() -> list[DocumentResult]:
    def one(name: str, value: str, status: Any, **more: Any) -> FieldResult:
        return FieldResult(name, value, status, 1, characters=tuple(Character(c, 0.9) for c in value), **more)

    born = one("born", "12.▯▯.1990", "partly", box=(12.0, 20.0, 80.0, 32.0), confidence=0.71, reasons=("2 of 10",))
    good = DocumentResult("good.png", 1, (one("surname", "QUIST", "read"), one("born", "1.2.1990", "read")), "r")
    partly = DocumentResult(
        "partly.png", 1, (one("surname", "BERG", "read"), born), "r", hint="photograph again: glare"
    )
    bad = DocumentResult(
        ATTACK, 1, (one("surname", "", "failed", reasons=("no answer",)), one("born", ATTACK, "read")), "r"
    )
    return [good, partly, bad]


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (Debian's package chromium)")
def test_a_person_fills_the_marks_by_keyboard_and_saves(tmp_path: Path) -> None:
    image = page()
    count = write_review(results(), FIELDS, lambda document, number: image, tmp_path / "review.html")
    assert count == 2  # a document that was read whole is nobody's work
    text = (tmp_path / "review.html").read_text()
    assert "http-equiv" in text and ' src="http' not in text
    probed = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text).replace("</body>", PROBE + "</body>")
    (tmp_path / "probed.html").write_text(probed)
    found = re.search(r'data-probe="([^"]*)"', dom(tmp_path / "probed.html", tmp_path / "profile"))
    assert found is not None, "the probe did not run to its end"
    seen = json.loads(html.unescape(found[1]))
    assert seen["start"] == [ATTACK, "document 1 of 2, 2 still open, 0 fields settled", 2, "field-0"]
    assert seen["order"] == [["surname", ""], ["date of birth", ATTACK]]
    assert seen["second"] == ["partly.png", "12.▯▯.1990", 3, 4, 1, 1]
    assert seen["typed"] == "12.03.1990"
    assert seen["settled"] == ["document 2 of 2, 1 still open, 1 fields settled", 1]
    assert seen["back"] == ATTACK and seen["illegible"] == "illegible"
    assert seen["attack"] == ["Review: 2 documents", 0]
    lines = {(line["document"], line["field"]): line for line in seen["saved"]}
    corrected = lines["partly.png", "born"]
    assert (corrected["verdict"], corrected["value"], corrected["read"]) == ("corrected", "12.03.1990", "12.▯▯.1990")
    assert corrected["schema"] == "kie-hvqa-correction-1" and corrected["page"] == 1


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (Debian's package chromium)")
def test_its_script_runs_under_its_own_policy(tmp_path: Path) -> None:
    write_review(results(), FIELDS, lambda document, number: None, tmp_path / "review.html")
    shown = dom(tmp_path / "review.html", tmp_path / "profile")
    assert "document 1 of 2" in shown and "There is no picture of this page." in shown


def test_the_worst_come_first_and_the_page_says_how_many_are_left_out(tmp_path: Path) -> None:
    assert write_review(results(), FIELDS, lambda document, number: None, tmp_path / "r.html", most=1) == 1
    text = (tmp_path / "r.html").read_text()
    assert "1 more documents are not in this file" in text and "partly.png" not in text
    assert write_review([], FIELDS, lambda document, number: None, tmp_path / "r.html") == 0
    assert "There is nothing to review." in (tmp_path / "r.html").read_text()


def test_label_studio_gets_boxes_texts_and_scores_that_our_importer_reads_back(tmp_path: Path) -> None:
    from degradations.annotated.label_studio import label_studio

    page().save(tmp_path / "partly.png")
    out = tmp_path / "tasks.json"
    assert write_tasks(results()[1:2], lambda *_: page(), lambda *_: Path("scans/partly.png"), out) == 1
    (task,) = json.loads(out.read_text())
    assert task["data"]["ocr"] == "/data/local-files/?d=scans/partly.png"
    prediction = task["predictions"][0]
    assert prediction["score"] == 0.71 and prediction["model_version"] == "r"
    task["annotations"] = [{"result": prediction["result"]}]  # as if a person had said yes
    out.write_text(json.dumps([task]))
    ((_, _, found),) = label_studio(out, tmp_path)
    assert "12.▯▯.1990" in json.dumps(found, default=str, ensure_ascii=False)
