"""Opens the port, loads the model, serves until it is told to end."""

from __future__ import annotations

import importlib.util
import os
import socket
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from kie_hvqa.confidence.operating_point import OperatingPoint
from kie_hvqa.confidence.signals.checks import CHECKS
from kie_hvqa.errors import InputError, WorkError
from kie_hvqa.extras import remedy
from kie_hvqa.readers import told
from kie_hvqa.readers.asked import settings
from kie_hvqa.readers.transformers_reader import TransformersReader
from kie_hvqa.reading.fields import Field

KEY = "KIE_HVQA_SERVE_KEY"
SHORTEST_KEY = 16  # characters
_NEEDED = ("starlette", "uvicorn")
_GRACE = 5  # seconds that answers on their way out have when the server ends


def serve(
    reader: TransformersReader,
    name: str,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    sets: Callable[[str], tuple[Field, ...]] | None = None,
    point: Path | None = None,
) -> None:
    """Serve ``reader``'s model as ``name`` until interrupted. ``port`` 0 takes a free one; the URL is printed once it is
    open. ``sets`` gives the fields of a named set, ``point`` is the file of an operating point for ``/v1/read``. InputError where packages or
    the model are missing, for a point of another reader or of signals that do not come with an answer, and for an interface other than
    loopback without a key in ``KIE_HVQA_SERVE_KEY``; WorkError for a port that cannot be had.
    """
    missing = [package for package in _NEEDED if importlib.util.find_spec(package) is None]
    if missing:
        raise InputError(f"serving needs {', '.join(missing)}", field="serve", remedy=remedy("serve"))
    import uvicorn

    from kie_hvqa.serving.app import build_app, is_loopback
    from kie_hvqa.serving.generation import Generation

    loopback = is_loopback(host)
    key = _key(host, needed=not loopback)
    decides = None if point is None else point_for(point, reader)

    with _bound(host, port) as listener:
        _quiet()
        generation = Generation(reader, reader.loaded())

        class Server(uvicorn.Server):
            def handle_exit(self, sig: int, frame: FrameType | None) -> None:
                generation.end()
                super().handle_exit(sig, frame)

        config = uvicorn.Config(
            build_app(generation, name, reader.shown, key=key, loopback=loopback, sets=sets, point=decides),
            log_level="warning",
            lifespan="off",
            http="h11",
            ws="none",
            proxy_headers=False,  # who asks is whose connection it is, whatever a header says
            server_header=False,
            timeout_graceful_shutdown=_GRACE,
        )
        host, port = listener.getsockname()[:2]
        listener.listen()  # from here on nobody is refused
        generation.start()
        place = f"[{host}]" if ":" in host else host
        print(f"serving {name} at http://{place}:{port}/v1", flush=True)
        Server(config).run(sockets=[listener])


def point_for(file: Path, reader: TransformersReader) -> OperatingPoint:
    """The operating point in ``file``. InputError where it is not for ``reader`` as it answers here."""
    point = OperatingPoint.load(file)
    given = settings(reader)
    if further := sorted(set(point.needs) - {CHECKS} - given.keys()):
        raise InputError(
            f"it needs {', '.join(further)}, and a server answers a field once",
            file=file,
            field="signal",
            remedy=f"Calibrate with what comes with an answer: {', '.join(given)}, or all of them together.",
        )
    point.check(reader.identity, told(reader), given, file=file)
    return point


def _key(host: str, *, needed: bool) -> str | None:
    key = os.environ.get(KEY, "").strip()
    if not key and needed:
        raise InputError(
            f"on {host} anybody who reaches this machine could ask",
            field="--host",
            remedy=f"Put a long random key into {KEY}, or leave --host out.",
        )
    if key and (len(key) < SHORTEST_KEY or not key.isascii() or not key.isprintable()):
        raise InputError(
            f"the key must have at least {SHORTEST_KEY} characters, printable ASCII",
            field=KEY,
            remedy="`openssl rand -hex 32` makes a good one.",
        )
    return key or None


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise WorkError(f"cannot listen on {host}:{port} ({reason}); name another with --port") from None
    return listener


def _quiet() -> None:
    """Advice and a line a request from the libraries below are no business of a server's standard error."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
