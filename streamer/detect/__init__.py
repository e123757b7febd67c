"""Pure detection: numpy and the standard library only; no I/O, no threads, no wall clock."""
