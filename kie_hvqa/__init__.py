"""KIE-HVQA: what a reader says about a damaged document, held against what its pixels support.

This package is the benchmark itself: the vocabulary, the answer format, the scores, the readers, the
evaluator and the command line. It imports neither the simulator, the rewards nor the trainers, and
importing it does not import torch.
"""

__version__ = "0.1.0"
