"""Storage of snapshots, models, incidents and labels: a folder, SQLite or Redis."""
