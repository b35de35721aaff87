"""Forget a person: what a reader memorised of identity cards is taken back, and a report says what is left of it.

The story: ``run.py`` trains by ``recipe.py``; ``rows.py`` says what is learned from whom, ``losses.py`` what a method adds up,
``trainer.py`` is TRL's with that loss. ``measure.py`` and ``attacks.py`` look at both models, ``report.py`` writes it down.
"""
