"""A trainer that sends a rollout server no weights: NCCL, over which TRL sends them, needs a GPU at both ends.

So the server keeps the weights that it was started with, which are the trainer's own in its first step. All else is TRL's
and vLLM's own. Run: python -m tests.vllm.unsent MODULE …
"""

from __future__ import annotations

import runpy
import sys

from trl.generation.vllm_client import VLLMClient

if __name__ == "__main__":
    VLLMClient.init_communicator = lambda self, device=0: None
    VLLMClient.update_named_params = lambda self, metadata, named_params: None
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
