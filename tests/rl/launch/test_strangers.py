"""Who does not know the run's secret is not let in, and neither ends nor delays the meeting of those who do."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kie_hvqa.errors import InputError
from rl.launch import __main__ as launcher
from rl.launch import handshake, messages, ports
from rl.launch.description import Description
from rl.launch.messages import LONGEST, SECRET, Signer, new_nonce, printable, read, secret_from, secret_of
from rl.launch.placement import Placement

OURS = "s" * 16
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no failure
NONCES = new_nonce() + new_nonce()


def knock(port: int, *said: bytes) -> socket.socket:
    """A stranger: waits until the door is open, and says that."""
    until = time.monotonic() + 60
    while True:
        try:
            link = socket.create_connection(("127.0.0.1", port + 1), timeout=20)
            break
        except OSError:
            assert time.monotonic() < until
            time.sleep(0.1)
    try:
        for part in said:
            link.sendall(part)
    except OSError:
        pass  # turned away meanwhile
    return link


def introduction(secret: str, nonce: bytes, rank: int, described: dict) -> bytes:
    own = new_nonce()
    return own + b" " + Signer(secret, nonce + own, first=False).sign({"rank": rank, "description": described})


def test_strangers_are_turned_away_and_the_run_begins_without_them(pair, port):
    first = pair(0)
    whole = Description("evil").to_json()
    held = [
        knock(port),  # says nothing
        knock(port, b"a"),  # and then nothing more
        knock(port, b'{"rank": 1, "description": {}}\n'),
        knock(port, b"[" * 60_000 + b"\n"),
        knock(port, *[b"x" * LONGEST] * 3),  # a line without an end
        knock(port, new_nonce() + b" " + b"0" * 64 + b' {"rank": 1, "description": {}}\n'),
        knock(port, b"\xff\0\n\n\n"),
    ]
    for described, secret in ((whole, "another secret!!"), ({}, OURS), ({**whole, "versions": {"a": 1}}, OURS)):
        link = knock(port)
        link.sendall(introduction(secret, link.recv(messages.NONCE + 1)[:-1], 1, described))
        assert link.recv(10) == b""  # closed
        held.append(link)
    link = knock(port)
    link.sendall(introduction(OURS, link.recv(messages.NONCE + 1)[:-1], 5, whole))
    assert b"5 is none of the others' of 2 machines" in link.recv(1000)
    held.append(link)
    listening = {one.laddr for one in psutil.Process(first.pid).net_connections() if one.status == "LISTEN"}
    assert {address.ip for address in listening} == {"127.0.0.1"}
    second = pair(1)
    said, wrong = first.communicate(timeout=60)
    assert (first.returncode, second.wait(timeout=60)) == (0, 0), wrong
    assert "2 machines agree" in said and "Traceback" not in wrong
    assert wrong.count("127.0.0.1 knocked without this run's secret") == 1
    for link in held:
        link.close()


def ended(link: socket.socket, said: bytes = b"") -> bool:
    """Whether the other end hangs up, while ``said`` is sent again and again."""
    until = time.monotonic() + 60
    link.settimeout(0.1)
    while time.monotonic() < until:
        try:
            if not link.recv(100):
                return True
        except TimeoutError:
            pass
        except OSError:
            return True
        try:
            link.sendall(said)
        except OSError:
            return True
    return False


def test_whoever_says_nothing_has_one_deadline_and_a_crowd_keeps_nobody_out(monkeypatch, port):
    monkeypatch.setattr(handshake, "_WAITING", 3)
    monkeypatch.setattr(handshake, "INTRODUCTION", 1000.0)
    with handshake._arrivals("127.0.0.1", port + 1, OURS) as arrivals:
        crowd = [knock(port) for _ in range(5)]
        assert ended(crowd[0]) and ended(crowd[1])  # they have waited longest
        monkeypatch.setattr(handshake, "INTRODUCTION", 0.5)
        assert ended(knock(port), b"a")  # a byte now and then buys no time
        assert arrivals.empty()
    assert ended(crowd[4])  # the meeting is over


def test_a_machine_with_another_secret_is_told_so(pair, port):
    first, second = pair(0, patience=3), pair(1, patience=3, secret="another secret!!")
    _, wrong = first.communicate(timeout=60)
    assert first.returncode == 1 and "two did not come" in wrong and f"{SECRET} must be the same" in wrong
    _, wrong = second.communicate(timeout=60)
    assert second.returncode == 1 and SECRET in wrong


def test_a_meeting_place_that_is_not_this_machines_is_named(pair):
    first = pair(0, address="192.0.2.1")
    _, wrong = first.communicate(timeout=60)
    assert first.returncode == 2 and "192.0.2.1, where the machines meet, cannot be used" in wrong
    assert "MASTER_ADDR" in wrong


def test_a_name_that_means_loopback_here_is_taken_by_the_way_to_the_others(monkeypatch):
    real = socket.getaddrinfo

    def debian(name, *more, **named):
        return real("127.0.1.1" if name == "alpha" else name, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", debian)
    assert ports.own_address("alpha", ["127.0.0.1"]) == "127.0.0.1"  # the way there, not what the name means
    assert ports.own_address("127.0.0.1") == "127.0.0.1"
    with pytest.raises(InputError, match=r"alpha is 127\.0\.1\.1 on this machine"):
        ports.own_address("alpha")
    with pytest.raises(InputError, match="has no address"):
        ports.own_address("no.such.invalid")


MESSAGES = st.dictionaries(st.sampled_from(["beat", "rank", "ended"]), st.integers(0, 9)) | st.builds(
    lambda text: {"lost": text}, st.text(max_size=20)
)


@PATIENT
@given(st.lists(MESSAGES, min_size=1, max_size=4), st.data())
def test_lines_are_opened_once_in_their_order_and_by_the_other_end_only(said, data):
    speaker, listener = Signer(OURS, NONCES, first=False), Signer(OURS, NONCES, first=True)
    lines = [speaker.sign(message)[:-1] for message in said]
    forged = bytearray(lines[0])
    forged[data.draw(st.integers(0, len(forged) - 1))] ^= data.draw(st.integers(1, 255))
    assert listener.opened(bytes(forged)) is None
    assert Signer(OURS, NONCES, first=False).opened(lines[0]) is None  # sent back
    assert Signer(OURS, new_nonce() + NONCES[64:], first=True).opened(lines[0]) is None  # of another meeting
    assert Signer("t" * 16, NONCES, first=True).opened(lines[0]) is None
    for message, line in zip(said, lines, strict=True):
        clean = {key: printable(value) if isinstance(value, str) else value for key, value in message.items()}
        assert listener.opened(line) == clean
        assert listener.opened(line) is None  # said again


@PATIENT
@given(st.text())
def test_what_is_printed_cannot_write_over_a_terminal(text):
    assert printable(text).isprintable() and len(printable(text)) == len(text)


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 60_000,
        b"[]",
        b'{"unknown": 1}',
        b'{"rank": true}',
        b'{"rank": "1"}',
        b'{"lost": 1}',
        b'{"rank": ' + b"9" * 5000 + b"}",
        b"\xff",
    ],
)
def test_what_is_no_message(text):
    assert read(text) is None


@PATIENT
@given(st.dictionaries(st.text(), st.none() | st.integers() | st.text() | st.lists(st.integers())))
def test_a_description_is_whole_or_none(said):
    assert Description.read(said) is None
    own = Description("h\x1b[2J", {"torch": "1"}, "c", "r", "d", "8+8", "a\nb", 2)
    assert Description.read(own.to_json()) == Description("h?[2J", {"torch": "1"}, "c", "r", "d", "8+8", "a b", 2)
    assert Description.read({**own.to_json(), **said, "more": 1}) is None
    assert Description.read({**own.to_json(), "status": []}) is None
    assert Description.read({**own.to_json(), "mark": "../victim"}) is None


def test_several_machines_without_a_secret_are_refused_with_the_line_that_makes_one():
    for environment in ({}, {SECRET: "short"}):
        with pytest.raises(InputError, match="openssl rand") as caught:
            secret_of(environment)
        assert caught.value.field == SECRET
    assert secret_of({SECRET: OURS}) == OURS


def test_the_secret_comes_over_standard_input_and_nothing_behind_it_is_taken():
    there, here = os.pipe()
    os.write(here, OURS.encode() + b"\nmore")
    assert secret_from(there) == OURS and os.read(there, 10) == b"more"
    os.close(here)
    with pytest.raises(InputError):
        secret_from(there)
    os.close(there)


def test_machines_started_by_ssh_get_one_secret_on_no_command_line(monkeypatch, tmp_path):
    program = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_text(sys.stdin.readline())"
    lines = []

    def elsewhere(place, rank, given, environment):
        lines.append([sys.executable, "-c", program, str(tmp_path / str(rank))])
        return lines[-1]

    monkeypatch.setattr(launcher.commands, "elsewhere", elsewhere)
    place = Placement({"a": ("0",), "b": ("0",)}, None, "a", 1, by="ssh")
    assert launcher._start_all(place, []) == 0
    first, second = ((tmp_path / name).read_text() for name in "01")
    assert first == second and re.fullmatch(r"[0-9a-f]{64}\n", first)
    assert first.strip() not in json.dumps(lines)
    assert launcher._start_all(place, []) == 0 and (tmp_path / "0").read_text() != first  # of that run only


def test_training_does_not_see_the_secret():
    place = Placement({"localhost": ("0",)}, 0, "127.0.0.1")
    assert SECRET not in launcher.commands.environment_for(place, {SECRET: OURS, "HOME": "/"})


def test_a_run_across_machines_without_a_secret_ends_before_anything_listens():
    environment = {key: value for key, value in os.environ.items() if key != SECRET}
    place = {"NNODES": "2", "NODE_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "2950"}
    done = subprocess.run(
        [sys.executable, "-m", "rl.launch", "sft", "no.yaml"],
        env={**environment, **place},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2 and SECRET in done.stderr and "Traceback" not in done.stderr
