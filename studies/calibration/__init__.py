"""Holds the legibility labels against readers that nobody here wrote, and fits the constants behind them.

``trials`` damages printed lines and asks ``readers`` (RapidOCR's recogniser, Tesseract) what they still read; ``fit``
finds the constants of the ideal observer, of the comparison for real documents and the two thresholds;
``summary`` says how well evidence predicts the readers on documents that the fit never saw; ``figure`` draws it.

Run: ``python -m studies.calibration --help``. docs/legibility.md has the method and the last result.
"""
