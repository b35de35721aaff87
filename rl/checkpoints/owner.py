"""Whose a checkpoint is, before it is resumed from: DeepSpeed unpickles its states, and a pickle runs what it likes.

What others own or can write to is refused. The directories above the stage's own are the user's to keep.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
from pathlib import Path

from kie_hvqa.errors import InputError


def check_owner(checkpoint: Path) -> None:
    """InputError where somebody else owns, or could have changed, anything in ``checkpoint`` or put it where it is."""
    paths = [checkpoint.parent, checkpoint]
    for folder, folders, names in os.walk(checkpoint):
        paths += [Path(folder, name) for name in (*folders, *names)]
    for path in paths:
        why = _foreign(path.lstat())
        if why is not None:
            raise InputError(
                f"{why}, and what a checkpoint holds is run when it is loaded",
                file=path,
                remedy=f"If you trust it: chown -R {os.geteuid()} {checkpoint.parent}; chmod -R go-w {checkpoint.parent}.",
            )


def _foreign(status: os.stat_result) -> str | None:
    if status.st_uid not in (os.geteuid(), 0):
        return f"it belongs to user {status.st_uid}"
    if stat.S_ISLNK(status.st_mode):
        return "it is a symbolic link"
    if stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX:
        return None  # sticky: others may add names there, but neither rename nor remove ours
    if status.st_mode & stat.S_IWOTH:
        return "everybody can write to it"
    if status.st_mode & stat.S_IWGRP and not _own_group(status.st_gid):
        return f"group {status.st_gid} can write to it"
    return None


def _own_group(group: int) -> bool:
    """Whether ``group`` is the user's alone: many systems give everybody a group of the same name, and umask 002."""
    try:
        name, held = pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(group)
    except KeyError:
        return False
    return held.gr_name == name and set(held.gr_mem) <= {name}
