"""streamer: streaming real-time anomaly detection. Importing it loads nothing heavy."""

__version__ = "0.1.0"
