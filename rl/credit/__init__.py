"""Credit by slot: which tokens of an answer decide which slot of its field."""
