"""Rewards as plug-ins: from the string in a recipe to numbers that a trainer can rely on.

``locate`` finds the object, ``spec`` makes of it what TRL calls, ``sandbox`` runs it in a ``worker`` of its own (``wire`` is
what goes between the two), and ``check`` says beforehand whether a run can be trusted to it.
"""
