"""Laws of the listing: every setting, its value, its origin; never a secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamer.config import Config, ConfigErrors, load_config

TEXT = """\
version: 1
streams:
  - name: a
    preset: sensors
    source: {kind: file, path: "http://user:hunter2@host/x.csv"}
    fields: {time: ts, channels: [x, y]}
server: {listen: "0.0.0.0:8080", token: "${TOKEN}"}
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    path = tmp_path / "c.yaml"
    path.write_text(TEXT)
    return load_config(
        path, ["log.level=debug"], {"TOKEN": "hunter2", "STREAMER__MODEL__BACKEND": "numpy"}
    )


def origins(config: Config) -> dict[str, tuple[str, str]]:
    return {path: (value, origin.rpartition("/")[2]) for path, value, origin in config.effective()}


@pytest.mark.parametrize(
    ("path", "value", "origin"),
    [
        ("version", "1", "c.yaml:1:10"),
        ("streams[0].window.late", "1m", "preset sensors"),
        ("streams[0].fields.time.path", "ts", "c.yaml:6:20"),
        ("streams[0].fields.time.unit", "auto", "c.yaml:6:20"),
        ("streams[0].fields.channels", '["x", "y"]', "c.yaml:6:34"),
        ("streams[0].detect.for", "1 of 1", "default"),
        ("log.level", "debug", "--set log.level=debug"),
        ("model.backend", "numpy", "variable STREAMER__MODEL__BACKEND"),
        ("server.token", "***", "c.yaml:7:41"),
        ("scores", "null", "default"),
    ],
)
def test_every_setting_says_where_it_comes_from(
    config: Config, path: str, value: str, origin: str
) -> None:
    assert origins(config)[path] == (value, origin)


def test_no_secret_is_ever_listed(config: Config) -> None:
    assert "hunter2" not in repr(config.effective())
    assert "hunter2" not in repr(config.server)


def test_what_was_read_from_a_file_of_secrets_is_masked(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("a")
    text = TEXT.replace("name: a", f"name: ${{file:{tmp_path}/s}}").replace("0.0.0.0", "127.0.0.1")
    (tmp_path / "c.yaml").write_text(text)
    assert (
        origins(load_config(tmp_path / "c.yaml", env={"TOKEN": ""}))["streams[0].name"][0] == "***"
    )


@pytest.mark.parametrize(
    "line",
    [
        "server: {token: hunter2, listen: x}",
        'server: {listen: x, token: "hunter2, 3"}',
        "server: {token: [hunter2]}",
        'server:\n  token: "hunter2\\n"',
        "server: {password: hunter2}",
        "model: {path: 'http://u:hunter2@h/', threads: 0}",
    ],
)
def test_no_problem_shows_a_secret(tmp_path: Path, line: str) -> None:
    (tmp_path / "c.yaml").write_text(f"version: 1\nstreams: []\n{line}\n")
    with pytest.raises(ConfigErrors) as caught:
        load_config(tmp_path / "c.yaml", env={})
    assert "hunter2" not in str(caught.value)


def test_a_secret_given_by_flag_is_not_repeated(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(TEXT)
    with pytest.raises(ConfigErrors) as caught:
        load_config(
            tmp_path / "c.yaml", ["server.token=hunter2\n", "server.tokn=3"], {"TOKEN": "x"}
        )
    assert "hunter2" not in str(caught.value)
