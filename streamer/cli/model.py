"""`streamer model`: the registry, its versions and its aliases."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streamer.cli.model_files import bundle_at, is_path, path_check, refusal, unpacked
from streamer.cli.options import config_options, confirm, format_option, yes_option

if TYPE_CHECKING:
    from streamer.artifact import Bundle
    from streamer.config import Config
    from streamer.protocols import Registry
    from streamer.signing import Trust

SCHEMA = "streamer.model/1"
Command = Callable[..., Any]


def common(command: Command) -> Command:
    """Add -c, --set and --format."""
    return config_options(format_option("human", "json")(command))


def why_option(command: Command) -> Command:
    return click.option(
        "--why", default="by hand", show_default=True, metavar="TEXT", help="For the audit trail."
    )(command)


@click.group()
def model() -> None:
    """Look through the registry of models, and choose which of them judges.

    NAME is a version, or an alias: champion, challenger, previous, edge. Exit codes: 0 done, 1 a
    model cannot be used or somebody else moved it, 3 no registry is configured, 4 the gate refused
    the model, 5 Redis does not answer.
    """


@model.command("list")
@common
@click.option(
    "--moves",
    is_flag=True,
    help="The audit trail instead: which alias went where, when, why, by whom.",
)
def list_(*, config: Path, sets: tuple[str, ...], output: str, moves: bool) -> None:
    """List the versions with their facts, oldest first."""
    from streamer.cli.model_views import move_line, move_row, row, table

    with opened(config, sets) as desk:
        if moves:
            trail = desk.registry.moves()
            say(output, {"moves": list(map(move_row, trail))}, map(move_line, trail))
            return
        rows = [row(desk.registry, version) for version in desk.registry.versions()]
        say(
            output,
            {"aliases": dict(desk.registry.aliases()), "versions": rows},
            table(rows) if rows else ["none yet"],
        )


@model.command()
@common
@click.argument("name", default="champion")
def show(*, config: Path, sets: tuple[str, ...], output: str, name: str) -> None:
    """Show all facts of a model."""
    from streamer.cli.model_views import lines_of, page

    with opened(config, sets) as desk:
        bundle, where = desk.bundle(name), desk.registry.path(name)
        told = page(
            bundle,
            [a for a, held in desk.registry.aliases().items() if held == bundle.version],
            where,
        )
    say(output, told, lines_of(told))


@model.command()
@common
@click.argument("old")
@click.argument("new")
def diff(*, config: Path, sets: tuple[str, ...], output: str, old: str, new: str) -> None:
    """Show the differences between two models."""
    from streamer.cli.model_views import difference, lines_of

    with opened(config, sets) as desk:
        told = difference(desk.bundle(old), desk.bundle(new))
    say(output, told, ["the same model"] if told["same"] and not told["facts"] else lines_of(told))


@model.command()
@common
@click.argument("names", nargs=-1, metavar="[NAME|DIR|TAR]...")
def verify(*, config: Path, sets: tuple[str, ...], output: str, names: tuple[str, ...]) -> int:
    """Check hashes and signatures, of every version by default; exit 1 if one cannot be used.

    The folder or .tar of a bundle needs no configuration: its signature must be valid, whoever
    signed. With -c it must also be signed as that configuration requires.
    """
    found: dict[str, str | None] = {}
    paths = [name for name in names if is_path(name, config)]
    if paths:
        check = path_check(config, sets)
        found = {path: refusal(bundle_at, Path(path), check) for path in paths}
    if len(paths) < len(names) or not names:
        with opened(config, sets) as desk:
            others = [name for name in names if name not in found] or desk.registry.versions()
            found |= {name: refusal(desk.bundle, name, desk.trust) for name in others}
    lines = [
        f"ok    {name}" if problem is None else f"FAIL  {problem}"
        for name, problem in found.items()
    ]
    ok = not any(found.values())
    say(output, {"ok": ok, "problems": found}, lines or ["nothing to verify"])
    return 0 if ok else 1


@model.command()
@common
@why_option
@yes_option
@click.argument("name", default="challenger")
def promote(
    *, config: Path, sets: tuple[str, ...], output: str, why: str, yes: bool, name: str
) -> int:
    """Let a model judge, the challenger by default.

    Every daemon on this registry takes it over within seconds.
    """
    from streamer.lifecycle import promotion

    with opened(config, sets) as desk:
        version, aliases = desk.bundle(name).version, desk.registry.aliases()
        confirm(
            f"promote {version}? The champion is {aliases.get('champion', 'nothing')}.", yes=yes
        )
        done = promotion.promote(desk.registry, version, why, over=aliases, check=desk.trust)
        told = {"done": done, "aliases": dict(desk.registry.aliases())}
    said = (
        f"{version} is champion"
        if done
        else "somebody else moved the champion just now; look, and decide again"
    )
    say(output, told, [said])
    return 0 if done else 1


@model.command()
@common
@why_option
@yes_option
def rollback(*, config: Path, sets: tuple[str, ...], output: str, why: str, yes: bool) -> None:
    """Let the previous model judge again, or the starter if no model was champion before."""
    from streamer.lifecycle import promotion

    with opened(config, sets) as desk:
        aliases = desk.registry.aliases()
        champion, previous = aliases.get("champion"), aliases.get("previous", "the starter")
        if "previous" in aliases or promotion.is_first(desk.registry, champion):
            confirm(f"go back from {champion} to {previous}?", yes=yes)
        version = promotion.rollback(desk.registry, why, over=aliases, check=desk.trust)
        told = {"done": True, "aliases": dict(desk.registry.aliases())}
    said = "the starter judges again" if version is None else f"{version} is champion again"
    say(output, told, [said])


@model.command()
@common
@why_option
@click.option("--off", is_flag=True, help="Let nobody be the challenger.")
@click.argument("name", required=False)
def shadow(
    *, config: Path, sets: tuple[str, ...], output: str, why: str, off: bool, name: str | None
) -> None:
    """Make a model the challenger: it scores live traffic without alerts, beside the champion.

    After model.shadow.events it is dropped if there is an objection. Otherwise it is promoted if
    the gate passed it and model.shadow.promote is auto; else it waits for `streamer model promote`.
    """
    from streamer.lifecycle import promotion

    if off == (name is not None):
        raise click.UsageError("name a model, or say --off")
    with opened(config, sets) as desk:
        version = None if name is None else desk.bundle(name).version
        promotion.shadow(desk.registry, version, why, check=desk.trust)
        told = {"done": True, "aliases": dict(desk.registry.aliases())}
    say(output, told, [f"{version} is the challenger" if version else "there is no challenger"])


@model.command()
@common
@click.argument("name")
@click.argument("out", type=click.Path(path_type=Path))
def export(*, config: Path, sets: tuple[str, ...], output: str, name: str, out: Path) -> None:
    """Write a model to OUT: a new directory, a .tar file, or its step as an .onnx graph.

    The graph is for runtimes other than LiteRT and TensorFlow, and needs the extra `onnx`.
    Directory and .tar hold the complete model and can be imported elsewhere.
    """
    from streamer import artifact
    from streamer.connect.storage.bundle_tar import pack
    from streamer.errors import InputError

    with opened(config, sets) as desk:
        bundle = desk.bundle(name)
    if out.exists():
        raise InputError(f"{out} is there already; name another")
    if out.suffix == ".onnx":
        from models.onnx_export import written

        written(bundle, out)
    elif out.suffix == ".tar":
        pack(bundle.files, out)
    else:
        artifact.unpack(bundle, out)
    say(
        output, {"version": bundle.version, "out": str(out)}, [f"{bundle.version} written to {out}"]
    )


@model.command("import")
@common
@click.argument("source", type=click.Path(exists=True, path_type=Path))
def import_(*, config: Path, sets: tuple[str, ...], output: str, source: Path) -> None:
    """Import a bundle, a directory or a .tar, after verifying it.

    No alias moves. The folder of the registry is created if it does not exist.
    """
    with opened(config, sets, create=True) as desk, unpacked(source) as directory:
        from streamer import artifact

        artifact.load(directory, desk.trust)
        version = desk.registry.publish(directory)
    say(
        output,
        {"version": version},
        [f"{version} is in the registry; streamer model promote {version} lets it judge"],
    )


@model.command()
@common
@yes_option
@click.option(
    "--keep",
    type=click.IntRange(min=0),
    default=5,
    show_default=True,
    metavar="N",
    help="The newest N stay, besides every model that an alias points at.",
)
def prune(*, config: Path, sets: tuple[str, ...], output: str, yes: bool, keep: int) -> None:
    """Remove old versions that no alias points at."""
    from streamer.lifecycle.promotion import prunable

    with opened(config, sets) as desk:
        gone = prunable(desk.registry, keep)
        if gone:
            confirm(f"remove {', '.join(gone)} for ever?", yes=yes)
        for version in gone:
            desk.registry.remove(version)
    say(
        output,
        {"removed": gone},
        [f"removed {version}" for version in gone] or ["nothing to remove"],
    )


@model.command()
@common
@click.option(
    "--key",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="PEM",
    help="The private key, as `keygen` makes it.",
)
@click.argument("name")
def sign(*, config: Path, sets: tuple[str, ...], output: str, key: Path, name: str) -> None:
    """Sign a model of the registry that is not signed yet."""
    from streamer import signing
    from streamer.artifact import SIGNATURE
    from streamer.errors import UntrustedBundle

    with opened(config, sets) as desk, tempfile.TemporaryDirectory() as scratch:
        bundle = desk.bundle(name)
        if bundle.signature is not None:
            raise UntrustedBundle(
                f"{bundle.version} is signed already, by {signing.signer(bundle.signature)}"
            )
        signature = signing.sign(bundle.sealed, key)
        for part, blob in (bundle.files | {SIGNATURE: signature}).items():
            (Path(scratch) / part).write_bytes(blob)
        desk.registry.publish(Path(scratch))
    signer = signing.signer(signature)
    say(
        output,
        {"version": bundle.version, "signed_by": signer},
        [f"{bundle.version} is signed by {signer}"],
    )


@model.command()
@format_option("human", "json")
@click.argument("out", type=click.Path(path_type=Path), metavar="PEM")
def keygen(*, output: str, out: Path) -> None:
    """Make a key to sign models: the private key goes to PEM, the public one into model.keys."""
    from streamer import signing

    public = signing.generate(out)
    say(output, {"private": str(out), "public": public}, [f"model: {{keys: [{public}]}}"])


@dataclass(frozen=True, slots=True)
class OpenRegistry:
    """The registry, and the signatures that are accepted."""

    registry: Registry
    trust: Trust

    def bundle(self, name: str, check: Trust | None = None) -> Bundle:
        """Return a model, verified; its signature is checked only with `check`."""
        from streamer import artifact

        return artifact.load(self.registry.path(name), check)


@contextmanager
def opened(path: Path, sets: tuple[str, ...], *, create: bool = False) -> Iterator[OpenRegistry]:
    from streamer.config import load_config
    from streamer.runtime.model import trust_for

    config = load_config(path, sets)
    trust = trust_for(config.model)
    with closing(_registry(config, create=create)) as registry:
        yield OpenRegistry(registry, trust)


def _registry(config: Config, *, create: bool) -> Registry:
    from streamer.connect import open_registry
    from streamer.errors import ConfigError

    registry = open_registry(config, create=create)
    if registry is None:
        raise ConfigError(
            "model.registry", "is not set; write model: {registry: state/registry}, or redis"
        )
    return registry


def say(output: str, told: Mapping[str, Any], lines: Any) -> None:
    """Print one JSON object, or lines for people."""
    if output == "json":
        click.echo(json.dumps({"schema": SCHEMA, **told}, ensure_ascii=False))
        return
    for line in lines:
        click.echo(line)
