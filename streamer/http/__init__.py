"""What a running service says over HTTP: the API, health and metrics."""
