"""`streamer doctor`: checks this machine; every finding has its fix."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from streamer.cli.doctor_servers import existing, installed, libraries, servers, state_folder
from streamer.cli.kafka_address import quiet
from streamer.cli.options import DEFAULT_CONFIG, format_option
from streamer.errors import ConfigError, StreamerError
from streamer.finding import Finding
from streamer.timefmt import plain

if TYPE_CHECKING:
    from streamer.config import Config, Stream

SCHEMA = "streamer.doctor/1"
UNREACHABLE = 5
MIB = 2**20
GIB = 2**30
OLDEST_CLOCK_S = 1_735_689_600.0  # 2025-01-01; a clock before it was never set
NEEDED = (3, 11)
PACKAGES = (
    "numpy",
    "msgspec",
    "pydantic",
    "yaml",
    "structlog",
    "click",
    "rich",
    "prometheus_client",
    "starlette",
)
BACKENDS = {
    "litert": ("ai_edge_litert", "streamer[edge]"),
    "keras": ("tensorflow", "streamer[train]"),
}
MARKS = {"ok": click.style("ok  ", fg="green"), "warn": click.style("warn", fg="yellow")}
FAIL = click.style("FAIL", fg="red")


@click.command()
@click.option(
    "-c",
    "--config",
    "config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help=f"Also check what it needs.  [default: {DEFAULT_CONFIG}, if there is one]",
)
@format_option("human", "json")
def doctor(config: Path | None, output: str) -> int:
    """Check this machine and what the configuration needs; exit 5 if a need is not met.

    The checks are: python, packages, backends, model, GPU, memory, disk, clock, permissions,
    brokers, Redis.
    """
    findings = examine(config)
    if output == "json":
        _print_json(findings)
    else:
        _print_human(findings)
    return UNREACHABLE if any(finding.status == "fail" for finding in findings) else 0


def examine(path: Path | None) -> list[Finding]:
    """Return all findings, those of the configuration last."""
    chosen = path or (Path(DEFAULT_CONFIG) if Path(DEFAULT_CONFIG).exists() else None)
    config, finding = read_config(chosen)
    backend = config.model.backend if config else "auto"
    findings = [
        python(sys.version_info[:3]),
        packages(),
        *backends(backend, installed),
        gpu(Path("/dev")),
    ]
    if config is None or config.model.registry is None:  # a registry has its own finding
        findings += [
            model(Path(config.model.path) if config and config.model.path else None, backend)
        ]
    findings += [
        memory(available_bytes()),
        disk(Path()),
        clock(time.time()),
        *libraries(config),
        finding,
    ]
    if config is None:
        return findings
    quiet()
    return [*findings, *permissions(config), *state(config), *servers(config)]


def read_config(path: Path | None) -> tuple[Config | None, Finding]:
    from streamer.config import load_config

    if path is None:
        return None, Finding(
            "config", "ok", f"none here ({DEFAULT_CONFIG}); `streamer score FILE` needs none"
        )
    try:
        return load_config(path), Finding("config", "ok", str(path))
    except ConfigError as exc:
        return None, Finding(
            "config", "fail", str(exc).splitlines()[0], f"streamer check -c {path}"
        )


def python(version: tuple[int, ...]) -> Finding:
    text = ".".join(map(str, version))
    if version < NEEDED:
        return Finding(
            "python", "fail", text, f"install Python {'.'.join(map(str, NEEDED))} or newer"
        )
    return Finding("python", "ok", text)


def packages(has: Callable[[str], bool] = installed) -> Finding:
    missing = [name for name in PACKAGES if not has(name)]
    if missing:
        return Finding(
            "packages",
            "fail",
            f"missing: {', '.join(missing)}",
            "pip install --force-reinstall streamer",
        )
    return Finding("packages", "ok", f"{len(PACKAGES)} of {len(PACKAGES)} needed ones")


def backends(wanted: str, has: Callable[[str], bool] = installed) -> Iterator[Finding]:
    """Yield the backends that can run the model.

    Only a backend that is configured by name is required; numpy is always available.
    """
    for name, (package, extra) in BACKENDS.items():
        if has(package):
            yield Finding(f"backend {name}", "ok", f"{package} is installed")
            continue
        needed = wanted.startswith(name)
        detail = f"{package} is not installed" + (
            "" if needed else "; numpy runs the model instead"
        )
        yield Finding(
            f"backend {name}", "fail" if needed else "warn", detail, f"pip install '{extra}'"
        )


def gpu(devices: Path) -> Finding:
    """Return the NVIDIA device files; asking the driver through TensorFlow would take seconds."""
    found = sorted(device.name for device in devices.glob("nvidia[0-9]*"))
    return Finding(
        "gpu", "ok", ", ".join(found) or "none; scoring and small training do not need one"
    )


def model(path: Path | None, backend: str) -> Finding:
    """Check that the bundle is complete; nothing is needed for the baseline."""
    from streamer import artifact

    if backend == "baseline":
        return Finding("model", "ok", "none needed: the baseline judges")
    directory = path or artifact.PRETRAINED
    try:
        bundle = artifact.load(directory)
    except StreamerError as exc:
        fix = (
            "name another by model.path"
            if path
            else "install streamer again, or: python -m models.pretrain"
        )
        return Finding("model", "fail", str(exc), fix)
    return Finding("model", "ok", f"{bundle.version} ({bundle.sha256[:12]}) in {directory}")


def memory(available: int | None) -> Finding:
    if available is None:
        return Finding("memory", "warn", "cannot be told on this system")
    detail = f"{available // MIB} MiB available"
    if available < 128 * MIB:
        return Finding("memory", "fail", detail, "free some: the daemon alone takes about 120 MiB")
    if available < 512 * MIB:
        return Finding(
            "memory",
            "warn",
            detail,
            "keep detect.max_entities small, detect.profile lean (preset edge)",
        )
    return Finding("memory", "ok", detail)


def available_bytes(root: Path = Path("/")) -> int | None:
    """Return the bytes this process may still use: of the machine, or less by its control group."""
    figures = [_meminfo(root / "proc/meminfo"), _cgroup(root / "sys/fs/cgroup")]
    known = [figure for figure in figures if figure is not None]
    return min(known) if known else None


def _meminfo(path: Path) -> int | None:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    return next(
        (int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None
    )


def _cgroup(directory: Path) -> int | None:
    try:
        limit = (directory / "memory.max").read_text().strip()
        used = (directory / "memory.current").read_text().strip()
    except OSError:
        return None
    return None if limit == "max" else max(0, int(limit) - int(used))


def disk(directory: Path) -> Finding:
    free = shutil.disk_usage(directory).free
    detail = f"{free / GIB:.1f} GiB free in {directory.resolve()}"
    if free < 64 * MIB:
        return Finding("disk", "fail", detail, "free some space, or write elsewhere")
    return Finding(
        "disk",
        "warn" if free < GIB else "ok",
        detail,
        "alerts and scores grow here" if free < GIB else "",
    )


def clock(now_s: float) -> Finding:
    shown = f"{plain(now_s)} UTC"
    if now_s < OLDEST_CLOCK_S:
        return Finding(
            "clock", "fail", f"{shown} is in the past", "set the clock, and keep it set by NTP"
        )
    return Finding("clock", "ok", shown)


def permissions(config: Config) -> Iterator[Finding]:
    """Check the files that the configuration reads and writes."""
    for stream in config.streams:
        yield from _source(stream)
    outputs = [(f"sink {sink.kind}", sink.local_file) for sink in config.sinks]
    if config.scores is not None:
        outputs += [("scores", config.scores.path_for(stream.name)) for stream in config.streams]
    if config.dead_letters is not None:
        outputs.append(("dead letters", config.dead_letters.local_file))
    for name, path in outputs:
        if path is not None:
            yield writable(name, Path(path))


def state(config: Config) -> Iterator[Finding]:
    """Check the folder of snapshots on this machine: writable, with free space."""
    if config.store.folder is not None:
        folder = Path(config.store.folder)
        yield state_folder(folder)
        yield replace(disk(existing(folder)), name="disk of store")


def _source(stream: Stream) -> Iterator[Finding]:
    file = stream.source.local_file
    if file is None or file == "-":
        return
    path, name = Path(file), f"stream {stream.name}"
    if not path.is_file():
        yield Finding(
            name,
            "fail",
            f"{path} is not there",
            f"set the source's path; it starts at {Path.cwd()}",
        )
    elif not os.access(path, os.R_OK):
        yield Finding(name, "fail", f"{path} cannot be read", f"chmod u+r {path}")
    else:
        yield Finding(name, "ok", f"{path} can be read")


def writable(name: str, path: Path) -> Finding:
    """Check that a file can be written, or created in its nearest existing folder."""
    spot = (
        path
        if path.exists()
        else next(parent for parent in path.absolute().parents if parent.exists())
    )
    if path.is_dir():
        return Finding(name, "fail", f"{path} is a folder", "name a file")
    if not os.access(spot, os.W_OK):
        return Finding(
            name,
            "fail",
            f"{spot} cannot be written",
            f"chown it to this user, or move {path} elsewhere",
        )
    return Finding(name, "ok", f"{path} can be written")


def _print_human(findings: list[Finding]) -> None:
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        fix = (
            click.style(f"\n     {'':<{width}}  -> {finding.fix}", bold=True) if finding.fix else ""
        )
        click.echo(
            f"{MARKS.get(finding.status, FAIL)} {finding.name:<{width}}  {finding.detail}{fix}"
        )


def _print_json(findings: list[Finding]) -> None:
    import json

    ok = all(finding.status != "fail" for finding in findings)
    click.echo(
        json.dumps(
            {"schema": SCHEMA, "ok": ok, "findings": [asdict(f) for f in findings]}, indent=2
        )
    )
