"""Where a page is seen from, and how it bends."""
