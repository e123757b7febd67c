"""Writing topics: alerts, dead letters, replayed records; each until its own acknowledgement."""
