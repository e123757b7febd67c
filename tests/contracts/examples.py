"""Batches, scores and alerts small enough to be read, for contract tests."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from streamer.event import (
    Alert,
    ChannelPart,
    EventBatch,
    Fate,
    ModelRef,
    Rejected,
    RhythmPart,
    Scores,
)


def batch(n: int = 5, channels: int = 2, first: int = 0, keys: int = 1) -> EventBatch:
    """n events of two entities, one second apart."""
    offset = np.arange(first, first + n, dtype=np.int64)
    entity = np.stack([(offset + k) % 2 for k in range(keys)], axis=1).astype(np.int32)
    values = np.outer(offset, np.ones(channels)).astype(np.float32)
    return EventBatch(
        "stream",
        "topic",
        0,
        ("a", "b"),
        entity,
        (1.7e9 + offset).astype(np.float64),
        values,
        offset,
    )


def rejected(offset: int = 0) -> Rejected:
    return Rejected(offset, "bad_json", "not JSON", b"{")


def scores(n: int = 5, channels: int = 2, fate: Fate = Fate.SCORED) -> Scores:
    """Scores 0, 1, 2, ... with equal parts."""
    parts = (np.repeat(np.arange(n)[:, None], channels + 1, axis=1) / (channels + 1)).astype(
        np.float32
    )
    score = parts.sum(axis=1, dtype=np.float32)
    band = np.zeros((n, channels), dtype=np.float32)
    return Scores(
        np.full(n, fate, dtype=np.uint8), score, score / 2, parts, band, band - 1, band + 1
    )


def alert(number: int = 0, **changes: object) -> Alert:
    known = Alert(
        alert_id=f"id-{number}",
        incident_key="stream:a",
        event="opened",
        status="open",
        severity="warning",
        stream="stream",
        entity="a",
        labels={"site": "plant"},
        started_at="2026-01-01T00:00:00Z",
        detected_at="2026-01-01T00:00:05Z",
        resolved_at=None,
        summary="a rms is 7.9 mm/s, expected 4.8 to 5.5",
        score=2.41,
        p_value=4e-4,
        threshold=1.0,
        rhythm=RhythmPart(1.0, 1.0, 0.8, 1.4, 0.19),
        channels=[ChannelPart("rms", 7.9, 5.13, 4.8, float("nan"), "mm/s", 0.81)],
        attention=[],
        reasons=["VALUE_ABOVE_BAND"],
        window=None,
        model=ModelRef("1", "numpy", "00"),
    )
    return replace(known, **changes)  # type: ignore[arg-type]
