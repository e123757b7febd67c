"""Writes the reference documents from the code."""
