"""Reading topics: a group member or a standalone reader, partitions, offsets, health."""
