"""How sure a reader is of each symbol it wrote, and what may be asserted under a promised risk."""
