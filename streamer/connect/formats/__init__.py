"""Bytes of a record to columns: decoders, and what an unknown format seems to be."""
