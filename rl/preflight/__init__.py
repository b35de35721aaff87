"""Everything that can be known about a training stage before it starts, in the order of what it costs to find out.

    ./launch.sh grpo configs/grpo/tiny.yaml --dry-run

Each check yields a line that says what was found; the first thing wrong is an InputError that names it and what to
do. No weights are loaded, nothing is written, and no process but this one runs, so that it can be asked anywhere,
for any number of processes, without a GPU and without a network. ``checks`` tells the story: what is ``checked`` lies in
one room, what is ``planned`` in another, and ``measure`` holds the plan against a process that ran. ``rl.launch.meeting``
holds several machines against each other.
"""

from rl.preflight.checks import run
from rl.preflight.finding import Finding

__all__ = ["Finding", "run"]
