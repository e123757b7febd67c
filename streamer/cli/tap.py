"""`streamer tap`: shows the records of a topic, decoded as in the daemon, without its group."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streamer.cli.kafka_address import quiet, the_stream
from streamer.cli.options import config_options, format_option
from streamer.timefmt import rfc3339

if TYPE_CHECKING:
    import threading

    from streamer.config import Config, Stream
    from streamer.connect.kafka.consumer.peek import Peek, PeekedRecord

    Seen = dict[str, Any]
    See = Callable[[PeekedRecord], Seen]

SCHEMA = "streamer.tap/1"
POLL_S = 0.25
# seconds without records before the first message about it, and between later ones
PATIENCE_S, AGAIN_S = 5.0, 60.0
RAW_SHOWN = 200


@click.command()
@config_options
@click.option(
    "--stream",
    metavar="NAME",
    help="The stream whose topics are read; not needed where there is only one.",
)
@click.option("--alerts", is_flag=True, help="The topic of the alerts instead.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="End after so many records.")
@click.option(
    "--from",
    "start",
    default="end",
    show_default=True,
    metavar="end|start|-2h|TIME",
    help="Where to begin: the end or the start of the topic, so long ago, or an RFC 3339 time.",
)
@format_option("human", "json")
def tap(
    *,
    config: Path,
    sets: tuple[str, ...],
    stream: str | None,
    alerts: bool,
    limit: int | None,
    start: str,
    output: str,
) -> None:
    """Show new records of a source topic: time, entity and values, or why one is refused.

    No group is joined and nothing is committed, so a running daemon is not affected. Ctrl-C ends.
    """
    import threading

    from streamer.app.signals import graceful
    from streamer.config import load_config
    from streamer.connect.kafka.consumer.peek import Peek

    quiet()
    found, stop = load_config(config, sets), threading.Event()
    from_s = starting(start, time.time())
    topics, pattern, see = _alert_topic(found) if alerts else _stream_topics(found, stream)
    with graceful(stop):
        peek = Peek(found.kafka, topics, pattern)
        try:
            _go_to(peek, from_s)
            _watch(peek, see, line_of if output == "human" else json_of, limit, stop)
        finally:
            peek.close()


def starting(text: str, now_s: float) -> float:
    """Return seconds since 1970, -inf for the start, inf for the end; UsageError otherwise."""
    from streamer.config.kafka import started_at

    if text in ("start", "end"):
        return math.inf if text == "end" else -math.inf
    at_s = started_at(text, now_s)
    if at_s is None:
        raise click.UsageError(
            f"--from {text!r}: write end, start, -2h or a time such as 2026-11-01T00:00:00Z"
        )
    return at_s


def _go_to(peek: Peek, from_s: float) -> None:
    if from_s == -math.inf:
        peek.from_start()
    elif from_s != math.inf:
        peek.from_time(from_s)


def _watch(
    peek: Peek,
    see: See,
    show: Callable[[PeekedRecord, Seen], str],
    limit: int | None,
    stop: threading.Event,
) -> None:
    names = ", ".join(sorted({partition.topic for partition in peek.partitions}))
    click.echo(f"{names}: {len(peek.partitions)} partitions; Ctrl-C ends", err=True)
    for record in _records(peek, limit, stop):
        click.echo(show(record, see(record)))


def _records(peek: Peek, limit: int | None, stop: threading.Event) -> Iterator[PeekedRecord]:
    count, quiet_at = 0, time.monotonic() + PATIENCE_S
    while not stop.is_set():
        for record in peek.poll(POLL_S):
            yield record
            count += 1
            quiet_at = time.monotonic() + PATIENCE_S
            if count == limit or stop.is_set():
                return
        if time.monotonic() >= quiet_at:
            quiet_at = time.monotonic() + AGAIN_S
            click.echo(_silence(peek.problem(PATIENCE_S), count), err=True)


def _silence(problem: str | None, count: int) -> str:
    if problem is not None:
        return f"nothing comes: {escaped(problem)}"
    hint = "" if count else "; --from start or --from -2h shows what is already there"
    return f"nothing has come for {PATIENCE_S:g} s{hint}"


def _stream_topics(config: Config, name: str | None) -> tuple[tuple[str, ...], str | None, See]:
    stream, source = the_stream(config, name)
    return source.named_topics, source.pattern, reader(config, stream)


def reader(config: Config, stream: Stream) -> See:
    """Return a function that decodes a record of the stream.

    It returns time, entity and values, or the reason of the rejection.
    """
    from streamer.connect.formats.factory import decoder_for
    from streamer.connect.kafka.consumer.decode import decode
    from streamer.connect.kafka.consumer.polled_records import Listed
    from streamer.event import Lease

    decoder_of = decoder_for(stream, config.schema_registry)

    def see(record: PeekedRecord) -> Seen:
        lease = Lease(record.topic, record.partition)
        batch, rejected = decode(Listed.of([record]), decoder_of(lease), lease)
        if rejected:
            return {"rejected": rejected[0].reason, "detail": rejected[0].detail}
        numbers = [float(str(value)) for value in batch.values[0]]  # 0.22, not 0.2199999988079071
        values = zip(stream.fields.channels, numbers, strict=True)
        return {
            "time": _told(batch.time_s[0]),
            "entity": [batch.keys[code] for code in batch.entity[0]],
            "values": {name: value if math.isfinite(value) else None for name, value in values},
        }

    return see


def _told(time_s: float) -> str:
    return rfc3339(float(time_s))


def _alert_topic(config: Config) -> tuple[tuple[str, ...], str | None, See]:
    from streamer.config.kafka_rules import alert_topics
    from streamer.errors import ConfigError

    topics = tuple(alert_topics(config))
    if not topics:
        raise ConfigError(
            "sinks", "no sink writes to a topic of Kafka, so there are no alerts to tap"
        )
    return topics, None, see_alert


def see_alert(record: PeekedRecord) -> Seen:
    """Return the alert in a record, or the reason if it is not one."""
    import msgspec

    try:
        alert = msgspec.json.decode(record.value or b"null")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        return {"rejected": "bad_json", "detail": str(exc)}
    if not isinstance(alert, dict):
        return {"rejected": "no_alert", "detail": "the record is no object"}
    return {"alert": alert}


def line_of(record: PeekedRecord, seen: Seen) -> str:
    """Return one line for a person, without characters that control the terminal."""
    at = click.style(f"[{record.topic}/{record.partition}@{record.offset}]", dim=True)
    if "rejected" in seen:
        raw = escaped((record.value or b"").decode(errors="backslashreplace"))[:RAW_SHOWN]
        reason = click.style(f"rejected {seen['rejected']}", fg="red")
        return f"{reason}  {escaped(seen['detail'])}  {raw}  {at}"
    if "alert" in seen:
        alert = seen["alert"]
        words = [
            str(alert.get(name, "-")) for name in ("detected_at", "severity", "event", "summary")
        ]
        return f"{escaped('  '.join(words))}  {at}"
    values = "  ".join(
        f"{name}={'-' if value is None else f'{value:.6g}'}"
        for name, value in seen["values"].items()
    )
    return f"{seen['time']}  {escaped(', '.join(seen['entity']))}  {escaped(values)}  {at}"


def json_of(record: PeekedRecord, seen: Seen) -> str:
    """Return one line for a machine."""
    import msgspec

    place = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
    return msgspec.json.encode({"schema": SCHEMA, **place, **seen}).decode()


def escaped(text: str) -> str:
    """Return the text with control characters as escapes."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in text
    )
