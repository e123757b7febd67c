"""Kafka: sources, alert sinks and dead letters.

The client library is imported where it is used, not here.
"""
