"""What the rooms beside it stand on: time limits, paces, TLS, files that are on disk."""
