"""A free rendezvous port for launchers of several machines, which are all on this one."""

from __future__ import annotations

import socket

import pytest


@pytest.fixture
def port() -> int:
    """The rendezvous port; launchers meet on the one after it."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]
