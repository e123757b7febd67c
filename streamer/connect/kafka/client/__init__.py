"""The Kafka client: settings, security, log limits, and patches for speed."""
