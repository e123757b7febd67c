"""Files to scores, and what is measured on recorded rows: quality, capacity, windows, plots."""
