"""Machines meet, agree or refuse together, and say why; strangers end nothing by what they send."""

from __future__ import annotations

import contextlib
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
import torch.distributed  # noqa: F401 - seconds, for which no machine should have to wait here

from kie_hvqa.errors import InputError, WorkError
from rl.launch import machines, meeting, ports
from rl.launch.description import Description, agree, described
from rl.launch.machines import Machines
from rl.launch.placement import Placement

MEMBERS = {"one": ("0",), "two": ("0",)}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(machines, "BEAT", 0.2)
    monkeypatch.setattr(meeting, "_SEEN_BY", 0.5)


def come(rank: int, port: int, *, members=MEMBERS, address="127.0.0.1", patience=60.0, out=None, **said) -> str:
    place = Placement(members, rank, address, port)
    with Machines(place.members, rank) as own:
        return meeting.meet(place, own, Description(f"host-{own.name}", **said), patience, out)


def both(port: int, one: dict, two: dict) -> list[str | Exception]:
    """What each of two machines is told."""

    def told(rank: int, said: dict) -> str | Exception:
        try:
            return come(rank, port, **said)
        except (InputError, WorkError) as error:
            return error

    with ThreadPoolExecutor() as pool:
        return list(pool.map(told, (0, 1), (one, two)))


@pytest.mark.parametrize(
    ("one", "two", "words"),
    [
        ({"versions": {"trl": "1.16.0"}}, {"versions": {"trl": "1.15.2"}}, ["trl is 1.15.2", "1.16.0", "constraints"]),
        ({"layout": "8+8"}, {"layout": "4+4"}, ["counts 4+4 processes and the other 8+8", "NPROC"]),
        ({"code": "a"}, {"code": "b"}, ["project's code", "same commit"]),
        ({"recipe": "a"}, {"recipe": "b"}, ["the recipe is not the same", "key=value"]),
        ({"data": "a"}, {"data": "b"}, ["the dataset is not the same", "Copy it"]),
        ({}, {"error": "data/cards: no such dataset. Fetch it.", "status": 2}, ["data/cards: no such dataset"]),
    ],
)
def test_machines_that_differ_do_not_agree(one, two, words):
    with pytest.raises(InputError) as caught:
        agree({"one": Description("host-one", **one), "two": Description("host-two", **two)})
    assert all(word in str(caught.value) for word in [*words, "two (host-two)"])


def test_another_versions_description_is_told_as_such():
    assert described({"host": "a"}) == Description("a")
    for said in ({"host": "a", "cards": 1}, {}, None, []):
        with pytest.raises(InputError, match="launcher is of another version"):
            agree({"one": Description("a"), "two": described(said)})


def test_machines_that_agree_begin_and_the_output_directory_is_left_as_it_was(port, tmp_path):
    out = tmp_path / "out"
    assert both(port, {"out": out}, {"out": out}) == [agree({"one": Description(""), "two": Description("")})] * 2
    assert not list(out.iterdir())


@pytest.mark.parametrize("wrong", [0, 1])
def test_what_is_wrong_on_one_machine_is_told_on_both(port, wrong):
    said = [{}, {}]
    said[wrong] = {"error": "data/cards: no such dataset. Fetch it.", "status": 2}
    for told in both(port, *said):
        assert isinstance(told, Exception) and told.exit_status == 2
        assert "data/cards: no such dataset" in str(told)


def test_an_output_directory_that_one_machine_does_not_see_is_refused(port, tmp_path):
    for told in both(port, {"out": tmp_path / "here"}, {"out": tmp_path / "there"}):
        assert isinstance(told, Exception) and told.exit_status == 2
        assert "output_dir" in str(told) and "what one writes there is not seen here" in str(told)
    assert not (tmp_path / "there").exists()


def test_an_output_directory_that_cannot_be_made_is_told_on_both(port, tmp_path):
    (tmp_path / "file").touch()
    for told in both(port, {"out": tmp_path / "file" / "out"}, {"out": tmp_path}):
        assert isinstance(told, Exception) and told.exit_status == 2 and "cannot be written" in str(told)


def test_who_does_not_come_is_named(port):
    with pytest.raises(WorkError, match="two did not come within 1 s"):
        come(0, port, patience=1)
    with pytest.raises(WorkError, match=r"one did not answer at 127\.0\.0\.1"):
        come(1, port, patience=1)


def test_machines_that_count_others_differently_say_so(port):
    three = {**MEMBERS, "three": ("0",)}
    one, two = both(port, {"patience": 3}, {"members": three})
    assert isinstance(two, InputError) and "counts 3 machines and one 2" in str(two)
    assert isinstance(one, WorkError) and "two did not come" in str(one)


def test_a_rank_that_another_machine_has_is_refused(port):
    with Machines(list(MEMBERS), 0) as first, Machines(list(MEMBERS), 1) as second:
        first.open("127.0.0.1", port, 10)
        second.open("127.0.0.1", port, 10)
        assert first.wait(lambda: 1 in first.heard, 10)
        with pytest.raises(InputError, match="1 has come already"), Machines(list(MEMBERS), 1) as twin:
            twin.open("127.0.0.1", port, 10)


def test_a_busy_port_and_a_meeting_place_elsewhere_are_told(port):
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", port + 1))
        busy.listen()
        with pytest.raises(InputError, match="where the machines meet, cannot be used"):
            come(0, port)
    with pytest.raises(InputError, match=r"192\.0\.2\.1, where the machines meet, cannot be used") as caught:
        come(0, port, address="192.0.2.1")
    assert "MASTER_ADDR" in caught.value.remedy


def test_bytes_of_strangers_end_nothing_and_only_the_named_address_listens(port):
    with ThreadPoolExecutor() as pool:
        first = pool.submit(come, 0, port)
        until = time.monotonic() + 60
        held = []
        while not held:
            with contextlib.suppress(OSError):
                held.append(socket.create_connection(("127.0.0.1", port + 1)))
            assert time.monotonic() < until
        listening = {one.laddr.ip for one in psutil.Process().net_connections() if one.laddr.port == port + 1}
        assert listening == {"127.0.0.1"}
        for said in (b"a", b'{"rank": 1}\n', b"[" * 60_000, b"\xff\0" * 500):
            held.append(socket.create_connection(("127.0.0.1", port + 1)))
            with contextlib.suppress(OSError):
                held[-1].sendall(said)
        assert come(1, port) == first.result(60)
    for link in held:
        link.close()


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
