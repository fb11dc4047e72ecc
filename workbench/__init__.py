"""Headless core of Inference Workbench: runs, measures, prices and stores, and knows no window."""

__version__ = "0.1.0"
