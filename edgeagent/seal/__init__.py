"""Turns summaries into sealed batches and back: compress, sign as the board, encrypt to the owner (COSE)."""
