"""The cloud end: receives sealed batches, verifies, deduplicates, stores, acknowledges and exports. Extra `cloud`."""
