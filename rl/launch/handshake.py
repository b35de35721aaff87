"""How machines are let into a run: only who knows the run's secret, in ``INTRODUCTION`` seconds, strangers beside one another.

The first machine says a nonce; the other answers with its own, its rank and its description, signed (``messages``), and is
told ``welcome``. Each stranger has a thread, so none holds the others up.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kie_hvqa.errors import WorkError
from rl.launch.connections import SILENCE, Connections, Lines, Peer
from rl.launch.description import Description
from rl.launch.messages import NONCE, SECRET, Signer, new_nonce
from rl.launch.ports import claim, own_address

INTRODUCTION = 10.0  # seconds
_WAITING = 64  # strangers at a time; beyond that the one that has waited longest goes
_NAMED = 8  # strangers told to the user
_HEX = frozenset(b"0123456789abcdef")


@dataclass(eq=False)
class _Arrival:
    """Who said a whole line: a machine of this run, or, with ``description`` None, somebody who does not know the secret."""

    address: str
    link: socket.socket
    lines: Lines
    signer: Signer
    rank: int = -1
    description: Description | None = None


def gather(address: str, port: int, connections: Connections, secret: str, patience: float) -> dict[str, Description]:
    """The first machine's meeting: waits for a description from each of the others, at most ``patience`` seconds.

    Raises InputError for a port that is taken or an address that is not this machine's, WorkError naming who did not come.
    """
    expected = set(range(1, len(connections.members)))
    found: dict[str, Description] = {}
    unknown: set[str] = set()
    here = own_address(address, connections.members[1:])
    until = time.monotonic() + patience
    with _arrivals(here, port, secret) as arrivals:
        while expected:
            try:
                came = arrivals.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                missing = [connections.members[rank] for rank in sorted(expected)]
                raise _missing(missing, patience, here, port, unknown) from None
            if came.description is None:
                if came.address not in unknown and len(unknown) < _NAMED:
                    unknown.add(came.address)
                    said = f"{came.address} knocked without this run's secret and is not let in"
                    print(f"launch.sh: {said}", file=sys.stderr, flush=True)
                continue
            name = connections.members[came.rank] if came.rank in expected else ""
            peer = Peer(f"{name} ({came.address})", came.link, came.signer)
            with contextlib.suppress(OSError):  # found out when it is listened to
                peer.send({"welcome": came.rank} if name else _not_awaited(connections, came.rank))
            if name:
                connections.add(peer, came.lines)
                expected.discard(came.rank)
                found[name] = came.description
            else:
                came.link.close()
    return found


@contextmanager
def _arrivals(here: str, port: int, secret: str) -> Iterator[queue.Queue[_Arrival]]:
    """Listens on ``port`` of ``here``; whoever says a whole line in time is put into the queue."""
    arrivals: queue.Queue[_Arrival] = queue.Queue()
    waiting: list[socket.socket] = []
    over = threading.Event()
    with socket.socket(socket.AF_INET6 if ":" in here else socket.AF_INET) as listener:
        remedy = "Choose another MASTER_PORT (the machines meet on the port after it), or mend MASTER_ADDR."
        claim(listener, port, f"port {port} of {here}, where the machines meet,", remedy, here)
        listener.listen(_WAITING)
        listener.settimeout(0.2)
        door = threading.Thread(target=_open, args=(listener, over, waiting, secret, arrivals), daemon=True)
        door.start()
        try:
            yield arrivals
        finally:
            over.set()
            door.join()
            for link in list(waiting):
                _shut(link)
            while not arrivals.empty():  # they came when the meeting was over
                arrivals.get_nowait().link.close()


def _open(
    listener: socket.socket, over: threading.Event, waiting: list[socket.socket], secret: str, arrivals: queue.Queue
) -> None:
    while not over.is_set():
        try:
            link, address = listener.accept()
        except OSError:  # nobody came within a moment, or went away again
            continue
        waiting.append(link)
        for crowd in waiting[:-_WAITING]:
            _shut(crowd)
        threading.Thread(
            target=_introduced, args=(link, str(address[0]), waiting, secret, arrivals), daemon=True
        ).start()


def _introduced(
    link: socket.socket, address: str, waiting: list[socket.socket], secret: str, arrivals: queue.Queue
) -> None:
    nonce, lines = new_nonce(), Lines(link)
    try:
        link.settimeout(INTRODUCTION)
        link.sendall(nonce + b"\n")
        line = lines.next(time.monotonic() + INTRODUCTION)
    except OSError:
        line = None
    with contextlib.suppress(ValueError):  # a crowd pushed it out
        waiting.remove(link)
    if line is None:
        return link.close()
    other, _, signed = line.partition(b" ")
    came = _Arrival(address, link, lines, Signer(secret, nonce + other, first=True))
    said = came.signer.opened(signed) if len(other) == NONCE else None
    if said and "rank" in said:
        came.rank, came.description = said["rank"], Description.read(said.get("description"))
    if came.description is None:
        link.close()
    arrivals.put(came)


def _shut(link: socket.socket) -> None:
    """Whoever waits for something from it wakes."""
    with contextlib.suppress(OSError):
        link.shutdown(socket.SHUT_RDWR)


def _not_awaited(connections: Connections, rank: int) -> dict[str, str | int]:
    said = f"NODE_RANK: {rank} is none of the others' of {len(connections.members)} machines. Count them from 0."
    if 0 < rank < len(connections.members):
        said = f"NODE_RANK: {rank} has come already. Give every machine a number of its own."
    return {"refuse": said, "status": 2}


def _missing(names: Sequence[str], patience: float, here: str, port: int, unknown: set[str]) -> WorkError:
    said = (
        f" {', '.join(sorted(unknown))} came without this run's secret: {SECRET} must be the same." if unknown else ""
    )
    return WorkError(
        f"{', '.join(names)} did not come within {patience:.0f} s. Start the same line there, with its own NODE_RANK, "
        f"and let it reach port {port} of {here}.{said}"
    )


def join(
    address: str, port: int, connections: Connections, description: Description, secret: str, patience: float
) -> dict[str, Any]:
    """Another machine's meeting: reaches the first one, at most ``patience`` seconds, and describes itself.

    Returns what it is told first: ``welcome`` or ``refuse``. Raises WorkError where nobody answers who knows the secret.
    """
    until = time.monotonic() + patience
    while True:
        try:
            link = socket.create_connection((address, port), timeout=5)
            try:
                return _introduce(link, f"{connections.members[0]} ({address})", connections, description, secret)
            except BaseException:
                link.close()
                raise
        except OSError as error:
            if time.monotonic() > until:
                raise WorkError(
                    f"{connections.members[0]} did not answer at {address}:{port} within {patience:.0f} s ({error}). Start "
                    f"the same line there with NODE_RANK=0, or mend MASTER_ADDR and MASTER_PORT; {SECRET} must be the same."
                ) from None
            time.sleep(0.5)


def _introduce(
    link: socket.socket, name: str, connections: Connections, description: Description, secret: str
) -> dict[str, Any]:
    """Raises OSError where the other end is not, or not yet, this run's first machine."""
    lines, until = Lines(link), time.monotonic() + INTRODUCTION
    nonce = lines.next(until)
    if len(nonce) != NONCE or not _HEX.issuperset(nonce):
        raise ConnectionError("something else answers there")
    own = new_nonce()
    peer = Peer(name, link, Signer(secret, nonce + own, first=False))
    link.sendall(own + b" " + peer.signer.sign({"rank": connections.rank, "description": description.to_json()}))
    said = peer.signer.opened(lines.next(until + SILENCE))
    if not said:
        raise ConnectionError("it does not know this run's secret")
    connections.add(peer, lines)
    return said
