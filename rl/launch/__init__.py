"""Starts a training stage: on one process, on several of one machine, or on several machines."""
