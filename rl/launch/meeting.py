"""Before a run on several machines: each checks itself, they meet, and they begin together or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from kie_hvqa.errors import InputError, WorkError
from rl.launch.description import Description, agree, described
from rl.launch.machines import SILENCE, Machines
from rl.launch.placement import Placement

_REFUSING = 20.0  # seconds that the first machine waits for the others only to tell them what is wrong
_SEEN_BY = 10.0  # seconds: network file systems take some to show a new file


class Told(WorkError):
    """What another machine, or an earlier step, has put into words already, with its exit status."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.exit_status = status


def checked(check: Callable[[], Description], empty: Description) -> Description:
    """The description of this machine, with the first thing that ``check`` found wrong in it."""
    try:
        return check()
    except (InputError, WorkError) as error:
        return replace(empty, error=str(error), status=error.exit_status)


def meet(place: Placement, machines: Machines, own: Description, patience: float, out: Path | None = None) -> str:
    """All machines' descriptions held against each other; what they agree on. Raises InputError or WorkError on every machine.

    ``out`` is the directory that all must share, since checkpoints are written by all and read by all: the first leaves a
    mark there, and the others look for it. None: nothing is to be written.
    """
    assert place.address is not None
    if not machines.is_first:
        machines.open(place.address, place.watch_port, patience)
        return _follow(machines, own, patience, out)
    with _marked(out if own.error is None else None, own) as (own, mark):
        machines.open(place.address, place.watch_port, patience)
        machines.say(machines=len(machines.members), mark=mark)
        try:
            said = _decide(machines, own, patience)
        except (InputError, WorkError) as error:
            where = f"{machines.name} ({own.host}): " if own.error else ""
            machines.say(refuse=f"{where}{error}", status=error.exit_status)
            raise
    machines.say(go=said)
    return said


def _decide(machines: Machines, own: Description, patience: float) -> str:
    others = range(1, len(machines.members))

    def missing() -> list[str]:
        return [machines.members[rank] for rank in others if "description" not in machines.heard.get(rank, {})]

    came = machines.wait(lambda: not missing(), patience if own.error is None else _REFUSING)
    if own.error is not None:
        raise Told(own.error, own.status)
    if not came:
        raise WorkError(
            f"{', '.join(missing())} did not come within {patience:.0f} s. Start the same line there, with its own "
            f"NODE_RANK, and let it reach the port after MASTER_PORT."
        )
    found = {machines.members[rank]: described(machines.heard[rank]["description"]) for rank in others}
    return agree({machines.name: own, **found})


def _follow(machines: Machines, own: Description, patience: float, out: Path | None) -> str:
    def first(key: str) -> Any:
        return machines.heard.get(0, {}).get(key)

    if not machines.wait(lambda: first("machines") is not None, SILENCE):
        raise WorkError(
            f"what answers for {machines.members[0]} is no launcher of this run. Mend MASTER_ADDR and MASTER_PORT."
        )
    if first("machines") != len(machines.members):
        what = f"this machine counts {len(machines.members)} machines and {machines.members[0]} {first('machines')}"
        raise InputError(what, field="NNODES", remedy="Give all the same.")
    if own.error is None and out is not None and first("mark"):
        mark = out / first("mark")
        if not machines.wait(mark.exists, _SEEN_BY) or not os.access(out, os.W_OK):
            what = f"{out}: output_dir: what {machines.members[0]} writes there is not seen here, or cannot be changed"
            remedy = "Name a directory on storage that all machines share: checkpoints lie in pieces of every process"
            own = replace(own, error=f"{what}. {remedy}.", status=InputError.exit_status)
    machines.say(description=asdict(own))
    machines.wait(lambda: bool(first("go") or first("refuse")), patience + SILENCE)
    if own.error is not None:  # told here in its own words, and there as this machine's
        raise Told(own.error, own.status)
    if first("refuse"):
        raise Told(first("refuse"), first("status"))
    if not first("go"):
        raise WorkError(f"{machines.members[0]} went away before the run began; what it printed says why.")
    return first("go")


@contextmanager
def _marked(out: Path | None, own: Description) -> Iterator[tuple[Description, str]]:
    """``own``, and the name of a file that stands in ``out`` meanwhile; or ``own`` with what kept it from being put there."""
    if out is None:
        yield own, ""
        return
    mark = out / f".meeting-{secrets.token_hex(8)}"
    try:
        out.mkdir(parents=True, exist_ok=True)
        mark.touch()
    except OSError as error:
        what = f"{out}: output_dir: cannot be written ({error.strerror}). Mend its permissions."
        yield replace(own, error=what, status=InputError.exit_status), ""
        return
    try:
        yield own, mark.name
    finally:
        with contextlib.suppress(OSError):
            mark.unlink()


def say_error(stage: str, error: Exception) -> None:
    sys.stdout.flush()
    sys.stderr.write(f"launch.sh {stage}: {error}\n")  # in one piece: other machines' processes write here too
    sys.stderr.flush()
