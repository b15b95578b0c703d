"""Input log, checkpoints and spool: what must survive a power cut, bounded in bytes."""
