"""Finds out what this board can run: evidence gathered by a shell, a verdict made by a core."""
