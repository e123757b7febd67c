"""`streamer bench`: measures events per second, latency and memory on this machine."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from streamer.cli.offline_report import BACKENDS, FORMATS

if TYPE_CHECKING:
    from streamer.offline.capacity import Carried, Load

SCHEMA = "streamer.sizing/1"
GIB = 2**30
BUSY = 0.9  # share of a core; below it, other programs slowed the measurement


@click.command("bench")
@click.option(
    "--entities",
    type=click.IntRange(1, 1_000_000),
    default=1000,
    show_default=True,
    help="Number of entities.",
)
@click.option(
    "--channels",
    type=click.IntRange(1, 256),
    default=4,
    show_default=True,
    help="Channels of each event.",
)
@click.option(
    "--profile",
    type=click.Choice(["full", "lean"]),
    default="full",
    show_default=True,
    help="Which evidences are kept.",
)
@click.option(
    "--batch",
    type=click.IntRange(1, 65_536),
    default=256,
    show_default=True,
    help="Events of a poll.",
)
@click.option(
    "--backend", type=BACKENDS, default="auto", show_default=True, help="What runs the network."
)
@click.option(
    "--warm",
    type=click.IntRange(min=0),
    default=96,
    show_default=True,
    help="Events of each before the clock.",
)
@click.option(
    "--measured",
    type=click.IntRange(min=1),
    default=32,
    show_default=True,
    help="Events of each on the clock.",
)
@click.option("--format", "form", type=FORMATS, default="human", show_default=True, help="Output.")
def bench(
    *,
    entities: int,
    channels: int,
    profile: str,
    batch: int,
    backend: str,
    warm: int,
    measured: int,
    form: str,
) -> None:
    """Measure decoding and detection on this machine with made-up sensors, on one thread.

    The output says how many entities fit into memory and into the time of one core.
    """
    from streamer import artifact
    from streamer.backends import baseline_scorer, open_scorer
    from streamer.offline.capacity import Load, measure

    load = Load(entities, channels, warm, measured, batch, profile)
    if backend == "baseline":
        scorer, spec, prior = baseline_scorer(artifact.ModelSpec()), artifact.ModelSpec(), {}
    else:
        bundle = artifact.load(artifact.PRETRAINED)
        scorer, spec, prior = open_scorer(bundle, backend), bundle.spec, bundle.calibration
    carried = measure(load, scorer, spec, prior, time.perf_counter, time.process_time)
    rss = resident_bytes()
    if form == "json":
        body: dict[str, Any] = {
            "schema": SCHEMA,
            "backend": scorer.ref.backend,
            "load": asdict(load),
        }
        click.echo(json.dumps(body | asdict(carried) | {"rss_bytes": rss}))
        return
    click.echo(sentences(load, carried, scorer.ref.backend, rss))


def resident_bytes() -> int | None:
    """Return the peak memory of this process in bytes; None if the system does not report it."""
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def sentences(load: Load, carried: Carried, backend: str, rss: int | None) -> str:
    """Return the figures, and how many entities they allow."""
    fit = int(GIB / carried.bytes_per_entity)
    lines = [
        f"{load.entities:,} entities x {load.channels} channels, {load.profile} profile, "
        f"{backend}, one thread",
        f"events    {carried.events_per_s:,.0f}/s ({carried.low:,.0f} .. {carried.high:,.0f});"
        f" decoding {carried.decode_share:.0%} of the time",
        *(
            []
            if carried.cpu_share > BUSY
            else [f"          the machine was shared: {carried.cpu_share:.0%} of it was ours"]
        ),
        f"latency   p50 {carried.p50_ms:.2f} ms, p99 {carried.p99_ms:.2f} ms for a batch of "
        f"{load.rows}",
        f"memory    {carried.bytes_per_entity / 1024:.1f} KiB an entity"
        + (f"; this process {rss / 2**20:.0f} MiB" if rss else ""),
        f"sizing    1 GiB holds about {fit:,} entities; one core keeps up with "
        f"{carried.events_per_s * 10:,.0f}"
        " of them at one event every 10 s",
    ]
    return "\n".join(lines)
