"""Runs on disk: the only package that opens SQLite."""
