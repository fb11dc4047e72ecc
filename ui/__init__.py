"""The PySide6 window: shows and asks, and leaves everything else to `workbench`."""
