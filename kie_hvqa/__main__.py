"""``python -m kie_hvqa`` is ``kie-hvqa``."""

import sys

from kie_hvqa.cli import main

if __name__ == "__main__":
    sys.exit(main())
