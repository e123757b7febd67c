"""Redis beside the log: snapshots, models and a lock. It may be down, hung or full; nothing waits for it then."""

from streamer.connect.redis.store import RedisStore

__all__ = ["RedisStore"]
