"""Why Kafka does not answer as it should: the cause in words, and the fix."""
