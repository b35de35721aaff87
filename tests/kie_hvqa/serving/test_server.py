"""The server as its clients meet it: ``kie-hvqa serve`` in a process of its own, and what strangers try on it."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest
from PIL import Image

from kie_hvqa.serving.chat_request import LARGEST_BODY, ChatRequest
from kie_hvqa.serving.turns import MOST_REQUESTS

ROOT = Path(__file__).resolve().parents[3]
CLIENT = httpx2.Client(timeout=120, trust_env=False)
KEY = "a-key-that-nobody-guesses"

# What transformers' own server, its processors and `generate` take beyond this server's list, and what OpenAI's does.
FOREIGN = (
    *("chat_template_kwargs", "chat_template", "processor_kwargs", "mm_processor_kwargs", "images", "videos", "size"),
    *("do_resize", "min_pixels", "max_pixels", "return_tensors", "tokenize", "load_audio_from_video", "num_frames"),
    *("generation_config", "max_new_tokens", "do_sample", "num_beams", "top_k", "repetition_penalty", "stop_strings"),
    *("logits_processor", "custom_generate", "trust_remote_code", "assistant_model", "guided_json", "extra_body"),
    *("tools", "tool_choice", "functions", "function_call", "parallel_tool_calls", "response_format", "audio", "modalities"),
    *("metadata", "store", "prediction", "reasoning_effort", "service_tier", "user", "web_search_options", "best_of", "echo"),
)  # fmt: skip
ENDLESS = {"257": -100}  # the embedded reader's end token


def ask(url, content="What is the name?", **fields):
    body = {"model": "embedded", "max_tokens": 8, "messages": [{"role": "user", "content": content}], **fields}
    return post(url, json.dumps(body).encode())


def post(url, body, **headers):
    headers = {"content-type": "application/json", **headers}
    return CLIENT.post(f"{url}/chat/completions", content=body, headers=headers)


def said(response):
    return response.json()["choices"][0]["message"]["content"]


def refusal(response, status):
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert set(error) == {"message", "type", "code"}
    return error["message"]


@pytest.fixture(scope="module")
def page():
    buffer = io.BytesIO()
    Image.new("RGB", (100, 50), "white").save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


@contextlib.contextmanager
def trap():
    """(address, list of who came) of a server that nobody should call."""
    came = []
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def watch():
            with contextlib.suppress(OSError):
                while True:
                    connection, who = listener.accept()
                    came.append(who)
                    connection.close()

        threading.Thread(target=watch, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/x.png", came


def test_nothing_but_the_list_passes(served, page):
    assert not set(FOREIGN) & set(ChatRequest.model_fields)
    content = [{"type": "image_url", "image_url": {"url": page}}, {"type": "text", "text": "What?"}]
    with trap() as (address, came):
        for name in FOREIGN:
            for value in ({"images": [address], "size": {"longest_edge": 10**9}}, address, 1):
                assert f"{name}: this key is not known here" in refusal(ask(served, content, **{name: value}), 400)
        for part in ({"type": "image_url", "image_url": {"url": address}}, {"type": "image", "image": address}):
            refusal(ask(served, [part]), 400)
            refusal(ask(served, [*content, {"type": "text", "text": "x", **part}]), 400)
        assert not came
    usage = ask(served, content, max_tokens=1).json()["usage"]
    assert usage["prompt_tokens"] < 80, "the image lies under the checkpoint's pixel budget"


@pytest.mark.parametrize(
    ("fields", "status", "told"),
    [
        ({"content": "a <|image_pad|> b"}, 400, "<|image_pad|>"),
        ({"content": "a \ud800 b"}, 400, "not JSON"),
        ({"content": "x" * 5000}, 400, "context of 2048"),
        ({"model": "other"}, 404, "'other' is not served here"),
        ({"max_tokens": 0}, 400, "max_tokens"),
        ({"unheard_of": 1}, 400, "unheard_of"),
        ({"stop": [1]}, 400, "stop"),
        ({"logit_bias": {"99999": 1}}, 400, "no token 99999"),
        ({"logit_bias": {"-1": 1}}, 400, "logit_bias"),
        ({"temperature": -1}, 400, "temperature"),
        ({"stream": True, "content": "x" * 5000}, 400, "context of 2048"),
    ],
)
def test_a_request_that_makes_no_sense_is_told_so(served, fields, status, told):
    assert told in refusal(ask(served, **fields), status)


@pytest.mark.parametrize(
    "fields",
    [
        {"stop": "e"},
        {"stop": ["\ud83d\ude00", "</answer>"]},
        {"stop": []},
        {"logit_bias": {"65": 100}},
        {"logit_bias": {}},
        {"logit_bias": {str(token): -100 for token in range(290)}},
        {"temperature": 5e-324, "seed": 1},
        {"temperature": 1e-300, "top_p": 1e-300},
        {"temperature": 2, "seed": -1},
        {"content": "a \U0001f600 \u202e \x00 b"},
        {"content": [{"type": "text", "text": ""}]},
        {"max_tokens": None, "max_completion_tokens": 3},
        {"n": 1, "frequency_penalty": 0, "presence_penalty": 0.0, "top_logprobs": 0},
    ],
)
def test_odd_requests_are_answered_or_refused_and_never_a_fault(served, fields):
    response = ask(served, **fields)
    assert response.status_code == 200, response.text
    assert isinstance(said(response), str)


def test_it_speaks_the_protocol(served, page):
    assert [model["id"] for model in CLIENT.get(f"{served}/models").json()["data"]] == ["embedded"]
    content = [{"type": "image_url", "image_url": {"url": page}}, {"type": "text", "text": "What is the name?"}]
    answer = ask(served, content, temperature=0, logprobs=True).json()
    usage = answer["usage"]
    assert 0 < usage["completion_tokens"] <= 8
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    tokens = answer["choices"][0]["logprobs"]["content"]
    assert "".join(token["token"] for token in tokens) == answer["choices"][0]["message"]["content"]
    assert all(token["logprob"] <= 0 for token in tokens)
    assert len({said(ask(served, content, temperature=2.0, seed=seed)) for seed in range(3)}) > 1
    options = {"stream": True, "logprobs": True, "stream_options": {"include_usage": True}}
    lines = ask(served, content, temperature=0, **options).text.split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""]
    *parts, last = [json.loads(line.removeprefix("data: ")) for line in lines[:-2]]
    assert last["usage"] == usage and last["choices"] == []
    choices = [part["choices"][0] for part in parts]
    assert (
        "".join(choice["delta"].get("content", "") for choice in choices) == answer["choices"][0]["message"]["content"]
    )
    assert [token for choice in choices if "logprobs" in choice for token in choice["logprobs"]["content"]] == tokens
    assert [choice["finish_reason"] for choice in choices] == [None] * (len(choices) - 1) + ["length"]


def test_several_images_or_none_are_questions_too(served, page):
    image = {"type": "image_url", "image_url": {"url": page}}
    one, two = (ask(served, [image] * count + [{"type": "text", "text": "What?"}]).json()["usage"] for count in (1, 2))
    none = ask(served, "What?").json()["usage"]
    tokens = one["prompt_tokens"] - none["prompt_tokens"]
    assert two["prompt_tokens"] - none["prompt_tokens"] == 2 * tokens > 0


def test_an_image_that_no_budget_fits_is_refused(served):
    buffer = io.BytesIO()
    Image.new("RGB", (3000, 5)).save(buffer, "PNG")
    url = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    assert "does not fit" in refusal(ask(served, [{"type": "image_url", "image_url": {"url": url}}]), 400)


def test_only_json_that_is_meant_for_this_machine_is_read(served):
    body = json.dumps({"model": "embedded", "max_tokens": 1, "messages": [{"role": "user", "content": "x"}]}).encode()
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
        assert "application/json" in refusal(post(served, body, **{"content-type": kind}), 415)
    for host in (
        "evil.example",
        "evil.example:80",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "10.0.0.1",
        "[::2]:1",
        "",
    ):
        assert "localhost" in refusal(post(served, body, host=host), 403)
        assert CLIENT.get(f"{served}/models", headers={"host": host}).status_code == 403
    for host in ("localhost", "LOCALHOST:9", "127.0.0.1:1", "127.1.2.3", "[::1]:8000"):
        assert post(served, body, host=host).status_code == 200
    assert post(served, body, **{"content-type": "application/json; charset=utf-8"}).status_code == 200
    refusal(CLIENT.get(f"{served}/chat/completions"), 405)
    refusal(CLIENT.get(f"{served}/docs"), 404)


def test_a_body_is_counted_while_it_comes(served):
    sent = []

    def endless():
        while True:
            sent.append(1 << 20)
            yield b" " * (1 << 20)

    with contextlib.suppress(httpx2.WriteError, httpx2.ReadError, httpx2.RemoteProtocolError):
        refusal(
            httpx2.post(f"{served}/chat/completions", content=endless(), headers={"content-type": "application/json"}),
            413,
        )
    assert sum(sent) < 2 * LARGEST_BODY, "it is cut off soon after its bound"
    with raw(served, b"Content-Length: 99999999999\r\n") as connection:
        assert connection.recv(64).startswith(b"HTTP/1.1 413")
    assert ask(served, max_tokens=1).status_code == 200


@contextlib.contextmanager
def raw(url, headers, body=b""):
    """A connection on which the head of a request, and a part of its body, have been sent."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=60) as connection:
        head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        connection.sendall(head + headers + b"\r\n" + body)
        yield connection


def test_who_hogs_or_leaves_does_not_stop_the_others(served):
    long = {
        "model": "embedded",
        "max_tokens": 10**9,
        "logit_bias": ENDLESS,
        "messages": [{"role": "user", "content": "x"}],
    }
    bodies = [json.dumps(long | {"stream": stream}).encode() for stream in (True, False)]
    with contextlib.ExitStack() as held:
        for number in range(20):  # who ask for as much as there is, and leave
            body = bodies[number % 2]
            with raw(served, b"Content-Length: %d\r\n" % len(body), body) as connection:
                if number == 0:
                    assert b"200 OK" in connection.recv(100), "the first is being answered"
        for _ in range(20):  # who send half a body and wait
            held.enter_context(raw(served, b"Content-Length: 1000\r\n", b"{"))
        assert ask(served, max_tokens=1).status_code == 200

        def one_more():
            held.enter_context(raw(served, b"Content-Length: 1000\r\n", b"{"))
            return ask(served, max_tokens=1)

        for _ in range(MOST_REQUESTS):
            held.enter_context(raw(served, b"Content-Length: 1000\r\n", b"{"))
        # A question that is being answered has a place too, which the next half body must not find taken for good.
        response = once(429, one_more)
        assert "as much under way" in refusal(response, 429) and response.headers["retry-after"] == "1"
    once(200, lambda: ask(served, max_tokens=1))  # who has left keeps no place


def once(status, asking):
    """The first response of ``asking`` that has ``status``."""
    deadline = time.monotonic() + 60
    while (response := asking()).status_code != status:
        assert time.monotonic() < deadline, response.text
        time.sleep(0.05)
    return response


# --- servers of their own: keys, interfaces, the end ---


@contextlib.contextmanager
def serving(errors, *options, **environment):
    """(process, URL) of a server of its own."""
    command = [sys.executable, "-m", "kie_hvqa", "serve", "embedded", "--port", "0", "--device", "cpu", *options]
    with errors.open("w") as stderr:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=stderr, text=True
        )
    try:
        line = process.stdout.readline()
        assert line.startswith("serving embedded at http://"), errors.read_text()
        yield process, line.split()[-1].replace("0.0.0.0", "127.0.0.1")
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_another_interface_needs_a_key_and_the_end_is_prompt(kie_hvqa, tmp_path):
    for environment in ({"KIE_HVQA_SERVE_KEY": ""}, {"KIE_HVQA_SERVE_KEY": "short"}):
        done = kie_hvqa("serve", "embedded", "--host", "0.0.0.0", "--port", 0, **environment)
        assert done.returncode == 2 and "KIE_HVQA_SERVE_KEY" in done.stderr and not done.stdout
    errors = tmp_path / "stderr"
    with serving(errors, "--host", "0.0.0.0", KIE_HVQA_SERVE_KEY=KEY) as (process, url):
        assert CLIENT.get(url.replace("/v1", "/health")).status_code == 200
        for header in (
            {},
            {"authorization": KEY},
            {"authorization": f"Basic {KEY}"},
            {"authorization": "Bearer wrong"},
        ):
            assert CLIENT.get(f"{url}/models", headers=header).status_code == 401
            assert "a key is needed" in refusal(post(url, b"{}", **header), 401)
        right = {"authorization": f"Bearer {KEY}"}
        assert CLIENT.get(f"{url}/models", headers={**right, "host": "reader.example"}).status_code == 200
        assert "authorization" not in CLIENT.get(f"{url}/models", headers=right).text

        body = json.dumps(
            {
                "model": "embedded",
                "max_tokens": 10**9,
                "logit_bias": ENDLESS,
                "messages": [{"role": "user", "content": "x"}],
            }
        )
        with raw(
            url, f"Authorization: Bearer {KEY}\r\nContent-Length: {len(body)}\r\n".encode(), body.encode()
        ) as waiting:
            streamed = json.dumps(json.loads(body) | {"stream": True}).encode()
            head = f"Authorization: Bearer {KEY}\r\nContent-Length: {len(streamed)}\r\n".encode()
            with raw(url, head, streamed) as stream:
                for _ in range(2):  # both are at the server, one of them being answered
                    assert CLIENT.get(f"{url}/models", headers=right).status_code == 200
                process.send_signal(signal.SIGTERM)
                assert process.wait(60) == -signal.SIGTERM
                assert b"the server is ending" in everything(waiting) + everything(stream)
    assert "Traceback" not in errors.read_text(), errors.read_text()


def everything(connection):
    parts = []
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(1 << 16):
            parts.append(part)
    return b"".join(parts)
