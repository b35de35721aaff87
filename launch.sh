#!/usr/bin/env bash
# One launcher, from one process to many nodes; what it takes and reads is told by ./launch.sh --help.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=${PYTHON:-}
if [ -z "$python" ]; then
    python=$here/.venv/bin/python
    [ -x "$python" ] || python=python3
fi
export PYTHONPATH=$here${PYTHONPATH:+:$PYTHONPATH}
exec "$python" -m rl.launch "$@"
