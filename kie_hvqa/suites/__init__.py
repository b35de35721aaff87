"""Suites beside the benchmark: questions about a reader that one score over one dataset cannot answer.

=========  =========================================================  =======================================================
suite      reads                                                      asks
=========  =========================================================  =======================================================
clean      rows of severity 0                                         does it mark what nobody damaged? (``suites.clean``)
twins      pairs of a plausible and an implausible value, damaged     does it read pixels, or complete what is likely?
           alike                                                      (``suites.twins``)
nothing    pages on which nothing that is asked for stands            is the truth of a blank page, or of another, a refusal?
                                                                      (``suites.nothing``)
wording    the same rows under ten prompts                            do its marks hold when the question is put otherwise,
                                                                      or under pressure? (``suites.wording``)
=========  =========================================================  =======================================================

    kie-hvqa eval --suite twins --data DIR --reader SPEC --out OUT

What was read lies in ``OUT`` as that of any run (``wording``: in ``OUT/wordings/NAME``) and goes on after a kill; the result
is ``OUT/suite.json``. Which rows a suite takes: ``suites.rows``; how it is run: ``suites.run``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kie_hvqa.data.files import read_json
from kie_hvqa.errors import InputError

SUITES: tuple[str, ...] = ("twins", "wording", "clean", "nothing")
SUITE = "suite.json"
SCHEMA = "kie-hvqa-suite-1"


def read_suite(directory: Path) -> dict[str, Any] | None:
    """The ``suite.json`` of a directory; None where there is none. InputError for one of another version."""
    path = directory / SUITE
    if not path.is_file():
        return None
    data = read_json(path)
    if not isinstance(data, dict) or data.get("schema") != SCHEMA or data.get("suite") not in SUITES:
        raise InputError("not a suite's result of this version", file=path, remedy="Run the suite again.")
    return data
