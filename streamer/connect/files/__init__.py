"""Files, pipes and standard input: as sources, as rows, and as places for alerts and scores."""
