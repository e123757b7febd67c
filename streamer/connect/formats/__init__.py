"""Decoders from bytes of records to columns, and detection of unknown formats."""
