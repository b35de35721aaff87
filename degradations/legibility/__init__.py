"""What the damaged pixels still support: evidence per slot, its label, and the rivals that remain plausible.

``ledger`` is the one entry for a field, ``compared`` for any other print: printed text goes to the ideal observer (``observer``, ``rivals``), real documents and
further prints of a value to a comparison of ink structure (``structure``); ``constants`` holds what both were
calibrated to. How well either predicts readers that nobody here made: docs/legibility.md.
"""

from degradations.legibility.constants import LegibilityModel
from degradations.legibility.judge import compared, ledger
from degradations.legibility.rivals import Print

__all__ = ["LegibilityModel", "Print", "compared", "ledger"]
