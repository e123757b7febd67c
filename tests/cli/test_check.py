"""Laws of `streamer check` and `streamer schema`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from streamer.cli.check import aligned, check
from streamer.cli.schema import schema

GOOD = "version: 1\nstreams: [{name: a, preset: edge, source: {kind: host}}]\nserver: {token: hunter2}\n"


def invoke(tmp_path: Path, text: str, *args: str) -> Result:
    (tmp_path / "c.yaml").write_text(text)
    return CliRunner().invoke(check, ["-c", str(tmp_path / "c.yaml"), *args], standalone_mode=False)


def test_a_sound_file_is_fine(tmp_path: Path) -> None:
    done = invoke(tmp_path, GOOD)
    assert done.return_value == 0
    assert "fine: 1 stream (a)" in done.stdout


def test_problems_go_to_standard_error_and_exit_3(tmp_path: Path) -> None:
    done = invoke(tmp_path, GOOD.replace("host", "hst") + "lgo: 1\n")
    assert done.return_value == 3
    assert done.stdout == ""
    assert "c.yaml:2:50: streams[0].source.kind: unknown kind 'hst'" in done.stderr
    assert done.stderr.endswith("c.yaml: 2 problems\n")


def test_json_carries_every_problem_with_its_place(tmp_path: Path) -> None:
    done = invoke(tmp_path, GOOD + "lgo: 1\n", "--format", "json")
    body: dict[str, Any] = json.loads(done.stdout)
    assert (body["schema"], body["ok"], done.return_value) == ("streamer.check/1", False, 3)
    assert body["problems"] == [
        {"path": "lgo", "problem": "unknown key", "hint": "did you mean log?", "line": 4, "column": 1,
         "where": f"{tmp_path}/c.yaml:4:1"}
    ]  # fmt: skip


@pytest.mark.parametrize("form", ["human", "json"])
def test_the_effective_settings_show_origins_and_no_secret(tmp_path: Path, form: str) -> None:
    done = invoke(tmp_path, GOOD, "--show-effective", "--set", "log.level=debug", "--format", form)
    assert "preset edge" in done.stdout
    assert "--set log.level=debug" in done.stdout
    assert "hunter2" not in done.output


def test_effective_settings_stand_in_columns() -> None:
    assert aligned([("a", "1", "x"), ("long.path", "2", "y")]) == ["a: 1          # x", "long.path: 2  # y"]


@pytest.mark.parametrize("what", ["config", "alert"])
def test_schemas_are_json_schemas(what: str) -> None:
    body = json.loads(CliRunner().invoke(schema, [what]).stdout)
    assert body["$schema"].startswith("https://json-schema.org/")
    assert body["$defs"]


def test_the_schema_of_the_configuration_knows_its_units() -> None:
    body = json.loads(CliRunner().invoke(schema, ["config"]).stdout)
    assert body["$defs"]["Detect"]["properties"]["for"]["examples"] == ["3 of 5", "1 of 1"]
    assert body["$defs"]["Detect"]["properties"]["for"]["default"] == "1 of 1"
    assert body["$defs"]["Window"]["properties"]["late"]["default"] == "1h"
    assert body["$defs"]["Detect"]["additionalProperties"] is False
    assert set(body["properties"]) >= {"version", "streams", "model", "sinks", "server", "runtime", "log"}
