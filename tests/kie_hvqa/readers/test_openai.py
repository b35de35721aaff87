"""The reader behind a server: against `kie-hvqa serve` and a proxy that misbehaves, both processes of their own."""

from __future__ import annotations

import base64
import contextlib
import json
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from kie_hvqa.data.dataset import image_path, load_rows
from kie_hvqa.errors import InputError, WorkError
from kie_hvqa.readers import Task, open_reader
from kie_hvqa.readers.openai_reader import OpenAIReader
from kie_hvqa.runs.evaluator import evaluate
from kie_hvqa.runs.predictions import read_predictions

PROXY = Path(__file__).with_name("faulty_proxy.py")


@pytest.fixture(scope="module")
def page_set(tmp_path_factory, make_cards):
    return make_cards(tmp_path_factory.mktemp("openai") / "cards", documents=3)


@pytest.fixture(scope="module")
def local(page_set, tmp_path_factory):
    """The run that the embedded reader makes without a server."""
    out = tmp_path_factory.mktemp("local")
    metrics = evaluate(page_set, "embedded", out, progress=False, max_new_tokens=64, batch_size=1)
    return metrics, read_predictions(out / "predictions.jsonl")


@contextlib.contextmanager
def faulty(url, plan, *marked):
    """(URL of a proxy before ``url``, the list of what it did so far)."""
    command = [sys.executable, str(PROXY), url, json.dumps(plan), *marked]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        port = process.stdout.readline().strip()

        def faults():
            process.kill()
            return process.stdout.read().split()

        yield f"http://127.0.0.1:{port}/v1", faults
    finally:
        process.kill()
        process.wait()


def reader_at(url, **options):
    reader = open_reader(f"openai:embedded@{url}", **{"prompt": "question", "max_new_tokens": 64, **options})
    reader.retrying.first_delay = 0.05
    return reader


def test_what_is_served_is_what_is_read_without_a_server(served, page_set, local, tmp_path):
    metrics = evaluate(page_set, reader_at(served, concurrency=2), tmp_path / "out", progress=False)
    kept = read_predictions(tmp_path / "out" / "predictions.jsonl")
    assert {name: answer.response for name, answer in kept.items()} == {
        name: answer.response for name, answer in local[1].items()
    }
    assert metrics["overall"]["average"] == local[0]["overall"]["average"]
    assert metrics["cut_off"] == local[0]["cut_off"]
    assert {name for name, answer in kept.items() if answer.cut} == {
        name for name, answer in local[1].items() if answer.cut
    }
    assert all(answer.confidence < 0 and answer.error is None for answer in kept.values())
    order = sorted(kept, key=lambda name: kept[name].confidence)
    others = sorted(kept, key=lambda name: local[1][name].confidence)
    assert abs(order.index(others[0]) - 0) <= 2, "the end token apart, both give the same log-probabilities"


def test_faults_are_ridden_out(served, page_set, local, tmp_path):
    plan = ["429", "500", "cut", "ok", "503", "garbage", "hang", "ok"]
    with faulty(served, plan) as (url, faults):
        reader = reader_at(url, concurrency=3, timeout=20)
        metrics = evaluate(page_set, reader, tmp_path / "out", progress=False)
        did = faults()
    kept = read_predictions(tmp_path / "out" / "predictions.jsonl")
    assert {name: answer.response for name, answer in kept.items()} == {
        name: answer.response for name, answer in local[1].items()
    }
    assert metrics["failed"] == 0
    assert sorted(did) == sorted([*plan, *["ok"] * (9 - 2)]), "nine rows, and no request more than the faults cost"


def test_a_row_that_fails_for_good_is_kept_as_such_and_asked_again(kie_hvqa, served, page_set, local, tmp_path):
    log = tmp_path / "out" / "predictions.jsonl"
    # Three questions about a number, two attempts each: mended after six faults.
    with faulty(served, [], "What is the number", "500", "6") as (url, faults):
        reader = f"openai:embedded@{url}"
        options = ("--prompt", "question", "--max-new-tokens", 64, "--attempts", 2, "--concurrency", 2)
        command = ("eval", "--data", page_set, "--reader", reader, "--out", tmp_path / "out", *options)
        done = kie_hvqa(*command)
        assert done.returncode == 1, done.stderr
        assert "3 of 9 rows failed" in done.stderr and "run the same command again" in done.stderr
        assert "HTTP 500 injected" in done.stderr
        metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
        assert (metrics["failed"], metrics["samples"], metrics["unparsable"] >= 3) == (3, 9, True)
        failed = {name for name, answer in read_predictions(log).items() if answer.error}
        assert failed == {f"card_{number}_number" for number in range(3)}
        done = kie_hvqa(*command)
        assert done.returncode == 0, done.stderr
        assert faults().count("ok") == 9, "the second run asks only what failed"
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["failed"] == 0
    assert {name: kept.response for name, kept in read_predictions(log).items()} == {
        name: kept.response for name, kept in local[1].items()
    }


def test_another_model_or_path_ends_the_run_at_once(kie_hvqa, served, page_set, tmp_path):
    done = kie_hvqa("eval", "--data", page_set, "--reader", f"openai:gpt-9@{served}", "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "the model 'gpt-9' is not served here" in done.stderr and "Check the model's name" in done.stderr
    done = kie_hvqa("eval", "--data", page_set, "--reader", f"openai:embedded@{served}/v2", "--out", tmp_path / "out")
    assert done.returncode == 2 and "ends in /v1" in done.stderr


def test_no_server_is_one_sentence(kie_hvqa, page_set, tmp_path):
    done = kie_hvqa("eval", "--data", page_set, "--reader", "openai:m@http://127.0.0.1:9/v1", "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "http://127.0.0.1:9/v1: no server answers there" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


# --- without a server: what the reader does with what comes back ---


def completion(content, **choice):
    message = {
        "content": content,
        **{key: choice.pop(key) for key in ("reasoning", "reasoning_content") if key in choice},
    }
    return httpx2.Response(200, content=json.dumps({"choices": [{"message": message, **choice}]}))


@pytest.fixture
def tasks(page_set):
    return [Task(row, image_path(page_set, row)) for row in load_rows(page_set)]


@pytest.fixture
def against(monkeypatch):
    """Reads ``tasks`` against a function from request payload to response; GETs are answered 200."""
    client = httpx2.AsyncClient

    def read(handler, tasks, **options):
        def handle(request):
            return httpx2.Response(200, json={}) if request.method == "GET" else handler(json.loads(request.content))

        monkeypatch.setattr(
            httpx2, "AsyncClient", lambda **named: client(transport=httpx2.MockTransport(handle), **named)
        )
        reader = OpenAIReader("m", "http://example.test/v1", **options)
        reader.retrying.first_delay = 0.001
        return {answer.id: answer for answer in reader.read(tasks)}

    return read


def test_the_request_is_an_image_and_the_official_prompt(against, tasks):
    seen = []
    against(lambda body: seen.append(body) or completion("x"), tasks[:1])
    image, text = seen[0]["messages"][0]["content"]
    assert base64.b64decode(image["image_url"]["url"].partition(",")[2]) == tasks[0].image.read_bytes()
    assert text["text"].startswith("What is the name in the image?\n\nThe image may be damaged.")
    assert {key: seen[0][key] for key in ("model", "temperature", "max_tokens", "logprobs")} == {
        "model": "m",
        "temperature": 0.0,
        "max_tokens": 512,
        "logprobs": True,
    }


@pytest.mark.parametrize(
    ("response", "text", "confidence"),
    [
        (completion("x", logprobs={"content": [{"logprob": -1.0}, {"logprob": -3.0}]}), "x", -2.0),
        (completion("x", logprobs={"content": []}), "x", None),
        (completion("x", logprobs={"content": [{"logprob": None}]}), "x", None),
        (completion([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]), "ab", None),
        (completion(None), "", None),
        (completion("x", finish_reason="stop", reasoning="Hmm."), "x", None),
        (completion("\ud800"), "\ud800", None),
        (completion("y" * (1 << 20)), "y" * (1 << 20), None),
    ],
)
def test_a_completion_is_taken_as_it_is(against, tasks, response, text, confidence):
    answer = against(lambda body: response, tasks[:1])[tasks[0].row.id]
    assert (answer.response, answer.confidence, answer.error) == (text, confidence, None)


@pytest.mark.parametrize(
    ("response", "told", "requests"),
    [
        (httpx2.Response(200, json={"choices": []}), "no chat completion", 1),
        (httpx2.Response(200, json={"error": {"message": "overloaded"}}), "overloaded", 1),
        (httpx2.Response(200, text="[" * 100_000), "not JSON (RecursionError)", 3),
        (httpx2.Response(200, json=[1]), "no JSON object", 3),
        (httpx2.Response(400, json={"error": {"message": "too many tokens"}}), "HTTP 400 too many tokens", 1),
        (httpx2.Response(413, text="<html>\ntoo large</html>"), "HTTP 413 too large", 1),
        (httpx2.Response(502, text="<html><title>Bad\nGateway</title><h1>502</h1>"), "HTTP 502 Bad Gateway", 3),
        (httpx2.Response(200, json={"error": {"message": "slow down", "code": 429}}), "error 429: slow down", 3),
        (httpx2.Response(200, json={"error": {"message": "upstream", "code": "503"}}), "error 503: upstream", 3),
        (httpx2.Response(200, json={"error": {"message": "bad image", "code": 400}}), "error 400: bad image", 1),
        (completion("half an ans", error={"message": "upstream died", "code": 502}), "error 502: upstream died", 3),
        (completion("half an ans", finish_reason="error"), "broke off", 3),
        (completion(None, finish_reason="length", reasoning_content="Hmm, "), "raise --max-new-tokens", 1),
        (completion(" ", finish_reason="stop", reasoning="Hmm."), "reasoning and no answer", 1),
        (httpx2.Response(429, headers={"Retry-After": "4000"}), "asks for a pause of 4000 s", 1),
        (httpx2.Response(502, text=""), "HTTP 502", 3),
    ],
)
def test_what_is_no_answer_is_an_error_row(against, tasks, response, told, requests):
    seen = []
    answer = against(lambda body: seen.append(1) or response, tasks[:1], attempts=3)[tasks[0].row.id]
    assert answer.response == "" and told in answer.error
    assert len(seen) == requests


COMPLAINTS = (
    ("logprobs", {"error": {"message": "Unexpected fields in the request: {'logprobs'}"}}),
    ("temperature", {"error": {"message": "Unsupported value", "param": "temperature"}}),
    ("max_tokens", {"error": {"message": "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."}}),
)


def test_options_that_a_server_does_not_know_are_left_out_from_then_on_and_temperature_is_said(against, tasks, capsys):
    seen = []

    def picky(body):
        seen.append(set(body))
        for key, complaint in COMPLAINTS:
            if key in body:
                return httpx2.Response(400, json=complaint)
        return completion("x")

    found = against(picky, tasks[:3], concurrency=1)
    assert all(answer.response == "x" for answer in found.values())
    assert len(seen) == 6, "three complaints, then one request a row"
    assert seen[-1] == {"model", "messages", "max_completion_tokens"}
    assert capsys.readouterr().err.count("takes no temperature: 0 was left out") == 1


@pytest.mark.parametrize(
    "complaint",
    [
        {"error": {"message": "the image has exceeded 10 MB"}},  # no "seed"
        {"error": {"message": "top_logprobs must be set"}},
        {"detail": [{"loc": ["body", "messages"], "msg": "too long", "input": {"temperature": 0, "logprobs": True}}]},
        {"error": {"message": "temperature and logprobs are too low for this image"}},  # named, and not the cause
    ],
)
def test_an_option_that_is_not_named_or_not_the_cause_is_kept(against, tasks, complaint):
    refused, seen = tasks[0].row.problem.removeprefix("<image>"), []

    def refuse(body):
        seen.append(set(body))
        if refused in body["messages"][0]["content"][1]["text"]:
            return httpx2.Response(400, json=complaint)
        return completion("x")

    found = against(refuse, tasks[:2], concurrency=1)
    assert "HTTP 400" in found[tasks[0].row.id].error and found[tasks[1].row.id].response == "x"
    assert {"logprobs", "temperature", "max_tokens"} <= seen[-1]


def test_samples_are_as_many_requests_with_seeds_and_agree_or_not(against, tasks):
    seeds = []

    def vary(body):
        seeds.append((body["seed"], body["temperature"]))
        return completion('<answer>{"Final OCR": "ab"}</answer>' if body["seed"] else "no idea")

    answer = against(vary, tasks[:1], samples=4, temperature=0.7)[tasks[0].row.id]
    assert sorted(seeds) == [(seed, 0.7) for seed in range(4)]
    assert (answer.confidence, len(answer.samples)) == (0.75, 4)
    assert "ab" in answer.response


@pytest.mark.parametrize(
    ("status", "remedy"), [(401, "OPENAI_API_KEY"), (403, "OPENAI_API_KEY"), (404, "model's name")]
)
def test_what_would_fail_every_row_ends_the_run(against, tasks, status, remedy):
    with pytest.raises(InputError, match=remedy):
        against(lambda body: httpx2.Response(status, text="no"), tasks)


def test_an_account_without_quota_ends_the_run_and_is_not_retried_for_ever(against, tasks):
    refusal = httpx2.Response(429, json={"error": {"message": "You exceeded it", "code": "insufficient_quota"}})
    seen = []
    with pytest.raises(InputError, match="no quota left"):
        against(lambda body: seen.append(1) or refusal, tasks[:1], attempts=2)
    assert len(seen) <= 2


def test_a_server_that_goes_away_ends_the_run_and_keeps_what_was_answered(against, tasks, monkeypatch):
    many = [Task(task.row, task.image) for task in tasks * 4]
    answered = []

    def gone(body):
        if len(answered) < 3:
            answered.append(1)
            return completion("x")
        raise httpx2.ConnectError("refused")

    with pytest.raises(WorkError, match=r"has not answered the last 16 rows \(ConnectError: refused\)"):
        against(gone, many, concurrency=1, attempts=1)


@pytest.mark.parametrize(
    ("url", "options", "sent"),
    [
        ("http://example.test/v1", {}, False),
        ("http://example.test/v1", {"key_over_http": True}, True),
        ("https://example.test/v1", {}, True),
        ("http://127.0.0.1:1/v1", {}, True),
        ("http://[::1]:1/v1", {}, True),
        ("http://localhost:1/v1", {}, True),
        ("http://localhost.example.test/v1", {}, False),
        ("http://10.0.0.1/v1", {}, False),
    ],
)
def test_the_key_goes_over_https_and_to_this_machine_or_by_a_flag(monkeypatch, tasks, capsys, url, options, sent):
    monkeypatch.setenv("OPENAI_API_KEY", "secret-key")
    client, keys = httpx2.AsyncClient, []

    def watch(request):
        keys.append(request.headers.get("authorization"))
        return completion("x")

    monkeypatch.setattr(httpx2, "AsyncClient", lambda **named: client(transport=httpx2.MockTransport(watch), **named))
    list(OpenAIReader("m", url, **options).read(tasks[:1]))
    assert keys == (["Bearer secret-key"] if sent else [None]) * 2
    said = capsys.readouterr().err
    assert said.count("OPENAI_API_KEY is not sent") == (not sent) and "secret" not in said


def test_the_key_goes_into_the_header_and_nowhere_else(against, tasks, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", " secret-key\n")
    client, headers = httpx2.AsyncClient, []

    def watch(request):
        headers.append(request.headers.get("authorization"))
        return completion("x")

    monkeypatch.setattr(httpx2, "AsyncClient", lambda **named: client(transport=httpx2.MockTransport(watch), **named))
    reader = OpenAIReader("m", "https://example.test/v1")
    list(reader.read(tasks[:1]))
    assert headers == ["Bearer secret-key"] * 2
    assert "secret" not in repr(reader.endpoint)
    assert "secret" not in reader.name + reader.identity + reader.asks(tasks[0].row)


@pytest.mark.parametrize(
    ("spec", "what"),
    [
        ("openai:gpt", "not MODEL@BASE_URL"),
        ("openai:@http://x/v1", "not MODEL@BASE_URL"),
        ("openai:m@ftp://x", "not MODEL@BASE_URL"),
        ("openai:m@http:///v1", "no host"),
        ("openai:m@http://me:secret@x/v1", "OPENAI_API_KEY"),
        ("openai:m@https://x/v1?api-key=secret", "OPENAI_API_KEY"),
        ("openai:m@http://me:secret@x:port/v1", "Invalid port"),
        ("openai:m@http://x:99999/v1", "no port 99999"),
    ],
)
def test_a_wrong_spec_is_refused_and_never_shows_a_password(spec, what):
    with pytest.raises(InputError) as caught:
        open_reader(spec)
    assert what in str(caught.value) and "secret" not in str(caught.value)


def test_a_model_with_an_at_sign_is_a_model():
    assert open_reader("openai:a/b@main@https://host/v1/").name == "openai:a/b@main@https://host/v1"


@pytest.mark.parametrize(
    "options", [{"concurrency": 0}, {"timeout": 0.0}, {"attempts": 0}, {"samples": 0}, {"batch_size": 4}]
)
def test_an_impossible_option_is_refused(options):
    with pytest.raises(InputError) as caught:
        open_reader("openai:m@http://x/v1", **options)
    assert caught.value.field in options


def test_prompts_and_options_are_part_of_what_is_asked():
    reader = open_reader("openai:m@http://x/v1")
    assert reader.identity != open_reader("openai:m@http://x/v1", samples=3).identity
    assert reader.identity != open_reader("openai:n@http://x/v1").identity
    assert reader.with_prompt("prose").name == "openai:m@http://x/v1+prose"
    with pytest.raises(InputError, match="Did you mean"):
        open_reader("openai:m@http://x/v1", prompt="oficial")


def test_a_pause_that_the_server_asks_for_holds_every_request(against, tasks):
    times = []

    def limited(body):
        import time

        times.append(time.monotonic())
        return httpx2.Response(429, headers={"Retry-After": "0.4"}) if len(times) == 1 else completion("x")

    found = against(limited, tasks[:3], concurrency=1)
    assert all(answer.response == "x" for answer in found.values())
    assert times[1] - times[0] >= 0.4


def test_log_probabilities_become_one_confidence_a_symbol(against, tasks):
    import math

    from kie_hvqa.answers.answer import Reading, render

    text = render(Reading("A1", "", "A1", 2, 0), tags=True)
    content = [
        {
            "token": char,
            "bytes": [*char.encode()],
            "logprob": math.log(0.9) if char in "A1" else 0.0,
            "top_logprobs": [],
        }
        for char in text
    ]
    (answer,) = against(lambda body: completion(text, logprobs={"content": content}), tasks[:1]).values()
    assert answer.signals["token_probability"].symbols == pytest.approx((0.81, 0.81))
    (answer,) = against(lambda body: completion(text, logprobs={"content": content[:5]}), tasks[:1]).values()
    assert answer.signals is None
    (answer,) = against(lambda body: completion(text), tasks[:1]).values()
    assert answer.signals is None
