"""The scripts of `packaging/demo_model` import each other by plain name: their folder is put on the path."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "packaging" / "demo_model"))
