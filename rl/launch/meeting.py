"""Before a run on several machines: each checks itself, they meet, and they begin together or not at all."""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from kie_hvqa.errors import InputError, WorkError
from rl.launch.door import gather, join
from rl.launch.node import Card, agree
from rl.launch.peers import SILENCE, Circle
from rl.launch.placement import Placement

_REFUSING = 20.0  # seconds that the first machine waits for the others only to tell them what is wrong


def checked(check: Callable[[], Card], empty: Card) -> Card:
    """The card of this machine, with the first thing that ``check`` found wrong on it."""
    try:
        return check()
    except (InputError, WorkError) as error:
        return replace(empty, error=str(error), status=error.exit_status)


def meet(place: Placement, circle: Circle, own: Card, secret: str, patience: float) -> str:
    """All machines' cards held against each other; what they agree on. Raises InputError or WorkError on every machine."""
    if circle.first:
        return _decide(place, circle, own, secret, patience)
    assert place.address is not None
    join(place.address, place.watch_port, circle, own, secret, patience)
    decision = _decision(circle, patience + SILENCE)
    if own.error is not None:  # told here in its own words, and there as this machine's
        raise _as_told(own.error, own.status)
    if "refuse" in decision:
        raise _as_told(decision["refuse"], decision.get("status", 2))
    return decision["go"]


def _decision(circle: Circle, patience: float) -> dict[str, Any]:
    """What the first machine says once all have come: a message with ``go`` or ``refuse``. Raises WorkError."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        for peer, message in circle.listen(0.5):
            if message is None:
                raise WorkError(f"{peer.name} went away before the run began; what it printed says why.")
            if "go" in message or "refuse" in message:
                return message
    raise WorkError(f"{circle.members[0]} did not say within {patience:.0f} s whether to begin.")


def _decide(place: Placement, circle: Circle, own: Card, secret: str, patience: float) -> str:
    said: str
    assert place.address is not None
    try:
        cards = gather(place.address, place.watch_port, circle, secret, patience if own.error is None else _REFUSING)
        if own.error is None:
            said = agree({circle.name: own, **cards})
    except (InputError, WorkError) as error:
        if own.error is None:
            circle.tell({"refuse": str(error), "status": error.exit_status})
            raise
    if own.error is not None:
        circle.tell({"refuse": f"{circle.name} ({own.host}): {own.error}", "status": own.status})
        raise _as_told(own.error, own.status)
    circle.tell({"go": said})
    return said


def share(circle: Circle, out: Path) -> None:
    """Every machine must see the same output directory: checkpoints are written by all and read by all.

    Raises InputError on every machine where one does not.
    """
    if circle.first:
        mark = out / f".meeting-{secrets.token_hex(8)}"
        out.mkdir(parents=True, exist_ok=True)
        mark.touch()
        try:
            circle.tell({"mark": mark.name})
            blind = ", ".join(name for name, seen in _answers(circle, "sees", len(circle.peers)) if not seen)
        finally:
            mark.unlink()
        circle.tell({"blind": blind})
    else:
        ((_, name),) = _answers(circle, "mark", 1)
        circle.tell({"sees": _appears(out / name)})
        ((_, blind),) = _answers(circle, "blind", 1)
    if blind:
        raise InputError(
            f"{blind} does not see what {circle.members[0]} writes there",
            file=out,
            field="output_dir",
            remedy="Name a directory on storage that all machines share: checkpoints lie in pieces of every process.",
        )


def _answers(circle: Circle, key: str, count: int) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    until = time.monotonic() + 3 * SILENCE
    while len(found) < count:
        if time.monotonic() > until:
            raise WorkError("the other machines stopped answering while the run began; what they printed says why")
        for peer, message in circle.listen(0.5):
            if message is None:
                raise WorkError(f"{peer.name} went away while the run began; what it printed says why")
            if key in message:
                found.append((peer.name, message[key]))
            if len(found) == count:
                break
    return found


def _appears(path: Path) -> bool:
    """Network file systems may take some seconds to show a new file."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        if path.exists():
            return True
        time.sleep(0.2)
    return False


def _as_told(text: str, status: int) -> Exception:
    """An error that another machine, or an earlier step, has put into words already."""
    if status == WorkError.exit_status:
        return WorkError(text)
    what, _, remedy = text.rstrip(".").rpartition(". ")
    return InputError(what or remedy, remedy=f"{remedy}." if what else "See above.")


def say_error(stage: str, error: Exception) -> None:
    sys.stdout.flush()
    print(f"launch.sh {stage}: {error}", file=sys.stderr, flush=True)
