"""Suites beside the benchmark: questions about a reader that one score over one dataset cannot answer.

=========  =========================================================  =======================================================
suite      reads                                                      asks
=========  =========================================================  =======================================================
clean      rows of severity 0                                         does it mark what nobody damaged? (``suites.clean``)
twins      pairs of a plausible and an implausible value, damaged     does it read pixels, or complete what is likely?
           alike                                                      (``suites.twins``)
wording    the same rows under ten prompts                            do its marks hold when the question is put otherwise,
                                                                      or under pressure? (``suites.wording``)
=========  =========================================================  =======================================================

    kie-hvqa eval --suite twins --data DIR --reader SPEC --out OUT

What was read lies in ``OUT`` as that of any run (``wording``: in ``OUT/wordings/NAME``) and goes on after a kill; the result
is ``OUT/suite.json``. Which rows a suite takes: ``suites.rows``; how it is run: ``suites.run``.
"""

SUITES: tuple[str, ...] = ("twins", "wording", "clean")
SUITE = "suite.json"
SCHEMA = "kie-hvqa-suite-1"
