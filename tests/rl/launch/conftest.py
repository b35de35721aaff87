"""Launchers of two machines, without their preflight."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
# A launcher without its preflight: the real meeting and watch, around a child that does as it is told.
MEMBER = """
import json, os, sys
from pathlib import Path
from kie_hvqa.errors import InputError, WorkError
from rl.launch import connections, meeting, watch
from rl.launch.description import Description
from rl.launch.placement import Placement
said = json.loads(sys.argv[1])
connections.SILENCE = 4.0
connections.BEAT = 0.5
place = Placement({"one": ("0",), "two": ("0",)}, said["rank"], said.get("address", "127.0.0.1"), said["port"])
with connections.Connections(place.members, place.rank) as machines:
    try:
        out = Path(said["out"]) if "out" in said else None
        own = Description("host-" + machines.name, **said.get("description", {}))
        print(meeting.meet(place, machines, own, said.get("secret", "s" * 16), said.get("patience", 30), out), flush=True)
    except (InputError, WorkError) as error:
        meeting.say_error("test", error)
        sys.exit(error.exit_status)
    child = watch.Child([sys.executable, "-c", said["child"]], os.environ)
    print("child", child._process.pid, flush=True)
    sys.exit(watch.run_watched(child, machines))
"""


@pytest.fixture
def port() -> int:
    """The rendezvous port; launchers meet on the one after it."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]


@pytest.fixture
def pair(port):
    """Starts the launchers of ``one`` and ``two``, and ends them after the test."""
    started: list[subprocess.Popen[str]] = []

    def start(rank: int, **said) -> subprocess.Popen[str]:
        made = subprocess.Popen(
            [sys.executable, "-c", MEMBER, json.dumps({"rank": rank, "port": port, "child": "", **said})],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(made)
        return made

    yield start
    for one in started:
        if one.poll() is None:
            one.kill()
        one.wait()
