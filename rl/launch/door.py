"""How machines are let into a run: the first one's door, where only who knows the run's secret gets in, and the knock.

The first machine says a nonce, the other answers with its own, its rank and its card, signed (``messages``), and is told
``welcome``. Whoever knocks has ``INTRODUCTION`` seconds for all of it, and strangers wait beside one another, so none holds
the others up.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from kie_hvqa.errors import WorkError
from rl.launch.messages import LONGEST, NONCE, SECRET, Seal, new_nonce
from rl.launch.node import Card
from rl.launch.peers import SILENCE, Circle, Peer
from rl.launch.ports import claim, own_address

INTRODUCTION = 10.0  # seconds
_WAITING = 64  # strangers at a time; beyond that the one that has waited longest goes
_NAMED = 8  # strangers told to the user
_HEX = frozenset(b"0123456789abcdef")


@dataclass(eq=False)
class _Stranger:
    link: socket.socket
    address: str
    nonce: bytes = field(default_factory=new_nonce)
    until: float = field(default_factory=lambda: time.monotonic() + INTRODUCTION)
    text: bytes = b""

    def line(self) -> bytes | None:
        """The introduction, once it is whole. Raises ConnectionError where none will come."""
        new = self.link.recv(LONGEST)
        self.text += new
        if not new or len(self.text) > LONGEST:
            raise ConnectionError
        line, end, rest = self.text.partition(b"\n")
        if not end:
            return None
        self.text = rest
        return line


class _Door:
    """The strangers before it: each is heard when it says something, and goes when its time is over."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._waiting: list[_Stranger] = []
        self._selector = selectors.DefaultSelector()
        listener.setblocking(False)
        self._selector.register(listener, selectors.EVENT_READ)

    def close(self) -> None:
        while self._waiting:
            self.turn_away(self._waiting[0])
        self._selector.close()

    def turn_away(self, stranger: _Stranger) -> None:
        self.let_in(stranger)
        stranger.link.close()

    def let_in(self, stranger: _Stranger) -> None:
        self._waiting.remove(stranger)
        self._selector.unregister(stranger.link)

    def introduced(self, seconds: float) -> list[tuple[_Stranger, bytes]]:
        """Who said a whole line within ``seconds``, and the line."""
        found = []
        for key, _ in self._selector.select(seconds):
            stranger: _Stranger | None = key.data
            if stranger is None:
                with contextlib.suppress(OSError):  # it went away again
                    self._open()
                continue
            try:
                line = stranger.line()
            except BlockingIOError:
                continue
            except OSError:
                self.turn_away(stranger)
                continue
            if line is not None:
                found.append((stranger, line))
        silent = [one for one in self._waiting if all(one is not stranger for stranger, _ in found)]
        crowd = len(silent) - _WAITING
        for number, stranger in enumerate(silent):
            if number < crowd or stranger.until < time.monotonic():
                self.turn_away(stranger)
        return found

    def _open(self) -> None:
        link, address = self._listener.accept()
        link.setblocking(False)
        stranger = _Stranger(link, str(address[0]))
        try:
            link.send(stranger.nonce + b"\n")
        except OSError:
            link.close()
            return
        self._waiting.append(stranger)
        self._selector.register(link, selectors.EVENT_READ, stranger)


def gather(address: str, port: int, circle: Circle, secret: str, patience: float) -> dict[str, Card]:
    """The first machine's meeting: waits for a card from each of the others, at most ``patience`` seconds.

    Raises InputError for a port that is taken or an address that is not this machine's, WorkError naming who did not come.
    """
    expected = set(range(1, len(circle.members)))
    cards: dict[str, Card] = {}
    unknown: set[str] = set()
    here = own_address(address, circle.members[1:])
    with socket.socket(socket.AF_INET6 if ":" in here else socket.AF_INET) as listener:
        remedy = "Choose another MASTER_PORT (the machines meet on the port after it), or mend MASTER_ADDR."
        claim(listener, port, f"port {port} of {here}, where the machines meet,", remedy, here)
        listener.listen(_WAITING)
        until = time.monotonic() + patience
        with contextlib.closing(_Door(listener)) as door:
            while expected:
                if time.monotonic() > until:
                    raise _missing([circle.members[rank] for rank in sorted(expected)], patience, here, port, unknown)
                for stranger, line in door.introduced(min(0.5, max(0.0, until - time.monotonic()))):
                    known = _known(stranger, line, secret)
                    if known is None:
                        door.turn_away(stranger)
                        if stranger.address not in unknown and len(unknown) < _NAMED:
                            unknown.add(stranger.address)
                            said = f"{stranger.address} knocked without this run's secret and is not let in"
                            print(f"launch.sh: {said}", file=sys.stderr, flush=True)
                        continue
                    rank, card, seal = known
                    if rank not in expected:
                        with contextlib.suppress(OSError):
                            stranger.link.send(seal.sign({"refuse": _not_awaited(circle, rank), "status": 2}))
                        door.turn_away(stranger)
                        continue
                    door.let_in(stranger)
                    name = circle.members[rank]
                    peer = Peer(f"{name} ({stranger.address})", stranger.link, seal, rest=stranger.text)
                    circle.add(peer)
                    with contextlib.suppress(OSError):  # found out when it is listened to
                        peer.send({"welcome": rank})
                    expected.discard(rank)
                    cards[name] = card
    return cards


def _known(stranger: _Stranger, line: bytes, secret: str) -> tuple[int, Card, Seal] | None:
    """Rank, card and seal of who introduces itself with ``line``; None for a stranger."""
    nonce, _, signed = line.partition(b" ")
    if len(nonce) != NONCE:
        return None
    seal = Seal(secret, stranger.nonce + nonce, first=True)
    said = seal.opened(signed) or {}
    card = Card.read(said.get("card"))
    return None if card is None or "rank" not in said else (said["rank"], card, seal)


def _not_awaited(circle: Circle, rank: int) -> str:
    if 0 < rank < len(circle.members):
        return f"NODE_RANK: {rank} has come already. Give every machine a number of its own."
    return f"NODE_RANK: {rank} is none of the others' of {len(circle.members)} machines. Count them from 0."


def _missing(names: Sequence[str], patience: float, here: str, port: int, unknown: set[str]) -> WorkError:
    said = (
        f" {', '.join(sorted(unknown))} came without this run's secret: {SECRET} must be the same." if unknown else ""
    )
    return WorkError(
        f"{', '.join(names)} did not come within {patience:.0f} s. Start the same line there, with its own NODE_RANK, "
        f"and let it reach port {port} of {here}.{said}"
    )


def join(address: str, port: int, circle: Circle, card: Card, secret: str, patience: float) -> None:
    """Another machine's meeting: reaches the first one, at most ``patience`` seconds, and shows its card.

    Raises WorkError where nobody answers who knows the secret. What is answered is left in the circle.
    """
    until = time.monotonic() + patience
    while True:
        try:
            link = socket.create_connection((address, port), timeout=5)
            try:
                return _introduce(link, f"{circle.members[0]} ({address})", circle, card, secret)
            except BaseException:
                link.close()
                raise
        except OSError as error:
            if time.monotonic() > until:
                raise WorkError(
                    f"{circle.members[0]} did not answer at {address}:{port} within {patience:.0f} s ({error}). Start "
                    f"the same line there with NODE_RANK=0, or mend MASTER_ADDR and MASTER_PORT; {SECRET} must be the same."
                ) from None
            time.sleep(0.5)


def _introduce(link: socket.socket, name: str, circle: Circle, card: Card, secret: str) -> None:
    """Raises OSError where the other end is not, or not yet, this run's first machine."""
    until = time.monotonic() + INTRODUCTION
    nonce = b""
    while len(nonce) <= NONCE:
        link.settimeout(max(0.01, until - time.monotonic()))
        new = link.recv(NONCE + 1 - len(nonce))
        if not new:
            raise ConnectionError("it closed the connection")
        nonce += new
    if not _HEX.issuperset(nonce[:-1]) or nonce[-1:] != b"\n":
        raise ConnectionError("something else answers there")
    own = new_nonce()
    peer = Peer(name, link, Seal(secret, nonce[:-1] + own, first=False))
    link.sendall(own + b" " + peer.seal.sign({"rank": circle.rank, "card": card.to_json()}))
    while time.monotonic() < until + SILENCE:
        link.settimeout(max(0.01, until + SILENCE - time.monotonic()))
        said = peer.receive()
        if said is None:
            raise ConnectionError("it does not know this run's secret, or let another machine in")
        if said:
            return circle.add(peer, said)
    raise TimeoutError("it fell silent")
