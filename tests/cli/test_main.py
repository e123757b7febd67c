"""Laws of the command line: codes, one clear line per error, instant help, quiet pipes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from streamer import errors
from streamer.cli import main as cli_main
from streamer.cli.main import COMMANDS, CommandEntry, load, run, twin
from streamer.errors import StreamerError


def streamer(*args: str, stdin: str | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "streamer.cli", *args]
    root = Path(__file__).parents[2]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        input=stdin,
        cwd=root,
        check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": "/", **env},
    )


def test_help_lists_every_command_and_imports_none() -> None:
    code = (
        "import sys; from streamer.cli.main import run; run(['--help']); print(sorted(sys.modules))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert all(f"\n  {name} " in shown for name in COMMANDS)
    heavy = (
        "numpy",
        "pydantic",
        "yaml",
        "structlog",
        "tensorflow",
        "streamer.config",
        "streamer.cli.check",
    )
    assert not [name for name in heavy if f"'{name}'" in shown]


def test_no_arguments_show_the_help_and_are_a_usage_error() -> None:
    done = streamer()
    assert done.returncode == 2
    assert "Start here" in done.stderr


def test_the_version_is_told() -> None:
    assert streamer("--version").stdout.startswith("streamer ")


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("chek", "did you mean check?"),
        ("evaluate", "did you mean eval?"),
        ("zzz", "there are: demo, score"),
    ],
)
def test_an_unknown_command_names_the_nearest(
    word: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([word]) == 2
    assert words in capsys.readouterr().err


def test_an_unknown_flag_is_a_usage_error() -> None:
    done = streamer("check", "--formt", "json")
    assert done.returncode == 2
    assert "--format" in done.stderr


ERRORS = [
    getattr(errors, name)
    for name in vars(errors)
    if name not in {"annotations", "ConfigError", "StreamerError"}
]
OURS = [error for error in ERRORS if isinstance(error, type) and issubclass(error, StreamerError)]


@pytest.mark.parametrize("error", OURS)
def test_each_of_our_errors_is_one_line_and_its_exit_code(
    error: type[StreamerError], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @click.command()
    def fails() -> None:
        raise error("the disk is full")

    monkeypatch.setattr(cli_main, "load", lambda entry: fails)
    assert run(["demo"]) == error.exit_code
    assert capsys.readouterr().err == "error: the disk is full\n"


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (click.Abort(), 130)])
def test_an_interrupt_is_130(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    @click.command()
    def fails() -> None:
        raise error

    monkeypatch.setattr(cli_main, "load", lambda entry: fails)
    assert run(["demo"]) == code


def test_a_reader_that_goes_away_is_no_error() -> None:
    code = "from streamer.cli.main import main; main(['schema', 'config'])"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 141


def test_every_flag_has_an_environment_twin() -> None:
    command = load(CommandEntry("streamer.cli.check:check", "", ""))
    twins = {
        option.name: option.envvar for option in command.params if isinstance(option, click.Option)
    }
    assert twins == {
        "config": "STREAMER_CONFIG",
        "sets": None,
        "show_effective": "STREAMER_SHOW_EFFECTIVE",
        "output": "STREAMER_FORMAT",
        "connect": "STREAMER_CONNECT",
        "security": "STREAMER_SECURITY",
    }


def test_a_twin_is_named_by_the_long_flag() -> None:
    assert twin(click.Option(["-u", "--until-idle", "until_idle_s"])) == "STREAMER_UNTIL_IDLE"


def test_a_flag_beats_its_twin(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("version: 1\nstreams: [{name: a, source: {kind: host}}]\n")
    command = load(COMMANDS["check"])
    env = {"STREAMER_CONFIG": str(tmp_path / "none.yaml")}
    assert CliRunner().invoke(command, [], env=env, standalone_mode=False).return_value == 3
    assert (
        CliRunner()
        .invoke(command, ["-c", str(tmp_path / "a.yaml")], env=env, standalone_mode=False)
        .return_value
        == 0
    )
