"""What the machines of a run tell one another: what each says of itself, again every second, in a store on the first of them.

torch's collectives find a machine that is gone after up to half an hour and name nobody, and torchrun's agents wait likewise. So
each launcher counts up in torch's own store (TCPStore) and watches whether the others do: the first one all, the others the
first. The store listens on the address of MASTER_ADDR alone. Like torch's rendezvous on the port before it, it trusts whoever
reaches it.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from kie_hvqa.errors import InputError, WorkError
from rl.launch.ports import claim, own_address

BEAT = 1.0  # seconds
SILENCE = 15.0  # seconds after which a machine that no longer counts is lost
_ANSWER = timedelta(seconds=60)


class Machines:
    """``members`` are all machines by rank; ``said`` is what this one says, ``heard`` what others said last, by rank.

    The store may never answer once a cable is pulled, so that a thread alone asks it.
    """

    def __init__(self, members: Sequence[str], rank: int) -> None:
        self.members, self.rank = list(members), rank
        self.name, self.is_first = self.members[rank], rank == 0
        self.said: dict[str, Any] = {}
        self.heard: dict[int, dict[str, Any]] = {}
        self._others = list(range(1, len(self.members))) if self.is_first else [0]
        self._since: dict[int, float] = {}
        self._answered = 0.0
        self._gone, self._leaving = False, False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._exchange, daemon=True)

    def __enter__(self) -> Machines:
        return self

    def open(self, address: str, port: int, patience: float) -> None:
        """The first machine's: listen. The others': reach it, at most ``patience`` seconds.

        Raises InputError for a port that is taken, an address that is not this machine's, and a rank that another has;
        WorkError where nobody answers.
        """
        from torch.distributed import TCPStore  # type: ignore[attr-defined]  # here, since it takes seconds

        if self.is_first:
            here = own_address(address, self.members[1:])
            with socket.socket(socket.AF_INET6 if ":" in here else socket.AF_INET) as listener:
                remedy = "Choose another MASTER_PORT (the machines meet on the port after it), or mend MASTER_ADDR."
                claim(listener, port, f"port {port} of {here}, where the machines meet,", remedy, here)
                listener.listen(len(self.members))
                held = listener.detach()
            self.said = {"address": here}
            self._store = TCPStore(here, port, None, True, _ANSWER, wait_for_workers=False, master_listen_fd=held)
        else:
            self.said = {"address": self._reach(address, port, patience)}
            self._store = TCPStore(address, port, None, False, _ANSWER, wait_for_workers=False)
            self._refuse_twin()
        self._answered = time.monotonic()
        self._thread.start()

    def _reach(self, address: str, port: int, patience: float) -> str:
        """Wait until the first machine listens, since torch's client would print each try; from which address it is reached."""
        until = time.monotonic() + patience
        while True:
            try:
                with socket.create_connection((address, port), 5) as link:
                    return str(link.getsockname()[0])
            except OSError as error:
                if time.monotonic() > until:
                    raise WorkError(
                        f"{self.members[0]} did not answer at {address}:{port} within {patience:.0f} s ({error}). Start "
                        "the same line there with NODE_RANK=0, or mend MASTER_ADDR and MASTER_PORT."
                    ) from None
                time.sleep(0.5)

    def _refuse_twin(self) -> None:
        """One that was started anew finds what it said before; another machine of this rank goes on counting."""
        before = self._read(self.rank)
        if before is not None:
            time.sleep(3 * BEAT)
            if self._read(self.rank) != before:
                raise InputError(
                    f"{self.rank} has come already", field="NODE_RANK", remedy="Give every machine a number of its own."
                )

    def say(self, **more: Any) -> None:
        """Add ``more`` to what this machine says, at once."""
        self.said = {**self.said, **more}
        self._wake.set()

    def wait(self, heard: Callable[[], bool], seconds: float) -> bool:
        """Whether ``heard`` comes true within ``seconds``, and before the first machine is lost."""
        until = time.monotonic() + seconds
        while not heard():
            if time.monotonic() > until or (not self.is_first and self.lost()):
                return False
            time.sleep(0.1)
        return True

    def lost(self, broken: float | None = None) -> str | None:
        """Who is no longer heard of without having left; None: nobody. The first machine is heard of by its store.

        ``broken`` is when training broke somewhere (``time.monotonic``): a machine that has not counted on since is lost sooner.
        """
        now = time.monotonic()
        if not self.is_first and (self._gone or now - self._answered > SILENCE):
            return self.called(0)
        silent = [rank for rank, since in list(self._since.items()) if now - since > SILENCE]
        if broken is not None and now - broken > SILENCE / 2:
            silent += self._mute_since(broken)
        return self.called(silent[0]) if silent else None

    def called(self, rank: int) -> str:
        """The machine of ``rank`` by its name and, once it has been heard of, the address that it comes from."""
        address = self.heard.get(rank, {}).get("address")
        return self.members[rank] + (f" ({address})" if address else "")

    def all_outlived(self, moment: float) -> bool:
        """Whether every other machine that this one watches has counted on after ``moment`` (``time.monotonic``)."""
        return not self._mute_since(moment)

    def _mute_since(self, moment: float) -> list[int]:
        """What is read may be a beat old."""
        return [rank for rank, since in list(self._since.items()) if since < moment + 2 * BEAT]

    def __exit__(self, *_: object) -> None:
        """Leave, the first machine last: with it goes what the others have yet to read."""
        if not self._thread.is_alive():
            return
        if self.is_first:
            there = [rank for rank, since in list(self._since.items()) if time.monotonic() - since < 3 * BEAT]
            self.wait(lambda: all(self.heard[rank].get("left") for rank in there), 5 * BEAT)
        self._leaving = True
        self.say(left=True)
        self._thread.join(5 * BEAT)

    def _exchange(self) -> None:
        count = 0
        with contextlib.suppress(RuntimeError):
            while True:
                leaving, count = self._leaving, count + 1
                self._store.set(str(self.rank), json.dumps({**self.said, "count": count}))
                for rank in self._others:
                    if (said := self._read(rank)) is not None and said != self.heard.get(rank):
                        self.heard[rank], self._since[rank] = said, time.monotonic()
                        if said.get("left"):
                            del self._since[rank]
                self._answered = time.monotonic()
                if leaving:
                    return
                self._wake.wait(BEAT)
                self._wake.clear()
        self._gone = True

    def _read(self, rank: int) -> dict[str, Any] | None:
        if not self._store.check([str(rank)]):
            return None
        with contextlib.suppress(ValueError, RecursionError):  # a stranger's
            said = json.loads(self._store.get(str(rank)))
            return said if isinstance(said, dict) else None
        return None
