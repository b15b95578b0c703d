"""Talks with a guest and keeps it running (core: session, ring, budget; shell: supervisor)."""
