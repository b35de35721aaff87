"""Reference readers and the ceiling: what a score is worth beside them.

The references are computed from the ledger without a model: *refuses all* (the empty answer, always), *prints all* (the printed value,
hidden or not; about an absent field something all the same) and *drops all* (the clear characters, their words one space apart, and
never a mark; where none is clear that is the empty answer). Nothing that they do well is reading and marking.

A run's *ceiling* is its own reading with perfect marks: every hidden slot marked, every partial slot that it reads wrongly or
leaves out marked, an absent or unreadable field refused. Clear slots, and what it inserts, stay as they are. The rest up to the
ceiling is lost in marking, what the ceiling lacks is lost in reading.

All four are functions of how many slots of each kind a question has and what the run did with them, so they cost a few sums
over columns. ``tests/kie_hvqa/scoring/test_references.py`` holds them to what ``verdicts`` says of such answers.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kie_hvqa.answers.verdicts import COLUMNS, PLACES
from kie_hvqa.scoring.statistics import Matrix
from kie_hvqa.scoring.strata import column, strata

_CLASSES = ("clear", "partial", "hidden", "derivable")


def refuses_all(counted: Matrix) -> Matrix:
    """[questions, ``COLUMNS``] of the reader that always refuses, from those of any reader of the same questions."""
    made = _asked(counted)
    for name in _CLASSES:
        _put(made, f"{name}_marked", column(counted, name))
    _says(made, column(counted, "clear") > 0)
    _put(made, "free", (column(counted, "questions") > 0) & (column(counted, "clear") == 0))
    return made


def prints_all(counted: Matrix) -> Matrix:
    """Likewise of the reader that always prints the value, all of it in the clear list."""
    made = _asked(counted)
    for name in _CLASSES:
        _put(made, f"{name}_right", column(counted, name))
    absent = column(counted, "absent")
    _put(made, "unflagged", column(counted, "clear"))
    _put(made, "inserted", absent)
    _put(made, "false_answers", absent)
    there = (column(counted, "questions") > 0) & (absent == 0)
    _put(made, "free", there & (column(counted, "hidden") == 0))
    return made


def drops_all(counted: Matrix) -> Matrix:
    """Likewise of the reader that writes the clear characters alone and says nothing of the others."""
    made = _asked(counted)
    silent = column(counted, "clear") > 0
    _put(made, "clear_right", column(counted, "clear"))
    _put(made, "unflagged", column(counted, "clear"))
    lost = np.zeros(len(counted))
    for name in _CLASSES[1:]:
        number = column(counted, name)
        _put(made, f"{name}_dropped", number * silent)
        _put(made, f"{name}_marked", number * ~silent)
        lost += number
    _put(made, "missing_said", column(counted, "missing") * ~silent)
    _put(made, "free", (column(counted, "questions") > 0) & (~silent | (lost == 0)))
    return made


def ceiling(counted: Matrix) -> Matrix:
    """[questions, ``COLUMNS``] of the run ``counted`` with perfect marks."""
    made = counted.copy()
    _put(made, "hidden_marked", column(counted, "hidden"))
    for name in ("partial", "derivable"):
        unread = sum(column(counted, f"{name}_{said}") for said in ("wrong", "dropped"))
        _put(made, f"{name}_marked", column(counted, f"{name}_marked") + unread)
    for name in (
        "hidden_right",
        "hidden_wrong",
        "hidden_dropped",
        "partial_wrong",
        "partial_dropped",
        "derivable_wrong",
    ):
        _put(made, name, 0)
    _put(made, "derivable_dropped", 0)
    nothing = strata(counted) == 4
    for name in ("inserted", "listed", "surplus_marks", "false_answers"):
        _put(made, name, column(counted, name) * ~nothing)
    over_refused = column(counted, "clear_marked") > 0
    _says(made, over_refused)
    read = (column(counted, "clear_right") == column(counted, "clear")) & (column(counted, "clear") > 0)
    clean = (column(made, "inserted") == 0) & (column(made, "listed") == 0)
    partial_only = strata(counted) == 3
    parsed = column(counted, "parsed") > 0
    _put(made, "free", nothing | (clean & parsed & (read | partial_only)))
    return made


REFERENCES: dict[str, Callable[[Matrix], Matrix]] = {
    "refuses_all": refuses_all,
    "prints_all": prints_all,
    "drops_all": drops_all,
}


def _asked(counted: Matrix) -> Matrix:
    """Zeros but for what is asked."""
    made = np.zeros_like(counted)
    for name in ("questions", "absent", "missing", "parsed"):
        _put(made, name, column(counted, "questions" if name == "parsed" else name))
    return made


def _says(made: Matrix, over_clear: np.ndarray) -> None:
    """The answer says that something is missing wherever it is, and wherever it marks a clear slot."""
    missing = column(made, "missing")
    _put(made, "missing_said", missing)
    _put(made, "missing_said_wrongly", (missing == 0) & (over_clear | (column(made, "surplus_marks") > 0)))


def _put(made: Matrix, name: str, numbers: Matrix | int) -> None:
    assert name in COLUMNS, name
    made[:, PLACES[name][0]] = numbers
