"""One TCP connection from every machine to the first: signed lines, a beat every two seconds, and who is lost.

The first machine listens on the port after MASTER_PORT, on the interface of MASTER_ADDR. A connection that closes is a machine
whose launcher died; one that is silent for ``SILENCE`` seconds is a machine that is gone. Collectives alone would notice that
after many minutes (gloo and NCCL wait up to half an hour) and would name nobody; torch's own store, and with it torchrun's
rendezvous, could carry the beats, but listens on every interface and knows no secret.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from rl.launch.messages import LONGEST, Signer

BEAT = 2.0  # seconds
SILENCE = 20.0  # seconds
_LAST_WORDS = 1.0  # seconds


class Lines:
    """What comes over a connection, line by line, none longer than ``LONGEST``."""

    def __init__(self, link: socket.socket) -> None:
        self._link, self._rest = link, b""

    def next(self, until: float) -> bytes:
        """The next line without its end, by ``until`` (``time.monotonic``), however slowly it comes. Raises OSError."""
        while b"\n" not in self._rest:
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError("it fell silent")
            self._link.settimeout(left)
            new = self._link.recv(LONGEST)
            if not new or len(self._rest) > LONGEST:
                raise ConnectionError("it closed the connection")
            self._rest += new
        line, _, self._rest = self._rest.partition(b"\n")
        return line


@dataclass(eq=False)
class Peer:
    """The other end of a connection; ``done`` once it has said that its share is over, ``silent`` once it says nothing."""

    name: str
    link: socket.socket
    signer: Signer
    done: bool = False
    silent: bool = False
    _sending: threading.Lock = field(default_factory=threading.Lock)

    def send(self, message: dict[str, Any]) -> None:
        """Raises OSError where the other end is gone."""
        with self._sending:
            self.link.sendall(self.signer.sign(message))


Heard = tuple[Peer, dict[str, Any] | None]
"""Who said something, and what; None: nothing more will come, see ``Peer.silent``."""


class Connections:
    """This machine's connections: the first machine's to all others, or another's to the first."""

    def __init__(self, members: list[str], rank: int, servers: Iterable[str] = ()) -> None:
        self.members, self.rank, self.servers = members, rank, frozenset(servers)
        self.peers: list[Peer] = []
        self._readers: list[threading.Thread] = []
        self._inbox: queue.Queue[Heard] = queue.Queue()
        self._over = threading.Event()

    @property
    def name(self) -> str:
        return self.members[self.rank]

    @property
    def first(self) -> bool:
        return self.rank == 0

    def __enter__(self) -> Connections:
        threading.Thread(target=self._beat, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Hangs up so that the last word arrives: to close with a beat unread would reset the connection."""
        self._over.set()
        until = time.monotonic() + _LAST_WORDS
        for peer in self.peers:
            with contextlib.suppress(OSError):
                peer.link.shutdown(socket.SHUT_WR)
        for reader in self._readers:
            reader.join(max(0.0, until - time.monotonic()))
        for peer in self.peers:
            peer.link.close()

    def add(self, peer: Peer, lines: Lines) -> None:
        self.peers.append(peer)
        self._readers.append(threading.Thread(target=self._read, args=(peer, lines), daemon=True))
        self._readers[-1].start()

    def tell(self, message: dict[str, Any]) -> None:
        """To everybody at the other ends; who does not hear it is found out by silence."""
        for peer in list(self.peers):
            with contextlib.suppress(OSError):
                peer.send(message)

    def listen(self, seconds: float) -> Iterator[Heard]:
        """What is said within ``seconds``, beats apart. What is not taken stays for the next call."""
        with contextlib.suppress(queue.Empty):
            yield self._inbox.get(timeout=seconds)
            while True:
                yield self._inbox.get_nowait()

    def _beat(self) -> None:
        while not self._over.wait(BEAT):
            self.tell({"beat": self.rank})

    def _read(self, peer: Peer, lines: Lines) -> None:
        try:
            while True:
                message = peer.signer.opened(lines.next(time.monotonic() + SILENCE))
                if message is None:  # nobody who knows the secret said that
                    break
                if "beat" not in message:
                    self._inbox.put((peer, message))
        except OSError as error:
            peer.silent = isinstance(error, TimeoutError)
        self._inbox.put((peer, None))
