"""Arithmetic that the operators share, each pure: blending, noise of page coordinates, other pixel grids, parts of a page."""
