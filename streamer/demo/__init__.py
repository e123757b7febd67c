"""The demonstration: production parts on simulated streams, judged against known faults."""
