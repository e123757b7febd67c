"""What people say about alerts: labels read, joined to their incidents, kept, and told to the
detectors.
"""
