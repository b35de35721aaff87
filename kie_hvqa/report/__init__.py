"""``kie-hvqa report``: runs as one HTML file that needs no network, no server and no library.

    write_report([Path("runs/demo/base"), Path("runs/demo/grpo")], Path("report.html"))

Scores with intervals, paired differences and what the data can tell apart; the same by severity, document type, question
kind and operator; risk against coverage, and the signals of confidence; suites; training curves; and every sample with its ledger over the picture. Its
parts: ``sources`` (what is shown), ``headline`` (tables), ``outcomes`` (strata), ``where`` (charts), ``suites``, ``training``, ``rollouts``, ``gallery`` with ``pictures``
``marking`` and ``confidence`` (samples), ``page`` (the document); ``charts`` draws, ``exports`` is for other programs. They say what is shown; the HTML is in ``templates``,
which escape whatever is put into them (``markup``), style and scripts are in ``assets``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from kie_hvqa.data.files import write_text
from kie_hvqa.errors import InputError
from kie_hvqa.report.gallery import gallery
from kie_hvqa.report.headline import ledger_section, official_section, paired, tiles
from kie_hvqa.report.outcomes import outcomes_section
from kie_hvqa.report.page import assemble
from kie_hvqa.report.rollouts import Replay, rollouts_section
from kie_hvqa.report.signals import signals_section
from kie_hvqa.report.sources import load_sources
from kie_hvqa.report.suites import suite_sections
from kie_hvqa.report.training import training_section
from kie_hvqa.report.where import risk_section, where_section
from kie_hvqa.runs.run_directory import shared_rows
from kie_hvqa.scoring.strata import strata_of

__all__ = ["PICTURES", "SAMPLES", "write_report"]

SAMPLES, PICTURES = 10_000, 100


def write_report(
    directories: Sequence[Path],
    out: Path,
    *,
    samples: int = SAMPLES,
    pictures: int = PICTURES,
    replay: Replay = lambda row: None,
) -> None:
    """Write the report about ``directories`` (runs, suites, training runs) to ``out``; differences are against the first run.

    ``replay`` makes the image of a rollout's row again, None where it cannot. ``samples`` bounds the gallery and ``pictures`` those of its pictures that go into the file, which decide its size. Raises
    InputError for a directory with nothing to show, and for runs that were not asked the same questions.
    """
    for option, value in (("--samples", samples), ("--pictures", pictures)):
        if value < 0:
            raise InputError(f"must not be negative, {value} is", field=option, remedy="Mend the value.")
    if out.is_dir():
        raise InputError("this is a directory", file=out, remedy="Name an .html file.")
    sources = load_sources(directories)
    runs = sources.runs
    sections: list[tuple[str, str, Markup]] = []
    at_a_glance, data = Markup(), None
    if runs:
        rows = shared_rows(runs)
        scores = [run.scores(rows) for run in runs]
        differences = paired(scores)
        at_a_glance = tiles(runs, differences)
        if any(run.record.private for run in runs):  # docs/privacy.md: no value, no answer, no picture
            shown = Markup("<p>The data is private, so its samples are not shown.</p>")
        else:
            shown, data = gallery(
                runs, rows, strata_of([own.counts for own in scores[0]]), samples, pictures, out.parent
            )
        sections = [
            ("ledger", "Ledger", ledger_section(runs, len(rows), differences)),
            ("strata", "Strata", outcomes_section(runs, scores)),
            ("where", "Where", where_section(runs)),
            ("risk", "Risk", risk_section(runs, scores, differences)),
            ("signals", "Signals", signals_section(runs)),
            ("official", "Official", official_section(runs, differences)),
        ]
    sections += [
        ("suite-0", "Suites", suite_sections(sources.suites)),
        ("training", "Training", training_section(sources.trainings, sources.names)),
        ("rollouts", "Rollouts", rollouts_section(sources.trainings, sources.names, replay)),
    ]
    if runs:
        sections.append(("gallery", "Samples", shown))
    page = assemble(sources, sections, at_a_glance, data)
    # A model may write half a surrogate pair, which no file can hold.
    write_text(out, page.encode("utf-8", "replace").decode("utf-8"))
