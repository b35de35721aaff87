"""Rows, ledgers, images and files: what the benchmark reads and writes, and what was wrong with it."""
