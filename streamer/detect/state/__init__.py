"""The memory of every entity: an arena of slots, ring buffers, array helpers."""
