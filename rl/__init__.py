"""The training room: models, warm start, GRPO, preflight and checkpoints.

Everything that touches TRL's, DeepSpeed's or transformers' classes lives here, behind one module each.
"""

import os

# TRL reports every trainer that is made to a hub. Read once, when huggingface_hub is imported: hence here.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
