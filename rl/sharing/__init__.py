"""What the completions of one prompt need to compute only once: image features, the prompt's prefix, its KV cache.

``features`` keeps the frozen vision tower's output, ``packing`` lays a micro-batch out so that the loss pass reads
each prompt once, ``decode`` samples a group from one prefill, ``trainer`` puts the three into TRL's GRPOTrainer.
The numbers are plain TRL's to rounding: ``tests/rl/sharing/test_sharing.py`` holds them side by side, ``python -m studies.benches.training``
measures what it buys.
"""
