"""Files, pipes and standard input as sources and as rows; files for alerts and scores."""
