"""Completions: how a group of them is sampled, by whom, whether they can be trusted, and where they are kept."""
