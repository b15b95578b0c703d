"""What an update is, and whether it may be installed: manifests, their signatures, and what they ask for."""
