"""Dead letters: rejected records with their reason, kept for inspection and replay."""
