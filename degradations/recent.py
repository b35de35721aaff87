"""What was made last and may be asked for again, up to a number of bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """Keeps values of together at most ``limit`` bytes, and the newest whatever it takes; the least recently used leaves
    first. ``size`` says what a value takes, in bytes. A copy in another process starts empty: values are not sent there."""

    def __init__(self, limit: int, size: Callable[[V], int]) -> None:
        self._limit, self._room, self._size = limit, limit, size
        self._kept: OrderedDict[K, V] = OrderedDict()

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self._limit, self._size))

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: K, make: Callable[[], V]) -> V:
        """The value under ``key``, which ``make`` makes where it is not kept."""
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        value = self._kept[key] = make()
        self._room -= self._size(value)
        while self._room < 0 and len(self._kept) > 1:
            self._room += self._size(self._kept.popitem(last=False)[1])
        return value
