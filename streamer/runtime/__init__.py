"""The hot path: from the records of a source to scores, alerts and committed positions."""
