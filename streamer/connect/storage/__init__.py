"""Where snapshots, models, incidents and labels are kept: a folder, SQLite or Redis."""
