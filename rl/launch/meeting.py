"""Before a run on several machines: each checks itself, they meet, and they begin together or not at all."""

from __future__ import annotations

import contextlib
import secrets
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from kie_hvqa.errors import InputError, WorkError
from rl.launch.connections import SILENCE, Connections
from rl.launch.description import Description, agree
from rl.launch.handshake import gather, join
from rl.launch.placement import Placement

_REFUSING = 20.0  # seconds that the first machine waits for the others only to tell them what is wrong


def checked(check: Callable[[], Description], empty: Description) -> Description:
    """The description of this machine, with the first thing that ``check`` found wrong in it."""
    try:
        return check()
    except (InputError, WorkError) as error:
        return replace(empty, error=str(error), status=error.exit_status)


def meet(
    place: Placement, connections: Connections, own: Description, secret: str, patience: float, out: Path | None = None
) -> str:
    """All machines' descriptions held against each other; what they agree on. Raises InputError or WorkError on every machine.

    ``out`` is the directory that all must share, since checkpoints are written by all and read by all: each leaves a
    mark there, and the first machine looks for it. None: nothing is to be written.
    """
    assert place.address is not None
    if connections.first:
        return _decide(place.address, place.watch_port, connections, own, secret, patience, out)
    mark = None if out is None or own.error is not None else out / f".meeting-{secrets.token_hex(8)}"
    try:
        shown = own if mark is None else checked(lambda: _marked(own, mark), own)
        decision = join(place.address, place.watch_port, connections, shown, secret, patience)
        if "refuse" not in decision:
            decision = _decision(connections, patience + SILENCE)
    finally:
        if mark is not None:
            with contextlib.suppress(OSError):
                mark.unlink()
    if shown.error is not None:  # told here in its own words, and there as this machine's
        raise _as_told(shown.error, shown.status)
    if "refuse" in decision:
        raise _as_told(decision["refuse"], decision.get("status", 2))
    return decision["go"]


def _decision(connections: Connections, patience: float) -> dict[str, Any]:
    """What the first machine says once all have come: a message with ``go`` or ``refuse``. Raises WorkError."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        for peer, message in connections.listen(0.5):
            if message is None:
                raise WorkError(f"{peer.name} went away before the run began; what it printed says why.")
            if "go" in message or "refuse" in message:
                return message
    raise WorkError(f"{connections.members[0]} did not say within {patience:.0f} s whether to begin.")


def _decide(
    address: str, port: int, connections: Connections, own: Description, secret: str, patience: float, out: Path | None
) -> str:
    try:
        others = gather(address, port, connections, secret, patience if own.error is None else _REFUSING)
        said = agree({connections.name: own, **others})
        if out is not None:
            _seen(out, connections.name, others)
    except (InputError, WorkError) as error:
        if own.error is None:
            connections.tell({"refuse": str(error), "status": error.exit_status})
            raise
        connections.tell({"refuse": f"{connections.name} ({own.host}): {own.error}", "status": own.status})
        raise _as_told(own.error, own.status) from None
    connections.tell({"go": said})
    return said


def _marked(own: Description, mark: Path) -> Description:
    try:
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
    except OSError as error:
        raise InputError(
            f"cannot be written ({error.strerror})",
            file=mark.parent,
            field="output_dir",
            remedy="Mend its permissions.",
        ) from None
    return replace(own, mark=mark.name)


def _seen(out: Path, here: str, others: Mapping[str, Description]) -> None:
    """Network file systems may take some seconds to show a new file."""
    until = time.monotonic() + 10
    marks = {f"{name} ({other.host})": out / other.mark for name, other in others.items() if other.mark}
    while marks := {name: mark for name, mark in marks.items() if not mark.exists()}:
        if time.monotonic() > until:
            raise InputError(
                f"{here} does not see what {', '.join(marks)} writes there",
                file=out,
                field="output_dir",
                remedy="Name a directory on storage that all machines share: checkpoints lie in pieces of every process.",
            )
        time.sleep(0.2)


def _as_told(text: str, status: int) -> Exception:
    """An error that another machine, or an earlier step, has put into words already."""
    if status == WorkError.exit_status:
        return WorkError(text)
    what, _, remedy = text.rstrip(".").rpartition(". ")
    return InputError(what or remedy, remedy=f"{remedy}." if what else "See above.")


def say_error(stage: str, error: Exception) -> None:
    sys.stdout.flush()
    sys.stderr.write(f"launch.sh {stage}: {error}\n")  # in one piece: other machines' processes write here too
    sys.stderr.flush()
