"""Keeping the model fresh: what is learnt, judged, promoted, watched, and taken back."""
