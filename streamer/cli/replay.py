"""`streamer replay`: pushes a CSV or JSON lines file into a topic, at its own pace or faster."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from streamer.cli.kafka_address import TopicAddress, TopicParam, at, load_base, quiet, the_stream
from streamer.cli.options import format_option, names_file

if TYPE_CHECKING:
    import threading

    from streamer.config import Kafka, Stream
    from streamer.config.parts import Framing
    from streamer.connect.files.rows import FileRows
    from streamer.connect.formats.columns import RecordFields
    from streamer.connect.kafka.producer.push import Push
    from streamer.offline.replay import Account, ReplayPlan

Encode = Callable[[dict[str, Any]], tuple[bytes, bytes]]

SCHEMA = "streamer.replay/1"
FLUSH_S = 65.0  # beyond the client's own delivery timeout
LINE_S = 5.0  # between two lines of progress


class SpeedParam(click.ParamType[float]):
    """N times as fast as recorded; `max` is infinity."""

    name = "speed"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        try:
            speed = math.inf if value == "max" else float(str(value).removesuffix("x"))
        except ValueError:
            speed = math.nan
        if not speed > 0:
            self.fail(f"{value!r} is no speed; write 1, 0.5, 60 or max", param, ctx)
        return speed


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--to",
    type=TopicParam(),
    metavar="kafka://HOST:PORT/TOPIC",
    help="Where to. Default: the stream's own.",
)
@click.option(
    "-c",
    "--config",
    "config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A configuration: its stream names topic and fields, its kafka section says how to log "
    "in.",
)
@click.option(
    "--stream",
    metavar="NAME",
    help="The stream of the configuration whose topic and fields are meant.",
)
@click.option(
    "--speed",
    type=SpeedParam(),
    default="max",
    show_default=True,
    help="N times as fast as recorded.",
)
@click.option(
    "--key", metavar="FIELD", help="Field whose value is the record's key. Default: the entity."
)
@click.option(
    "--shift",
    type=click.Choice(["now"]),
    help="Move all times so that the last row is pushed at its time.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N rows.")
@click.option("--loop", is_flag=True, help="Begin anew at the end, times going on, until Ctrl-C.")
@format_option("human", "json")
@names_file
def replay(
    *,
    file: Path,
    to: TopicAddress | None,
    config: Path | None,
    stream: str | None,
    speed: float,
    key: str | None,
    shift: str | None,
    limit: int | None,
    loop: bool,
    output: str,
) -> int:
    """Push the rows of FILE into a topic, keyed by entity, and wait for every acknowledgement.

    Records are JSON, or MessagePack or CSV where the stream of the configuration reads these; Avro
    is refused.

    The timestamp of a record is the time of its pushing, so that retention does not remove it at
    once. The time inside it stays as recorded unless --shift moves it. Ctrl-C stops pushing and
    waits for the records in transit.

    Exit codes: 0 all acknowledged, 1 some were not, 5 the broker is unreachable or has no such
    topic.
    """
    import threading

    from streamer.app.signals import graceful
    from streamer.offline.replay import Account, ReplayPlan

    quiet()
    target = _target(to, config, stream)
    rows, notes = _rows(file, target.fields, timed=bool(shift) or not math.isinf(speed))
    for note in notes:
        click.echo(f"{file.name}: {note}", err=True)
    plan, account, stop = (
        ReplayPlan(speed, limit, loop, shift == "now"),
        Account(),
        threading.Event(),
    )
    with graceful(stop), _pushing(target.kafka, target.topic) as push:
        began_s = time.monotonic()
        _run(rows, plan, push, account, stop, encoder(rows, key, target.framing), name=file.name)
        left = push.flush(FLUSH_S)
        return _verdict(file.name, push, account, left, time.monotonic() - began_s, output)


class Target(NamedTuple):
    """Cluster and topic, with the fields and the framing if a stream defines them."""

    kafka: Kafka
    topic: str
    fields: RecordFields | None = None
    framing: Framing | None = None


def _target(to: TopicAddress | None, path: Path | None, name: str | None) -> Target:
    if to is not None and name is None:
        return Target(at(load_base(path).kafka, to), to.topic)
    if path is None:
        raise click.UsageError(
            "say where to: --to kafka://host:port/topic, or -c config.yaml [--stream NAME]"
        )
    from streamer.config import load_config
    from streamer.connect.files.encode import refuse_unwritable

    config = load_config(path)
    stream, source = the_stream(config, name)
    fields = _fields_of(stream)
    refuse_unwritable(source.framing, stream.name)
    if to is not None:
        return Target(at(config.kafka, to), to.topic, fields, source.framing)
    if len(source.named_topics) != 1:
        raise click.UsageError(
            f"stream {stream.name} reads several topics: choose one with --to kafka://HOST:PORT/TOPIC"
        )
    return Target(config.kafka, source.named_topics[0], fields, source.framing)


def _fields_of(stream: Stream) -> RecordFields | None:
    """Return the fields of a stream; None if it takes some from outside the record's value.

    Then only the file shows which columns they are.
    """
    from streamer.connect.formats.factory import fields_of

    fields = fields_of(stream.fields)
    return None if fields.outside else fields


def _rows(
    file: Path, fields: RecordFields | None, *, timed: bool
) -> tuple[FileRows, tuple[str, ...]]:
    from streamer.connect.files.rows import rows_of
    from streamer.errors import InputError

    rows, notes = rows_of(file, fields)
    if timed and rows.fields.time is None:
        raise InputError(
            f"{file}: no column looks like a time, so --speed max and no --shift is all that can "
            f"be done"
        )
    return rows, notes


@contextmanager
def _pushing(kafka: Kafka, topic: str) -> Iterator[Push]:
    from streamer.connect.kafka.producer.push import Push

    push = Push(kafka, topic)
    try:
        yield push
    finally:
        push.close()


def _run(
    rows: FileRows,
    plan: ReplayPlan,
    push: Push,
    account: Account,
    stop: threading.Event,
    encode: Encode,
    *,
    name: str,
) -> None:
    from streamer.connect.files.rows import survey
    from streamer.offline.replay import RowPace, moments, push_all

    known = (
        survey(rows, plan.limit)
        if rows.fields.time is not None and (plan.shift or plan.loop)
        else None
    )
    to_push = moments(rows, plan, known, time.time(), account)
    with _progress(name, push, plan.limit) as tell:
        pace = RowPace(plan.speed, time.monotonic)
        push_all(to_push, push, encode, pace=pace, stop=stop, account=account, tell=tell)


def encoder(rows: FileRows, key: str | None, framing: Framing | None = None) -> Encode:
    """Return a function from a record to (key, value).

    The key is the named field, else the entity, else the same for all records.
    """
    from streamer.connect.files.encode import to_bytes

    field = key or next(iter(rows.fields.entity), None)
    encode, series = to_bytes(rows, framing), rows.path.stem

    def of(record: dict[str, Any]) -> tuple[bytes, bytes]:
        name = series if field is None else rows.key_of(record, field)
        return (name or "").encode(), encode(record)

    return of


@contextmanager
def _progress(name: str, push: Push, total: int | None) -> Iterator[Callable[[], None]]:
    """Show counts on standard error: live on a terminal, a line every few seconds elsewhere."""
    if not sys.stderr.isatty():
        yield _lines(name, push)
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    text = TextColumn(
        "{task.description}  {task.fields[sent]:,} sent  {task.fields[acked]:,} acknowledged"
    )
    with Progress(
        SpinnerColumn(), text, TimeElapsedColumn(), console=Console(stderr=True), transient=True
    ) as bar:
        task = bar.add_task(name.replace("[", r"\["), total=total, sent=0, acked=0)
        yield lambda: bar.update(task, completed=push.acked, sent=push.sent, acked=push.acked)


def _lines(name: str, push: Push) -> Callable[[], None]:
    last = [time.monotonic()]

    def tell() -> None:
        now = time.monotonic()
        if now - last[0] >= LINE_S:
            last[0] = now
            click.echo(f"{name}: {push.sent:,} sent, {push.acked:,} acknowledged", err=True)

    return tell


def _verdict(
    name: str, push: Push, account: Account, left: int, seconds: float, output: str
) -> int:
    for one in account.examples:
        click.echo(f"{name}: record {one.line} skipped: {one.why}", err=True)
    lost = push.failed + left
    if lost:
        why = push.problem or "no answer in time"
        click.echo(
            f"error: {lost:,} of {push.sent:,} records were not acknowledged: {why}", err=True
        )
    if output == "json":
        counts = {
            "sent": push.sent,
            "acked": push.acked,
            "failed": lost,
            "skipped": account.skipped,
        }
        click.echo(
            json.dumps(
                {"schema": SCHEMA, "topic": push.topic, **counts, "seconds": round(seconds, 3)}
            )
        )
    else:
        rate = f"{push.acked / max(seconds, 1e-9):,.0f} records/s"
        skipped = f", {account.skipped:,} skipped" if account.skipped else ""
        click.echo(
            f"{name} -> {push.topic}: {push.sent:,} sent, {push.acked:,} acknowledged{skipped}, "
            f"{rate}"
        )
    return 1 if lost else 0
