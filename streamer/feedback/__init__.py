"""Labels: read, joined to their incidents, stored, and delivered to the detectors."""
