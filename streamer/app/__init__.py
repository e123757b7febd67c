"""The process: its parts, and how they are built, started, supervised and stopped."""
