"""The process: which parts run, how they are put together, started, supervised and stopped."""
