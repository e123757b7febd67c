"""The hot path: from what a source brings to scores, alerts and committed positions."""
