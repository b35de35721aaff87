"""Taking a port of this machine, and on which address; or saying which one could not be had and what to do."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Sequence

from kie_hvqa.errors import InputError


def claim(listener: socket.socket, port: int, name: str, remedy: str, address: str = "") -> None:
    """Bind ``listener`` to ``port`` (0: any free one) of ``address``, "" for all. InputError with ``name`` and ``remedy``."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address, port))
    except OSError as error:
        raise InputError(f"{name} cannot be used ({error.strerror})", field="MASTER_PORT", remedy=remedy) from None


def own_address(named: str, others: Sequence[str] = ()) -> str:
    """The address of this machine that ``named`` means. Debian lets a machine's own name mean its loopback: then the
    address from which it reaches the first of ``others`` that has one.

    Raises InputError where ``named`` has no address, or only loopback's.
    """
    try:
        found = str(socket.getaddrinfo(named, None, type=socket.SOCK_STREAM)[0][4][0])
    except (OSError, UnicodeError) as error:
        raise InputError(f"{named} has no address here ({error})", field="MASTER_ADDR", remedy="Mend it.") from None
    if named in ("localhost", found) or not ipaddress.ip_address(found.partition("%")[0]).is_loopback:
        return found
    for other in others:
        with contextlib.suppress(OSError, UnicodeError):
            family, kind, _, _, there = socket.getaddrinfo(other, 9, type=socket.SOCK_DGRAM)[0]
            with socket.socket(family, kind) as asked:
                asked.connect(there)  # sends nothing
                return str(asked.getsockname()[0])
    raise InputError(
        f"{named} is {found} on this machine, where no other reaches it",
        field="MASTER_ADDR",
        remedy="Write the address by which the others reach it.",
    )
