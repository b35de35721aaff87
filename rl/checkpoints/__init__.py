"""Model directories of a training stage: opened, saved, described."""
