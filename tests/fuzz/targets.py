"""The parsers of foreign text, one target each. A new parser gets a line here."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from degradations.annotated.values import read_annotations
from kie_hvqa.answers.alignment import align
from kie_hvqa.answers.answer import KEYS, parse, render, truth
from kie_hvqa.answers.masks import resolve
from kie_hvqa.answers.prompt import template
from kie_hvqa.data.data_issues import write_issues
from kie_hvqa.data.dataset import read_dataset
from kie_hvqa.data.ledger import Row, Slot
from kie_hvqa.data.pixels import open_image
from kie_hvqa.errors import InputError, WorkError
from kie_hvqa.readers.checkpoint import ReadingContract, read_contract
from kie_hvqa.readers.server.completion import completion
from kie_hvqa.readers.server.exchange import RequestError, blamed, message_in, retry_after
from kie_hvqa.readers.tesseract_reader import lines_of
from kie_hvqa.reading.checks import complaint
from kie_hvqa.reading.fields import KINDS, load_fields
from kie_hvqa.runs.predictions import read_predictions
from kie_hvqa.runs.run_directory import read_lines
from kie_hvqa.serving.chat_request import BadRequest, parse_request
from kie_hvqa.serving.read import ReadRequest
from rewards.draft_leak import draft_leak
from rewards.uncertainty_tags import uncertainty_tags
from rl.launch.description import Description, described
from tests.fuzz.harness import Target

VALUE = "A b c D e f G h i J"
SLOTS = [
    Slot(char, "clear" if char.isupper() else "hidden", 0.5, (index, 0, index + 1, 1))
    for index, char in enumerate(VALUE)
]
ANSWER = render(truth(SLOTS), tags=True)
OFFICIAL: dict[str, Any] = {
    "id": "card_1_1",
    "image": "./images/1.png",
    "problem": "<image>What is the LN in the image?",
    "answer": ANSWER[8:-9],
}
OURS = Row(
    "r", "1.png", "d", "description", "test", "name", "answerable", "What?", ANSWER[8:-9], tuple(SLOTS)
).to_json()
ANNOTATION = {
    "file_name": "a.png",
    "document_type": "receipt",
    "size": [10, 10],
    "fields": {"total": "1"},
    "lines": [{"text": "1", "box": [0, 0, 5, 5]}],
}
HOCR = (
    "<html><body><span class='ocr_line'><span class='ocrx_word' title='x_wconf 9'><span class='ocrx_cinfo' "
    "title='x_bboxes 0 0 9 9; x_conf 98.5'>a</span></span></span></body></html>"
)
CONTRACT = ReadingContract(1, 100_000, 14, 2, "question", "0" * 64)
COMPLETION = {
    "choices": [{"message": {"content": ANSWER}, "finish_reason": "stop", "logprobs": {"content": [{"logprob": -1}]}}]
}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAsTj2FAAAAABJRU5ErkJggg=="
SHOWN = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
CHAT: dict[str, Any] = {
    "model": "m",
    "messages": [{"role": "user", "content": [SHOWN, {"type": "text", "text": "What?"}]}],
}
SCHEMA = {
    "properties": {
        "a": {"title": "a", "pattern": "[A-Z]+"},
        "b": {"properties": {"c": {"title": "c", "format": "date"}}},
    }
}
READ = {"image": f"data:image/png;base64,{PIXEL}", "fields": ["surname", {"name": "a", "pattern": "date"}]}
JSON = (
    *(f'"{key}":' for key in KEYS.values()),
    "<answer>",
    "</answer>",
    "<think>",
    "</think>",
    "```",
    "null",
    "：",
    "\\u00",
    "1e9",
    "\\ud800",
)


def in_file(name: str, run: Callable[[Path], object]) -> Callable[[str], object]:
    """``run`` on a file of that name that holds the text."""

    def write_and_run(text: str) -> object:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory, name)
            path.write_bytes(text.encode("utf-8", "surrogatepass"))
            return run(path)

    return write_and_run


def read_answer(text: str) -> None:
    reading = parse(text).reading
    if reading is not None:
        align(SLOTS, resolve(reading, VALUE).final)


def read_official(path: Path) -> None:
    dataset = read_dataset(path)
    write_issues(path.with_name("data_issues.json"), path, len(dataset.rows), dataset.issues)


def read_completion(text: str) -> None:
    message_in(text.encode("utf-8", "replace"))
    blamed(text)
    retry_after({"retry-after": text[:1000]})
    data = json.loads(text)
    if isinstance(data, dict):
        completion(data)


def ask(text: str) -> None:
    """A request's body, and whatever is done with it before a model is asked."""
    asked = parse_request(text.encode("utf-8", "surrogatepass"))
    asked.turns(), asked.without_images(), asked.stops, asked.biases
    assert all(image.mode == "RGB" for image in asked.images())


def pay(text: str) -> None:
    columns = {"slots": [[slot.to_json() for slot in SLOTS]]}
    draft_leak([""], [f"<think>{text}</think>{ANSWER}"], **columns)
    uncertainty_tags([""], [f"<answer>{text}</answer>"], **columns)


def read_picture(text: str) -> None:
    """The text's code points are the bytes: hypothesis cuts and repeats them as it does all others."""
    open_image(io.BytesIO(text.encode("latin-1", "ignore")))


def meet(text: str) -> None:
    """What stands in the store where another machine of the run should have described itself."""
    with suppress(ValueError, RecursionError):
        said = json.loads(text)
        described(said.get("description") if isinstance(said, dict) else said)


def picture(kind: str) -> str:
    from PIL import Image

    stream = io.BytesIO()
    Image.effect_noise((8, 8), 50).save(stream, kind)
    return stream.getvalue().decode("latin-1")


TARGETS = {
    target.name: target
    for target in (
        Target("answer", read_answer, [ANSWER, f"<think>{VALUE}</think>{ANSWER}", f"```json\n{ANSWER[8:-9]}\n```"], JSON),
        Target(
            "official rows",
            in_file("kie_hocr.jsonl", read_official),
            [json.dumps(OFFICIAL), json.dumps({**OFFICIAL, "answer": "@"}).replace("@", OFFICIAL["answer"])],
            [*JSON, '"id": "', '"answer": "{', '}"}', "card_", "_1", "@line-1", "What is the ", " in the image", "\n", "../"],
            (InputError,),
        ),
        Target(
            "chat requests",
            ask,
            [json.dumps(CHAT), json.dumps(CHAT | {"stop": ["a"], "logit_bias": {"1": -1.5}, "temperature": 1e-3})],
            [*JSON, '"messages":[', '"role":"user"', '"content":"', "data:image/png;base64,", '"logit_bias":{"1":', "[[", "NaN"],
            (BadRequest,),
        ),
        Target("our rows", in_file("metadata.jsonl", read_dataset), [json.dumps(OURS)], [*JSON, '"slots": [', "\n"], (InputError,)),
        Target(
            "predictions",
            in_file("predictions.jsonl", lambda path: read_predictions(path, repeated=True)),
            ['{"id": "r", "response": "x", "confidence": -0.5}\n'],
            [*JSON, '"confidence": ', '"samples": [', "\n"],
            (InputError,),
        ),
        Target(
            "evaluator's lines",
            in_file("lines.jsonl", read_lines),
            [json.dumps({"answer": ANSWER, "response": ANSWER})],
            [*JSON, "\n"],
            (InputError,),
        ),
        Target("annotations", in_file("a.jsonl", lambda path: list(read_annotations(path))), [json.dumps(ANNOTATION)], [*JSON, '"size": [', '"lines": ['], (InputError,)),
        Target("completion", read_completion, [json.dumps(COMPLETION)], [*JSON, '"choices": [', '"error": {', "<html>"], (RequestError, ValueError, RecursionError)),
        Target("hOCR", lambda text: lines_of(text.encode("utf-8", "replace"), 2.0), [HOCR], ["<span class='ocrx_word'>", "</span>", "x_bboxes 1 ", "&a;", "<!DOCTYPE"], (WorkError,)),
        Target("prompt", in_file("p.yaml", lambda path: template(str(path))), ["description: x\ntemplate: 'a {question}'\n"], ["&a ", "*a", "- ", "? ", "!!python/", "1e", "\n"], (InputError,)),
        Target("fields", in_file("f.yaml", load_fields), ["fields:\n  a: date of birth\n  b: {pattern: date, labels: [B]}\n"], ["&a ", "*a", "- ", "? ", "base: ", "fields: ", "{", "\n"], (InputError,)),
        Target("JSON Schema", in_file("s.json", load_fields), [json.dumps(SCHEMA)], [*JSON, '"properties": {', '"title": ', '"pattern": "', "\t"], (InputError,)),
        Target("read requests", lambda text: ReadRequest.model_validate_json(text.encode("utf-8", "surrogatepass")), [json.dumps(READ)], [*JSON, '"fields": [', '"pattern": "date"', "[[", "NaN"], (ValidationError,)),
        Target("values", lambda text: [complaint(kind, text) for kind in KINDS], ["12.▯▯.1990", "1,234.50 EUR", "3 MAR 2020"], ["▯", ".", " ", "0", "年", ",", "-"]),
        Target("contract", in_file("reading.json", lambda path: read_contract(path.parent)), [json.dumps(asdict(CONTRACT))], JSON, (InputError,)),
        Target("rewards", pay, ["S m t h", f"<C>{VALUE}</C>"], ["a b", "A ", "<C>", "</C>", "- ", ", "]),
        Target("launchers", meet, [json.dumps({"rank": 1, "description": asdict(Description("h", {"torch": "2"}))})], [*JSON, '"description": {', '"status": ', "[[[[", '{"a":', "NaN"]),
        Target("picture", read_picture, [picture("PNG"), picture("JPEG"), picture("TIFF"), picture("WEBP")], ["IHDR", "\xff\xd8", "II*\0", "\0\0\0\0"], (InputError,)),
    )
}  # fmt: skip
