"""Boards need a cache that takes minutes to build: they run when they are asked for by name, as `make boards` does."""

collect_ignore = ["test_boards.py"]
