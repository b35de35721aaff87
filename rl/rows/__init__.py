"""Dataset rows as a trainer takes them: where they come from, in which order, and as what."""
