"""What a start will need, computed and never tried: steps, memory, time.

``plan`` puts it together. ``rehearsal`` runs one training step on the meta device (``kernels`` stands in for what that cannot
call), ``states`` counts weights and optimiser, ``batches`` the steps; on given ``devices`` that makes ``memory`` and
``duration``. ``rl.preflight.measure`` holds the plan against what a process really took.
"""
