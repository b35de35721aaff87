"""Taking a port of this machine, or saying which one could not be had and what to do."""

from __future__ import annotations

import socket

from kie_hvqa.errors import InputError


def claim(listener: socket.socket, port: int, name: str, remedy: str) -> None:
    """Bind ``listener`` to ``port`` on every address (0: any free port). InputError with ``name`` and ``remedy``."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("", port))
    except OSError as error:
        raise InputError(f"{name} cannot be used ({error.strerror})", field="MASTER_PORT", remedy=remedy) from None
