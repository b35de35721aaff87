"""The training room: models, warm start, GRPO, preflight and checkpoints.

Everything that touches TRL's, DeepSpeed's or transformers' classes lives here, behind one module each.
"""
