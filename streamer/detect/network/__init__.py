"""The dual-stream network as arithmetic: features, one step, anchored lanes, densities."""
