"""`python -m workbench.cli` is the same program as `workbench`."""

import sys

from workbench.cli import main

# The engine's child is spawned, which imports this file again under another name.
if __name__ == "__main__":
    sys.exit(main())
