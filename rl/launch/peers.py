"""Machines that meet before a run, and watch one another while it lasts.

Every machine keeps one TCP connection to the first one, on the port after MASTER_PORT and the interface of MASTER_ADDR:
signed lines (``messages``). They meet there with their cards (``node``), and the first machine says whether to go. Then
each sends a beat every two seconds. A connection that closes is a machine whose launcher died; one that is silent for
``SILENCE`` seconds is a machine that is gone. Collectives alone would notice that after many minutes (gloo and NCCL wait
up to half an hour), and would name nobody; torch's own store could carry the beats, but listens on every interface and
knows no secret.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from rl.launch.messages import LONGEST, Seal

BEAT = 2.0  # seconds
SILENCE = 20.0  # seconds


@dataclass
class Peer:
    """One end of a connection: who is at the other, and when they were last heard."""

    name: str
    link: socket.socket
    seal: Seal
    heard: float = field(default_factory=time.monotonic)
    done: bool = False
    rest: bytes = b""

    def send(self, message: dict[str, Any]) -> None:
        """Raises OSError where the other end is gone."""
        self.link.sendall(self.seal.sign(message))

    def receive(self) -> list[dict[str, Any]] | None:
        """What has come since the last call; None once the other end has closed, or says what it cannot have said."""
        try:
            new = self.link.recv(LONGEST)
        except BlockingIOError:
            return []
        except OSError:
            return None
        if not new or len(self.rest) > LONGEST:
            return None
        self.heard = time.monotonic()
        *lines, self.rest = (self.rest + new).split(b"\n")
        messages = [self.seal.opened(line) for line in lines]
        return None if None in messages else [message for message in messages if message is not None]


def _hang_up(link: socket.socket) -> None:
    """Close so that the last word arrives: to close with a beat unread would reset the connection, and what is under way is lost."""
    until = time.monotonic() + 1.0
    with contextlib.suppress(OSError):
        link.shutdown(socket.SHUT_WR)
        link.settimeout(0.3)
        while time.monotonic() < until and link.recv(LONGEST):
            pass
    link.close()


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
            _hang_up(peer.link)
        self._selector.close()

    def add(self, peer: Peer, said: Iterable[dict[str, Any]] = ()) -> None:
        """``said`` is what it has said already."""
        peer.link.settimeout(SILENCE)
        self.peers.append(peer)
        self._inbox.extend((peer, message) for message in said)
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
