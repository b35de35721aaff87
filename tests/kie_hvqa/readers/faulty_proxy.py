"""A server between a client and the real one that misbehaves as it is told: run as a process of its own by the tests.

    python faulty_proxy.py UPSTREAM_URL '["429", "ok", "cut"]' [TEXT FAULT COUNT]

The n-th chat completion gets the n-th fault of the plan, those behind it pass. Faults: ``429`` and ``503`` (with
Retry-After), ``500``, ``hang``, ``cut`` (half a response, then the connection is closed), ``garbage`` (not JSON). A
request that holds TEXT gets FAULT the first COUNT times, whatever the plan says. The port is printed first, then a line a request.
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class Proxy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    upstream = ""
    plan: list[str] = []
    text, fault, count = "", "", 0
    lock = threading.Lock()

    def do_GET(self) -> None:
        self._forward(b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with self.lock:
            if self.text and self.text.encode() in body:
                fault = self.fault if Proxy.count > 0 else "ok"
                Proxy.count -= 1
            else:
                fault = self.plan.pop(0) if self.plan else "ok"
        # In one piece: print writes the end of a line by itself, and threads fall between.
        sys.stdout.write(f"{fault}\n")
        sys.stdout.flush()
        if fault == "ok":
            self._forward(body)
        elif fault == "hang":
            time.sleep(600)
        elif fault == "cut":
            self.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{"choices": [')
            self.wfile.flush()
            self.close_connection = True
        elif fault == "garbage":
            self._answer(200, b"<html>it works!</html>")
        else:
            self._answer(
                int(fault), b'{"error": {"message": "injected"}}', {"Retry-After": "0.3"} if fault != "500" else {}
            )

    def _forward(self, body: bytes) -> None:
        target = urlsplit(self.upstream)
        connection = http.client.HTTPConnection(target.hostname or "", target.port or 80, timeout=300)
        connection.request(self.command, self.path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        self._answer(response.status, response.read())

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing: standard error is for what goes wrong here."""


if __name__ == "__main__":
    Proxy.upstream, Proxy.plan = sys.argv[1], json.loads(sys.argv[2])
    if len(sys.argv) > 3:
        Proxy.text, Proxy.fault, Proxy.count = sys.argv[3], sys.argv[4], int(sys.argv[5])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    server.daemon_threads = True
    print(server.server_address[1], flush=True)
    server.serve_forever()
