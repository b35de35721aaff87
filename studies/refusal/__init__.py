"""Refusal that is learnt: published methods as arms of one study on the embedded reader, compared at matched refusal.

=================  ============================================================  ===================================
arm                what it is                                                    module
=================  ============================================================  ===================================
token_probability  the base as it is, a threshold on its own probabilities       ``reference``
steering           AutoSteer: a prober on a frozen base, a head that it gates    ``steering``
editing            representation editing, no training                           ``editing``
four_cells         warm starts: answer always, oracle, naive, four cells         ``four_cells``
tokens             refusal tokens and their thresholds                           ``refusal_tokens``
check              answer, then check; against direct and check first            ``check``
=================  ============================================================  ===================================

They share the pages (``pages``), the frozen tower's features, hidden states and generation (``frame``), the warm start
(``lessons``), the evaluation (``judge``) and the suites (``suites``). Every reader here writes Final OCR alone: the lists of the official
format follow from it and cost three times its tokens. What was found: docs/refusal.md.

    python -m studies.refusal --out runs/refusal                           everything, one seed
    python -m studies.refusal --out runs/refusal --arms steering --small   one arm in a minute, to see that it runs
"""
