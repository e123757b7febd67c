"""Diagnosis of Kafka problems: the cause in words, and the fix."""
