"""Takes sealed batches from the spool to the collector and forgets only what was acknowledged."""
