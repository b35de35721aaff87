"""Documents, the damage that happens to them, and the ledger of what survives."""
