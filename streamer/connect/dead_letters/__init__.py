"""Records that were refused: kept with their reason, looked at, and sent again."""
