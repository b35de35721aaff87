"""A module with linear weights that vLLM leaves as they were loaded. Run: python -m tests.vllm.unpacked MODULE …

vLLM's CPU backend packs them anew once they are loaded, and TRL's weight sync then finds nothing to load into. On a GPU
nothing is packed; here a plain product takes its place, and everything else is vLLM's and TRL's own.
"""

from __future__ import annotations

import runpy
import sys
from functools import partial
from typing import Any

import torch
import trl.generation.vllm_generation as rollouts
from vllm.model_executor.layers import utils


def leave(layer: Any, remove_weight: bool) -> None:
    layer.cpu_linear = torch.nn.functional.linear


if __name__ == "__main__":
    utils.dispatch_cpu_unquantized_gemm = leave
    # Compiling takes longer than two generations. TRL names no dtype, and for weights in float32 vLLM takes half of it.
    rollouts.LLM = partial(rollouts.LLM, enforce_eager=True, dtype="float32")
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
