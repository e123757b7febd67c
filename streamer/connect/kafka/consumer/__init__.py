"""Reading topics as a group member or standalone: assignment, offsets, decoding, health."""
