"""Servers as they are met in the wild: each a real one on loopback, asked by the command as a user would ask it."""

from __future__ import annotations

import itertools
import json
import os
import socketserver
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from kie_hvqa.readers.server import endpoint
from kie_hvqa.runs.predictions import read_predictions

ROOT = Path(__file__).resolve().parents[3]
GOOD = json.dumps(
    {"choices": [{"message": {"content": '<answer>{"Final OCR": "ab"}</answer>'}, "finish_reason": "stop"}]}
)
JSON = {"Content-Type": "application/json"}


@contextmanager
def server(answer, *, wrap=None):
    """(base URL, counter of paths asked). ``answer(handler, body)`` sends a response; GETs have the body None."""
    asked = Counter()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            asked[self.path] += 1
            answer(self, None)

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            asked[self.path] += 1
            answer(self, json.loads(body))

        def send(self, status, body=b"", headers=JSON):
            body = body.encode() if isinstance(body, str) else body
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            """Nothing."""

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, request, client_address):
            """A client that leaves is what some tests are about."""

    httpd = Quiet(("127.0.0.1", 0), Handler)
    if wrap is not None:
        httpd.socket = wrap(httpd.socket)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    try:
        yield f"{'http' if wrap is None else 'https'}://127.0.0.1:{httpd.server_address[1]}", asked
    finally:
        httpd.shutdown()
        httpd.server_close()


def good(handler, body):
    handler.send(200, GOOD if body is not None else '{"data": []}')


@pytest.fixture
def run(kie_hvqa, cards, tmp_path):
    """Evaluates the cards with the server at a URL; (finished process, kept answers)."""

    number = itertools.count()

    def evaluate(url, *options, **environment):
        out = tmp_path / f"out{next(number)}"
        command = ("eval", "--data", cards, "--reader", f"openai:m@{url}", "--out", out, "--attempts", 3, *options)
        done = kie_hvqa(*command, timeout=120, **{"NO_PROXY": "", "OPENAI_API_KEY": "", **environment})
        assert "Traceback" not in done.stderr, done.stderr
        log = out / "predictions.jsonl"
        return done, read_predictions(log) if log.exists() else {}

    return evaluate


def one_sentence(done, *parts):
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    for part in parts:
        assert part in done.stderr


def test_an_answer_that_the_limit_cut_off_is_kept_counted_and_told(run):
    cut = GOOD.replace('"stop"', '"length"')
    with server(lambda handler, body: handler.send(200, cut)) as (url, _):
        done, kept = run(url)
        assert done.returncode == 0
        assert "12 of 12 answers were cut off at the token limit; raise --max-new-tokens" in done.stderr
        assert all(answer.cut and "ab" in answer.response for answer in kept.values())


def test_a_query_in_the_base_url_stays_a_query(run):
    with server(good) as (url, asked):
        done, _ = run(f"{url}/openai/v1/?api-version=2024-10-21")
        assert done.returncode == 0, done.stderr
    assert asked == {
        "/openai/v1/models?api-version=2024-10-21": 1,
        "/openai/v1/chat/completions?api-version=2024-10-21": 12,
    }


def test_what_has_moved_is_followed_with_its_body(run):
    def moved(handler, body):
        if body is not None and handler.path.startswith("/old/"):
            return handler.send(307, headers={"Location": "/older" + handler.path[4:]})
        if body is not None and handler.path.startswith("/older"):
            return handler.send(308, headers={"Location": "/new/chat"})
        good(handler, body)

    with server(moved) as (url, asked):
        done, kept = run(f"{url}/old")
        assert done.returncode == 0 and all(answer.response for answer in kept.values()), done.stderr
    assert asked["/new/chat"] == 12


def test_a_circle_ends_and_what_moved_for_good_is_told(run):
    def circle(handler, body):
        handler.send(307, headers={"Location": handler.path}) if body is not None else good(handler, body)

    with server(circle) as (url, asked):
        done, _ = run(url)
        assert done.returncode == 1 and "sent on more than 5 times" in done.stderr
        assert asked["/chat/completions"] == 6 * 12, "once a row"

    def moved(handler, body):
        handler.send(301, headers={"Location": "https://x.test/v1"}) if body is not None else good(handler, body)

    with server(moved) as (url, _):
        one_sentence(run(url)[0], "it has moved to https://x.test/v1", "Mend the URL")


def test_a_key_may_be_kept_from_the_list_of_models(run):
    with server(lambda handler, body: handler.send(403, "{}") if body is None else good(handler, body)) as (url, _):
        done, kept = run(url)
        assert done.returncode == 0 and len(kept) == 12


@pytest.mark.parametrize(
    ("kind", "body", "told"),
    [
        ("text/html; charset=utf-8", "<html><title>Welcome to nginx!</title><body>x", "a web page (Welcome to nginx!)"),
        ("text/event-stream", 'data: {"choices": []}\n\n', "an event stream"),
    ],
)
def test_a_page_or_a_stream_is_told_once_and_not_six_times_a_row(run, kind, body, told):
    with server(lambda handler, _: handler.send(200, body, {"Content-Type": kind})) as (url, asked):
        done, _ = run(url, "--concurrency", 1, "--attempts", 6)
        one_sentence(done, told, "ends in /v1")
    assert asked["/chat/completions"] == 1


def test_a_page_after_an_answer_is_one_rows_error(run):
    seen = []

    def sometimes(handler, body):
        seen.append(body)
        page = body is not None and len(seen) == 4
        handler.send(200, "<html>oops", {"Content-Type": "text/html"}) if page else good(handler, body)

    with server(sometimes) as (url, _):
        done, _ = run(url, "--concurrency", 1, "--attempts", 6)
        assert done.returncode == 1 and "1 of 12 rows failed (a web page (oops)" in done.stderr
        assert len(seen) == 13


def test_the_first_knock_is_not_read_and_has_a_deadline(run, monkeypatch):
    def endless(handler, body):
        if body is not None:
            return good(handler, body)
        handler.send_response(200)
        handler.end_headers()
        while True:
            handler.wfile.write(b"x" * 65536)

    with server(endless) as (url, asked):
        done, _ = run(url)
        assert done.returncode == 0, done.stderr
    assert asked["/models"] == 1


def test_a_server_that_trickles_its_first_words_is_given_up(cards, tmp_path, monkeypatch):
    monkeypatch.setattr(endpoint, "_KNOCK", 0.5)
    from kie_hvqa.errors import InputError
    from kie_hvqa.readers import open_reader
    from kie_hvqa.runs.evaluator import evaluate

    class Trickle(socketserver.BaseRequestHandler):
        def handle(self):
            try:
                self.request.sendall(b"HTTP/1.1 200 OK\r\n")
                while True:  # always within httpx's own time-out of a read
                    self.request.sendall(b"X-A: b\r\n")
                    time.sleep(0.05)
            except OSError:
                return

    class Trickling(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Trickling(("127.0.0.1", 0), Trickle) as tcp:
        threading.Thread(target=tcp.serve_forever, daemon=True).start()
        with pytest.raises(InputError, match=r"no server answers there \(no answer within 0\.5 s\)"):
            evaluate(cards, open_reader(f"openai:m@http://127.0.0.1:{tcp.server_address[1]}/v1"), tmp_path / "out")
        tcp.shutdown()


def test_a_key_is_stripped_and_never_printed(run):
    def echo(handler, body):
        handler.send(401, json.dumps({"error": {"message": f"Incorrect API key: {handler.headers['Authorization']}"}}))

    with server(echo) as (url, _):
        done, _ = run(url, OPENAI_API_KEY=" sk-secret \n")
        one_sentence(done, "Incorrect API key: Bearer …", "Put a valid key into OPENAI_API_KEY")
        assert "secret" not in done.stderr + done.stdout

    def busy(handler, body):
        handler.send(500, f"no luck with {handler.headers['Authorization']}") if body is not None else good(
            handler, body
        )

    with server(busy) as (url, _):
        done, kept = run(url, "--attempts", 1, OPENAI_API_KEY="sk-secret")
        assert done.returncode == 1 and "no luck with Bearer …" in done.stderr
        assert not any("secret" in str(answer.error) for answer in kept.values())


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"OPENAI_API_KEY": "sk-schlüssel"}, ["OPENAI_API_KEY: holds characters that no key has"]),
        ({"OPENAI_API_KEY": "sk\nx"}, ["OPENAI_API_KEY: holds characters that no key has"]),
        ({"HTTP_PROXY": "ftp://x"}, ["HTTP_PROXY", "this proxy cannot be used"]),
        ({"ALL_PROXY": "socks5://127.0.0.1:9"}, ["ALL_PROXY", "SOCKS"]),
        ({"HTTP_PROXY": "http://127.0.0.1:9"}, ["asked through HTTP_PROXY"]),
        ({"SSL_CERT_FILE": "/nowhere.pem"}, ["SSL_CERT_FILE: no certificates can be read there"]),
    ],
)
def test_what_the_environment_holds_wrongly_is_named(run, environment, told):
    done, _ = run("http://server.test/v1", **{"HTTP_PROXY": "", "ALL_PROXY": "", **environment})
    one_sentence(done, *told)
    assert "sk-" not in done.stderr


def test_a_certificate_that_nobody_trusts_names_the_variable(run, tmp_path):
    import ssl

    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, *subject]
    if subprocess.run(make, capture_output=True, check=False).returncode:
        pytest.skip("needs openssl to make a certificate")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with server(good, wrap=lambda plain: context.wrap_socket(plain, server_side=True)) as (url, _):
        one_sentence(run(url)[0], "its certificate is not trusted here", "SSL_CERT_FILE")
        done, _ = run(url, SSL_CERT_FILE=str(certificate))
        assert done.returncode == 0, done.stderr


def test_too_many_open_files_end_with_a_sentence(make_cards, tmp_path):
    def slow(handler, body):
        if body is not None:
            time.sleep(3)
        good(handler, body)

    data = make_cards(tmp_path / "many", documents=30)
    with server(slow) as (url, _):
        eval_ = [sys.executable, "-m", "kie_hvqa", "eval", "--data", data, "--reader", f"openai:m@{url}"]
        command = [
            "bash",
            "-c",
            'ulimit -n 64; exec "$@"',
            "bash",
            *eval_,
            "--out",
            tmp_path / "out",
            "--concurrency",
            "90",
        ]
        done = subprocess.run(
            [str(part) for part in command],
            cwd=ROOT,
            env={**os.environ},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert (
        "may not open any more files" in done.stderr and "--concurrency" in done.stderr and "ulimit -n" in done.stderr
    )
