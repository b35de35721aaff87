"""``make gpu-check MINUTES=8``: what one GPU says about the recipes of large models, in minutes, without weights or network.

Each part runs in a process of its own with a time-out of its own, the most important first: ``setting`` says what they are,
``models`` makes the models, ``steps`` holds plain TRL against this project, ``work`` is a part's process, ``table`` what is told.
"""
