"""Crash evidence: what a guest left when it ended, bounded on disk, and played again (core: record, retention)."""
