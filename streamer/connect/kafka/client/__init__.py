"""The Kafka client: settings, logins, and the parts of it that are replaced by faster ones."""
