"""How large the study is: one setting for the numbers of docs/refusal.md, one that a test runs."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Setting:
    """Documents by set (four questions each), steps and rows of a warm start, and what probing takes.

    ``train`` … ``twins`` documents; ``steps`` of ``batch`` rows a warm start, ``few`` rows of the arm that learns from few; ``pairs`` of a
    clean page and a damaged one at most for a direction; ``probed`` training rows that are answered ``samples`` times; ``probing``
    steps of a prober; ``checking`` times ``steps`` for readers that learn to check, whose answers are longer; ``asked`` rows of the
    suite ``wording``; ``together`` answers a batch. ``judged`` sets (``pages.JUDGED``), ``coefficients`` of editing, ``thresholds`` of
    refusal tokens, and ``proportions`` of marks for their retrained rivals.
    """

    train: int = 400
    validation: int = 60
    test: int = 200
    unseen: int = 100
    twins: int = 40
    steps: int = 80
    batch: int = 32
    learning_rate: float = 6e-4
    pairs: int = 50
    probed: int = 800
    samples: int = 5
    asked: int = 16
    together: int = 64
    few: int = 500
    resamples: int = 1000
    probing: int = 300
    checking: int = 4
    judged: tuple[str, ...] = ("test", "operator", "kind")
    coefficients: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0)
    thresholds: tuple[float, ...] = (0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98)
    proportions: tuple[float, ...] = (0.5, 2.0)

    def scaled(self, train: int) -> Setting:
        """The same study with ``train`` documents to learn from, the other sets in proportion, four documents at least."""
        sets = {
            name: max(4, round(getattr(self, name) * train / self.train))
            for name in ("validation", "test", "unseen", "twins")
        }
        return replace(self, train=train, **sets)


STUDY = Setting()
SMALL = Setting(
    train=8, validation=4, test=6, unseen=1, twins=2, steps=2, batch=4, pairs=6, probed=8, samples=2, asked=0, together=16,
    few=6, resamples=20, probing=20, checking=1, judged=("test",), coefficients=(4.0,), thresholds=(0.5,), proportions=(),
)  # fmt: skip
