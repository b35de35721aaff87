"""`kie-hvqa ARGUMENTS` with linear weights that vLLM leaves as they were loaded. Run: python -m tests.vllm.grpo_unpacked …

vLLM's CPU backend packs them anew once they are loaded, and TRL's weight sync then finds nothing to load into. On a GPU
nothing is packed; here a plain product takes its place, and everything else is vLLM's and TRL's own.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import torch
import trl.generation.vllm_generation as rollouts
from vllm.model_executor.layers import utils

from kie_hvqa.cli import main


def leave(layer: Any, remove_weight: bool) -> None:
    layer.cpu_linear = torch.nn.functional.linear


if __name__ == "__main__":
    utils.dispatch_cpu_unquantized_gemm = leave
    rollouts.LLM = partial(rollouts.LLM, enforce_eager=True)  # compiling takes longer than two generations
    sys.exit(main(sys.argv[1:]))
