"""From answers to numbers: scores, strata, reference readers, metrics, intervals, risk and comparison."""
