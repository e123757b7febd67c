"""Writing to topics: alerts, dead letters and replayed records, with acknowledgements."""
