"""Forgetting people: a tiny reader is over-trained until covered cards leak, and every method is asked to undo it (docs/forgetting.md)."""
