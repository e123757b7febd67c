"""Scoring of files, and measurements on recorded rows: quality, capacity, windows, plots."""
