"""Whom and what documents speak of: holders, sellers, sums, and the rules of those who issue them. No pixels here."""
