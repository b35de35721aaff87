"""How often the intervals hold: see ``python -m studies.coverage --help``."""
