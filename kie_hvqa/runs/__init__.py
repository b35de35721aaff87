"""A reader over a dataset: the evaluator, its run directory, its predictions and its plan."""
