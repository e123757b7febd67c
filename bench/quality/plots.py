"""Pictures of some streams: values, bands, score and alarms, with the labelled rows."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.quality.run import Order, Subject, limited, open_detector, say, settings_for
from models import suite
from models.suite import LabelledStream
from models.suite.pump import daily_load, level_shift, two_days
from streamer.connect.memory import MemorySource
from streamer.event import Alert
from streamer.offline import plot
from streamer.offline.plot_data import Picture
from streamer.offline.score import Outputs, TrackRecorder, replay

MINUTE_S = 60.0


def draw_some(folder: Path, most: int | None = None) -> None:
    """A picture of one stream of each family, and of the pump, into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    first = {r.family: r for r in reversed(suite.recipes("choose")) if r.turn == 1 and not r.quiet}
    streams = [two_days(0, (MINUTE_S,), MINUTE_S)[0], level_shift(0, 12, (MINUTE_S,), MINUTE_S)[0]]
    streams += [daily_load(0, (MINUTE_S,), MINUTE_S)[0]]
    streams += [suite.build(recipe) for recipe in first.values()]
    for one in limited(streams, most):
        path = folder / f"{one.name}.png"
        draw(one, path)
        say(f"drawn: {path.name}")


def draw(stream: LabelledStream, path: Path) -> None:
    """One stream through the production pipeline, as a picture."""
    subject = Subject(stream.name, stream.values, stream.time_s)
    settings = settings_for([subject])
    settings = replace(settings, channels=stream.names or settings.channels)
    recorder, alerts = TrackRecorder(settings.channels), []

    def hear(alert: Alert) -> None:
        if alert.event == "opened":
            alerts.append(alert)

    source = MemorySource(Order.of([subject]).batches([subject]), channels=settings.channels)
    outputs = Outputs(recorder.take, hear)
    replay(source, open_detector(settings, "auto"), outputs, clock=time.perf_counter)
    windows = tuple(
        (float(stream.time_s[f.start]), float(stream.time_s[f.stop - 1])) for f in stream.faults
    )
    planted = ", ".join(f"{f.kind} ({f.strength:.3g})" for f in stream.faults)
    fired = int(np.count_nonzero(recorder.track(stream.name).alarm >= 1))
    picture = Picture(
        stream.name,
        recorder.track(stream.name),
        tuple(alerts),
        windows=windows,
        footer=f"planted: {planted or 'nothing'}   ·   {fired} alarm rows",
    )
    plot.draw(picture, path)
