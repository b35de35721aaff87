"""A free rendezvous port for launchers of several machines, which are all on this one."""

from __future__ import annotations

import random
import socket
from contextlib import suppress

import pytest


@pytest.fixture
def port() -> int:
    """The rendezvous port; launchers meet on the one after it. Neither is one that the system gives to whoever connects."""
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with suppress(OSError), socket.socket() as here, socket.socket() as next_to_it:
            here.bind(("", port))
            next_to_it.bind(("", port + 1))
            return port
