"""Who is next: one answer is generated at a time, and no client waits behind all that another one sent.

A client is an address. Addresses take turns, each has a bounded number of requests under way and of bytes held, and whoever
asks for more is told to come again. Clients on one machine share an address, and so their turns.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from typing import Generic, TypeVar

MOST_REQUESTS = 64  # of one address, under way at the same time
MOST_BYTES = 128 << 20  # of one address's bodies, held at the same time

T = TypeVar("T")


class Busy(Exception):
    """This address has as much under way as it may have."""


class Shares:
    """What each address has under way. One event loop's own: no locks."""

    def __init__(self, most_requests: int = MOST_REQUESTS, most_bytes: int = MOST_BYTES) -> None:
        self._most_requests, self._most_bytes = most_requests, most_bytes
        self._requests: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()

    @contextlib.contextmanager
    def request(self, client: str) -> Iterator[None]:
        """A request's place for as long as it lasts. Busy where the address has none left."""
        if self._requests[client] >= self._most_requests:
            raise Busy
        self._requests[client] += 1
        try:
            yield
        finally:
            _less(self._requests, client, 1)

    @contextlib.contextmanager
    def body(self, client: str) -> Iterator[Held]:
        """Counts the bytes of a body that are held until the block ends."""
        held = Held(self._bytes, client, self._most_bytes)
        try:
            yield held
        finally:
            _less(self._bytes, client, held.size)


class Held:
    """The bytes of one body so far."""

    def __init__(self, all_held: Counter[str], client: str, most: int) -> None:
        self._all, self._client, self._most = all_held, client, most
        self.size = 0

    def add(self, count: int) -> None:
        """Busy where the address would hold too much."""
        if self._all[self._client] + count > self._most:
            raise Busy
        self._all[self._client] += count
        self.size += count


def _less(counts: Counter[str], key: str, by: int) -> None:
    counts[key] -= by
    if counts[key] <= 0:
        del counts[key]


class Turns(Generic[T]):
    """A queue between threads in which addresses take turns; within one, first come, first served."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, deque[T]] = OrderedDict()
        self._changed = threading.Condition()

    def put(self, client: str, item: T) -> None:
        with self._changed:
            self._waiting.setdefault(client, deque()).append(item)
            self._changed.notify()

    def take(self) -> T:
        """The next item; waits for one."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting)
            client, items = self._waiting.popitem(last=False)
            item = items.popleft()
            if items:
                self._waiting[client] = items  # behind all others
            return item

    def drop(self, client: str, item: T) -> None:
        """Forget ``item`` if it is still waiting."""
        with self._changed:
            items = self._waiting.get(client, deque())
            if item in items:
                items.remove(item)
            if not items:
                self._waiting.pop(client, None)
