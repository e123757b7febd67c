"""`streamer dlq`: lists rejected records, and sends them back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streamer.cli.dlq_views import LetterSurvey, Wanted, facts, page, row, table
from streamer.cli.kafka_address import quiet
from streamer.cli.options import config_options, confirm, format_option, since_s, yes_option

if TYPE_CHECKING:
    from streamer.config import Config
    from streamer.connect.dead_letters.inbox import LetterBox
    from streamer.connect.dead_letters.replay import LetterReplayPlan, LettersReplayed

SCHEMA = "streamer.dlq/1"
Command = Callable[..., Any]


def filters(command: Command) -> Command:
    """Add --stream, --reason and --since."""
    command = click.option(
        "--since", metavar="-2h|TIME", help="Only what was rejected since then."
    )(command)
    command = click.option(
        "--reason",
        "reasons",
        multiple=True,
        metavar="REASON",
        help="Only such reasons; repeatable.",
    )(command)
    return click.option("--stream", metavar="NAME", help="Only letters of this stream.")(command)


@click.group()
def dlq() -> None:
    """List the records that were rejected, and send them back once they can be read."""


@dlq.command("list")
@config_options
@filters
@click.option("--rows", is_flag=True, help="The letters themselves instead of their counts.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="How many rows, the newest.",
)
@format_option("human", "json")
def list_(
    *,
    config: Path,
    sets: tuple[str, ...],
    stream: str | None,
    reasons: tuple[str, ...],
    since: str | None,
    rows: bool,
    limit: int,
    output: str,
) -> None:
    """Count the rejected records by stream and reason; with --rows, list them."""
    from streamer.connect.dead_letters.inbox import unique

    with _opened(config, sets) as (_, box):
        letters = filter(_wanted(stream, reasons, since), box.letters())
        survey = LetterSurvey.of(unique(letters), limit if rows else 0)
        if output == "json":
            click.echo(_json(_listing(box, survey)))
            return
        for line in map(row, survey.newest) if rows else table(survey):
            click.echo(line)
        click.echo(_summary(box, survey), err=True)


@dlq.command()
@config_options
@click.argument("place")
@format_option("human", "json")
def show(*, config: Path, sets: tuple[str, ...], place: str, output: str) -> None:
    """Show one letter in full.

    PLACE is the first column of `list --rows`: a line, worker@line, or partition@offset.
    """
    from streamer.errors import InputError

    with _opened(config, sets) as (_, box):
        found = next(
            (stored for stored in box.letters() if stored.place in (place, f"0@{place}")), None
        )
        if found is None:
            raise InputError(
                f"{box.name}: no letter lies at {place}; `streamer dlq list --rows` says where "
                f"they lie"
            )
    if output == "json":
        click.echo(_json(facts(found)))
        return
    for line in page(found):
        click.echo(line)


@dlq.command()
@config_options
@filters
@click.option(
    "--to", metavar="TOPIC", help="A topic for all of them. Default: where each record came from."
)
@click.option("--again", is_flag=True, help="Also what was sent back before.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="The oldest N of them.")
@yes_option
@format_option("human", "json")
def replay(
    *,
    config: Path,
    sets: tuple[str, ...],
    stream: str | None,
    reasons: tuple[str, ...],
    since: str | None,
    to: str | None,
    again: bool,
    limit: int | None,
    yes: bool,
    output: str,
) -> int:
    """Send rejected records back unchanged: value, key and own headers, each to its own partition.

    A record is sent once, however many letters name it. It is noted as soon as the broker has
    confirmed it, and another replay skips it. Records that were sent and not noted arrive twice: up
    to 500 after an interruption, and those whose confirmation was lost. Records that still cannot
    be read are rejected again. Where `fields.time` is @timestamp, records keep their time too.
    Others get the current time, so that retention does not remove them.
    """
    from streamer.connect.dead_letters.replay import LettersReplayed, plan

    with _opened(config, sets) as (found, box):
        chosen = plan(box, _wanted(stream, reasons, since), to=to, again=again, limit=limit)
        if chosen.count:
            confirm(f"send {_counts(chosen.letters)} back?", yes=yes)
        outcome = _send(found, box, chosen) if chosen.count else LettersReplayed()
    click.echo(_json(_result(chosen, outcome)) if output == "json" else _told(chosen, outcome))
    if outcome.problem is not None:
        click.echo(f"stopped: {outcome.problem}", err=True)
    return 0 if outcome.problem is None else 1


@contextmanager
def _opened(path: Path, sets: tuple[str, ...]) -> Iterator[tuple[Config, LetterBox]]:
    from streamer.config import load_config

    quiet()
    config = load_config(path, sets)
    with closing(_box(config)) as box:
        yield config, box


def _box(config: Config) -> LetterBox:
    from streamer.app.worker_config import MARK
    from streamer.connect import open_inbox

    return open_inbox(config, MARK)


def _wanted(stream: str | None, reasons: tuple[str, ...], since: str | None) -> Wanted:
    return Wanted(stream, reasons, since_s(since, time.time()))


def _listing(box: LetterBox, survey: LetterSurvey) -> dict[str, Any]:
    groups = [
        {
            "stream": stream,
            "reason": reason,
            "count": g.count,
            "first": g.first,
            "last": g.last,
            "example": g.example,
        }
        for (stream, reason), g in survey.sorted()
    ]
    rows = list(map(facts, survey.newest))
    return {
        "letters": survey.count,
        "replayed": len(box.replayed()),
        "damaged": box.damaged,
        "groups": groups,
        "rows": rows,
    }


def _summary(box: LetterBox, survey: LetterSurvey) -> str:
    parts = [f"{box.name}: {survey.count} letters"]
    parts += [f"{len(box.replayed())} records sent back before"] if box.replayed() else []
    parts += [f"{box.damaged} damaged or no letters"] if box.damaged else []
    return ", ".join(parts)


def _send(config: Config, box: LetterBox, plan: LetterReplayPlan) -> LettersReplayed:
    from streamer.config.outside import TIMES
    from streamer.connect.dead_letters.kafka_inbox import TopicSender
    from streamer.connect.dead_letters.replay import carry_out

    dated = {
        one.name
        for one in config.streams
        if one.fields.time is not None and one.fields.time.path in TIMES
    }
    with closing(TopicSender(config.kafka)) as sender:
        return carry_out(plan, box, sender, dated)


def _counts(letters: dict[str, list[Any]]) -> str:
    return ", ".join(f"{len(each)} to {topic}" for topic, each in letters.items())


def _told(plan: LetterReplayPlan, outcome: LettersReplayed) -> str:
    sent = sum(outcome.sent.values())
    lines = [f"sent {count} to {topic}" for topic, count in outcome.sent.items()] or [
        "sent nothing"
    ]
    lines += [f"not sent {plan.count - sent}"] if sent < plan.count else []
    return "\n".join(
        [*lines, *(f"passed over {n}: {why}" for why, n in plan.skipped.most_common())]
    )


def _result(plan: LetterReplayPlan, outcome: LettersReplayed) -> dict[str, Any]:
    unsent = plan.count - sum(outcome.sent.values())
    return {
        "sent": outcome.sent,
        "not_sent": unsent,
        "skipped": plan.skipped,
        "problem": outcome.problem,
    }


def _json(told: dict[str, Any]) -> str:
    import msgspec

    return msgspec.json.encode({"schema": SCHEMA, **told}).decode()
