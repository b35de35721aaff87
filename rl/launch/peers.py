"""Machines that meet before a run, and watch one another while it lasts.

Every machine keeps one TCP connection to the first one, on the port after MASTER_PORT: JSON, one object a line. They
meet there with their cards (``node``), and the first machine says whether to go. Then each sends a beat every two
seconds. A connection that closes is a machine whose launcher died; one that is silent for ``SILENCE`` seconds is a
machine that is gone. Collectives alone would notice that after many minutes (gloo and NCCL wait up to half an hour),
and would name nobody.
"""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from kie_hvqa.errors import WorkError
from rl.launch.ports import claim

BEAT = 2.0  # seconds
SILENCE = 20.0  # seconds
_LONGEST = 1 << 20  # bytes of one message


@dataclass
class Peer:
    """One end of a connection: who is at the other, and when they were last heard."""

    name: str
    link: socket.socket
    heard: float = field(default_factory=time.monotonic)
    done: bool = False
    _rest: bytes = b""

    def send(self, message: dict[str, Any]) -> None:
        """Raises OSError where the other end is gone."""
        self.link.sendall(json.dumps(message).encode() + b"\n")

    def receive(self) -> list[dict[str, Any]] | None:
        """What has come since the last call; None once the other end has closed."""
        try:
            new = self.link.recv(1 << 16)
        except BlockingIOError:
            return []
        except OSError:
            return None
        if not new or len(self._rest) > _LONGEST:
            return None
        self.heard = time.monotonic()
        *lines, self._rest = (self._rest + new).split(b"\n")
        try:
            return [message for message in map(json.loads, lines) if isinstance(message, dict)]
        except ValueError:
            return None


class Circle:
    """This machine's connections: the first machine's to all others, or another's to the first."""

    def __init__(self, members: list[str], rank: int, servers: Iterable[str] = ()) -> None:
        self.members, self.rank, self.servers = members, rank, frozenset(servers)
        self.peers: list[Peer] = []
        self._selector = selectors.DefaultSelector()
        self._inbox: deque[tuple[Peer, dict[str, Any] | None]] = deque()
        self._beaten = 0.0

    @property
    def name(self) -> str:
        return self.members[self.rank]

    @property
    def first(self) -> bool:
        return self.rank == 0

    def __enter__(self) -> Circle:
        return self

    def __exit__(self, *_: object) -> None:
        for peer in self.peers:
            peer.link.close()
        self._selector.close()

    def add(self, peer: Peer) -> None:
        peer.link.setblocking(True)
        peer.link.settimeout(SILENCE)
        self.peers.append(peer)
        self._selector.register(peer.link, selectors.EVENT_READ, peer)

    def tell(self, message: dict[str, Any]) -> None:
        """To everybody at the other ends; who does not hear it is found out by silence."""
        for peer in self.peers:
            with contextlib.suppress(OSError):
                peer.send(message)

    def listen(self, seconds: float) -> Iterator[tuple[Peer, dict[str, Any] | None]]:
        """What is said within ``seconds``; None for a connection that closed. Beats are sent, and not passed on.

        What is not taken stays for the next call.
        """
        if time.monotonic() - self._beaten > BEAT:
            self._beaten = time.monotonic()
            self.tell({"beat": self.rank})
        for key, _ in self._selector.select(0 if self._inbox else seconds):
            peer: Peer = key.data
            messages = peer.receive()
            if messages is None:
                self._selector.unregister(peer.link)
                self._inbox.append((peer, None))
                continue
            self._inbox.extend((peer, message) for message in messages if "beat" not in message)
        while self._inbox:
            yield self._inbox.popleft()

    def silent(self) -> Peer | None:
        """A machine that has not been heard for too long."""
        late = time.monotonic() - SILENCE
        return next((peer for peer in self.peers if peer.heard < late and not peer.done), None)


def gather(port: int, circle: Circle, patience: float) -> dict[str, dict[str, Any]]:
    """The first machine's meeting: waits for a card from each of the others, at most ``patience`` seconds.

    Raises InputError for a port that is taken, WorkError naming who did not come.
    """
    expected = set(range(1, len(circle.members)))
    cards: dict[str, dict[str, Any]] = {}
    with socket.socket() as door:
        remedy = "Choose another MASTER_PORT: the machines meet on the port after it."
        claim(door, port, f"port {port}, where the machines meet,", remedy)
        door.listen(len(circle.members))
        until = time.monotonic() + patience
        while expected:
            door.settimeout(max(0.01, until - time.monotonic()))
            try:
                link, address = door.accept()
            except TimeoutError:
                missing = ", ".join(circle.members[rank] for rank in sorted(expected))
                raise WorkError(
                    f"{missing} did not come within {patience:.0f} s. Start the same line there, with its own "
                    f"NODE_RANK, and let it reach port {port} of this machine."
                ) from None
            said, rest = _introduced(link)
            if said is None or said["rank"] not in expected:
                link.close()  # somebody else's knock, or a second machine of the same rank
                continue
            expected.discard(said["rank"])
            name = circle.members[said["rank"]]
            cards[name] = said["card"]
            circle.add(Peer(f"{name} ({address[0]})", link, _rest=rest))
    return cards


def _introduced(link: socket.socket) -> tuple[dict[str, Any] | None, bytes]:
    """The first line that a machine says, its rank and its card, and what has come after it; None for nonsense."""
    link.settimeout(10)
    text = b""
    try:
        while b"\n" not in text and len(text) < _LONGEST:
            new = link.recv(1 << 16)
            if not new:
                return None, b""
            text += new
        line, _, rest = text.partition(b"\n")
        said = json.loads(line)
    except (OSError, ValueError):
        return None, b""
    whole = isinstance(said, dict) and isinstance(said.get("card"), dict) and isinstance(said.get("rank"), int)
    return (said if whole else None), rest


def join(address: str, port: int, circle: Circle, card: dict[str, Any], patience: float) -> None:
    """Another machine's meeting: reaches the first one, at most ``patience`` seconds, and shows its card.

    Raises WorkError where nobody answers.
    """
    until = time.monotonic() + patience
    while True:
        try:
            link = socket.create_connection((address, port), timeout=5)
            break
        except OSError as error:
            if time.monotonic() > until:
                raise WorkError(
                    f"{circle.members[0]} did not answer at {address}:{port} within {patience:.0f} s ({error}). Start "
                    "the same line there with NODE_RANK=0, or mend MASTER_ADDR and MASTER_PORT."
                ) from None
            time.sleep(0.5)
    peer = Peer(f"{circle.members[0]} ({address})", link)
    circle.add(peer)
    peer.send({"rank": circle.rank, "card": card})


def wait_for(circle: Circle, patience: float) -> dict[str, Any]:
    """What the first machine decides once all have come: a message with ``go`` or ``refuse``. Raises WorkError."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        for peer, message in circle.listen(0.5):
            if message is None:
                raise WorkError(f"{peer.name} went away before the run began; what it printed says why.")
            if "go" in message or "refuse" in message:
                return message
    raise WorkError(f"{circle.members[0]} did not say within {patience:.0f} s whether to begin.")
