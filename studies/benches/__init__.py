"""How fast things are, as ratios against a named peer or a bare loop in the same run."""
