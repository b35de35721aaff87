"""Names of machines as they are written: DeepSpeed's hostfile, and Slurm's short form of a list of nodes."""

from __future__ import annotations

import re
from pathlib import Path

from kie_hvqa.errors import InputError

_NAMES = r"(?:[^,\[\]]|\[[^\[\]]+\])+"  # names with one common form, node[01-04]-ib


def read_hostfile(path: Path) -> dict[str, tuple[str, ...]]:
    """DeepSpeed's hostfile, ``HOST slots=N`` a line, ``#`` comments. Raises InputError naming the line."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the hostfile ({error})", file=path, remedy="Check the path.") from None
    nodes: dict[str, tuple[str, ...]] = {}
    for number, line in enumerate(lines, start=1):
        line = line.partition("#")[0].strip()
        if not line:
            continue
        entry = re.fullmatch(r"(\S+)\s+slots=([1-9]\d*)", line)
        if entry is None:
            raise InputError("not a host", file=path, line=number, remedy="A line is `HOST slots=N`.")
        if entry[1] in nodes:
            raise InputError(f"{entry[1]} stands twice", file=path, line=number, remedy="Add its slots up on one line.")
        nodes[entry[1]] = tuple(str(slot) for slot in range(int(entry[2])))
    if not nodes:
        raise InputError("the hostfile names no host", file=path, remedy="A line is `HOST slots=N`.")
    return nodes


def expand_slurm(nodelist: str) -> list[str]:
    """``gpu[01-03,7],login`` → gpu01, gpu02, gpu03, gpu7, login. Containers often lack Slurm's own `scontrol`.

    Raises InputError for a list that is not one.
    """
    if not re.fullmatch(rf"{_NAMES}(,{_NAMES})*", nodelist):
        raise _no_list(nodelist)
    names: list[str] = []
    for part in re.findall(_NAMES, nodelist):
        expanded = [""]
        for plain, ranges in re.findall(r"([^,\[\]]+)|\[([^\[\]]+)\]", part):
            pieces = [plain] if plain else _numbers(ranges, nodelist)
            expanded = [head + piece for head in expanded for piece in pieces]
        names += expanded
    return names


def _numbers(ranges: str, nodelist: str) -> list[str]:
    """``01-03,7`` → 01, 02, 03, 7: zeros in front are kept."""
    found: list[str] = []
    for span in ranges.split(","):
        first, _, last = span.partition("-")
        last = last or first
        if not (first.isdecimal() and last.isdecimal() and int(first) <= int(last)):
            raise _no_list(nodelist)
        found += [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)]
    return found


def _no_list(nodelist: str) -> InputError:
    return InputError(
        f"{nodelist!r} is no list of nodes", field="SLURM_JOB_NODELIST", remedy="Slurm writes node[01-04],other."
    )
