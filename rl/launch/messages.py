"""What launchers say to one another: one line each, signed with the run's secret, of known keys and bounded length.

Nothing of a line is looked into before its signature is right, so a stranger's bytes reach no parser. A signature covers
the nonces of both ends, the direction and the number of the line, so that no line can be said again or sent back.
What is signed is read no less strictly: another version of this launcher may have written it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import select
import time
from collections.abc import Mapping
from typing import Any

from kie_hvqa.errors import InputError

SECRET = "KIE_HVQA_LAUNCH_SECRET"  # the environment variable
LONGEST = 1 << 16  # bytes of one line
LONGEST_TEXT = 4000  # characters
NONCE = 64  # hexadecimal digits
_SHORTEST_SECRET = 16  # characters
_SECRET_BY = 60.0  # seconds in which the starter's machine says the secret
_TYPES: dict[str, type] = {
    "welcome": int, "rank": int, "description": dict, "go": str, "refuse": str, "status": int, "beat": int, "lost": str,
    "ended": int,
}  # fmt: skip


class Signer:
    """Signs the lines of one end of a connection, and checks those of the other."""

    def __init__(self, secret: str, nonces: bytes, *, first: bool) -> None:
        """``nonces`` are the first machine's and the other's; ``first`` says which of the two this end is."""
        self._key = hmac.digest(os.fsencode(secret), nonces, hashlib.sha256)
        self._own, self._other = (b"first", b"other") if first else (b"other", b"first")
        self._sent = self._taken = 0

    def sign(self, message: Mapping[str, Any]) -> bytes:
        """``message`` as a line. Too long texts are cut."""
        short = {key: value[:LONGEST_TEXT] if isinstance(value, str) else value for key, value in message.items()}
        text = json.dumps(short).encode()
        signature = self._signature(self._own, self._sent, text)
        self._sent += 1
        return signature + b" " + text + b"\n"

    def opened(self, line: bytes) -> dict[str, Any] | None:
        """The message of ``line`` (without its end); None where it was not signed so, or says nothing known."""
        signature, _, text = line.partition(b" ")
        if not hmac.compare_digest(signature, self._signature(self._other, self._taken, text)):
            return None
        self._taken += 1
        return read(text)

    def _signature(self, end: bytes, number: int, text: bytes) -> bytes:
        return hmac.new(self._key, b"%s %d %s" % (end, number, text), hashlib.sha256).hexdigest().encode()


def new_nonce() -> bytes:
    return secrets.token_hex(NONCE // 2).encode()


def read(text: bytes) -> dict[str, Any] | None:
    """A message of known keys, each of its type, its texts printable; None for anything else."""
    try:
        message = json.loads(text[: LONGEST + 1])
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict) or any(type(value) is not _TYPES.get(key) for key, value in message.items()):
        return None
    return {key: printable(value) if isinstance(value, str) else value for key, value in message.items()}


def printable(text: str) -> str:
    """Without line ends and control characters, which could write over a terminal; cut where it is too long."""
    return "".join(one if one.isprintable() else " " if one.isspace() else "?" for one in text[:LONGEST_TEXT])


def new_secret() -> str:
    return secrets.token_hex(32)


def secret_of(environment: Mapping[str, str]) -> str:
    """The run's secret as every machine's environment holds it. Raises InputError where it does not."""
    secret = environment.get(SECRET, "")
    if len(secret) < _SHORTEST_SECRET:
        what = f"at least {_SHORTEST_SECRET} characters" if secret else "several machines need it"
        raise InputError(
            f"{what}: without a secret anybody who reaches the port could join the run",
            field=SECRET,
            remedy=f"Give all of them the same, a new one for each run: export {SECRET}=$(openssl rand -hex 32). A "
            "hostfile and a Slurm batch script without `srun` need none.",
        )
    return secret


def secret_from(descriptor: int) -> str:
    """The first line of what the starter's machine says over ssh. Raises InputError where none comes."""
    until = time.monotonic() + _SECRET_BY
    line = b""
    while not line.endswith(b"\n") and len(line) <= LONGEST_TEXT:
        ready, _, _ = select.select([descriptor], [], [], max(0.0, until - time.monotonic()))
        one = os.read(descriptor, 1) if ready else b""  # no more than the line: the rest tells when the starter ends
        if not one:
            break
        line += one
    return secret_of({SECRET: line.decode("ascii", "replace").strip()})
