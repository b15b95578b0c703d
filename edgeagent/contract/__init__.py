"""Core: checks what a guest says against the bounds of its unit before anything believes it."""
