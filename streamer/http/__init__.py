"""The HTTP side of a running service: the API, health and metrics."""
