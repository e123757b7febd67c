"""The differences between workers of one configuration: paths, HTTP port, group instance, core."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeVar

from streamer.config import Config, ConfigErrors, Problem, Runtime, ScoreOutput, Server, Stream
from streamer.config.origin import DEFAULT
from streamer.config.origin import Path as Place
from streamer.config.parts import PartSection

MARK = "{worker}"
Part = TypeVar("Part", bound=PartSection)


def worker_of(env: Mapping[str, str]) -> int | None:
    """Return the number that the supervisor gave this process; None without a supervisor."""
    number = env.get("STREAMER_WORKER", "")
    return int(number) if number.isascii() and number.isdigit() else None


def for_worker(config: Config, worker: int | None) -> Config:
    """Return the configuration of one worker.

    None means a single process: `{worker}` is 0 and the rest is unchanged.
    """
    number = worker or 0
    changed: dict[str, object] = {
        "sinks": tuple(_numbered(sink, number) for sink in config.sinks),
        "scores": config.scores and _numbered_scores(config.scores, number),
        "dead_letters": config.dead_letters and _numbered(config.dead_letters, number),
    }
    if worker is not None:
        changed["server"] = listening(config.server, worker)
        changed["streams"] = tuple(_member(stream, worker) for stream in config.streams)
        changed["runtime"] = _on_its_core(config.runtime, worker)
    return config.model_copy(update=changed)


def listening(server: Server, worker: int) -> Server:
    """Return the server section with port + number; port 0 stays 0."""
    port = server.port + worker if server.port else 0
    return server.model_copy(update={"listen": f"{server.listen.rpartition(':')[0]}:{port}"})


def _on_its_core(runtime: Runtime, worker: int) -> Runtime:
    """Assign one of the configured cores to each worker in turn."""
    cores = runtime.cores
    return runtime.model_copy(update={"cores": (cores[worker % len(cores)],)}) if cores else runtime


def refuse_unshared(config: Config, workers: int) -> None:
    """Raise all problems as ConfigErrors if N processes cannot share this configuration."""
    if workers > 1 and (problems := list(_problems(config, workers))):
        raise ConfigErrors(problems)


def _problems(config: Config, workers: int) -> Iterator[Problem]:
    for place, text in _found(config, workers):
        yield Problem(place, text, config._origins.get(place, DEFAULT))


def _found(config: Config, workers: int) -> Iterator[tuple[Place, str]]:
    for i, stream in enumerate(config.streams):
        if not stream.source.partitioned:
            problem = (
                f"{workers} workers cannot share a {stream.source.kind} source; only kafka "
                f"sources can be shared"
            )
            yield ("streams", i, "source", "kind"), problem
    for path, text in _paths(config):
        if MARK not in text:
            yield (
                path,
                f"must hold {MARK} where there are {workers} workers, such as {_with_mark(text)}",
            )
    if config.server.enabled and config.server.port and config.server.port + workers - 1 > 65_535:
        yield (
            ("server", "listen"),
            f"worker i listens on port + i: {workers} workers do not fit below 65536",
        )


def _paths(config: Config) -> Iterator[tuple[Place, str]]:
    """Yield the files that one process writes."""
    for i, sink in enumerate(config.sinks):
        if sink.local_file is not None:
            yield ("sinks", i, "path"), sink.local_file
    if config.scores is not None:
        yield ("scores", "path"), config.scores.path
    if config.dead_letters is not None and config.dead_letters.local_file is not None:
        yield ("dead_letters", "path"), config.dead_letters.local_file


def _with_mark(path: str) -> str:
    stem, dot, suffix = path.rpartition(".")
    return f"{stem}-{MARK}.{suffix}" if dot and "/" not in suffix else f"{path}-{MARK}"


def _numbered(section: Part, number: int) -> Part:
    path = section.local_file
    if path is None:
        return section
    return section.model_copy(update={"path": path.replace(MARK, str(number))})


def _numbered_scores(section: ScoreOutput, number: int) -> ScoreOutput:
    return section.model_copy(update={"path": section.path.replace(MARK, str(number))})


def _member(stream: Stream, worker: int) -> Stream:
    return stream.model_copy(update={"source": stream.source.for_worker(worker)})
