"""What is remembered of every entity: an arena of slots, ring buffers, array helpers."""
