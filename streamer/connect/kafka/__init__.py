"""Kafka: records in, alerts and dead letters out. The client library is imported where it is used,
never here.
"""
