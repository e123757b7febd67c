"""Laws of the loader: one test for each kind of wrong configuration, its place and the nearest
right name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from streamer.config import PRESETS, ConfigErrors, config_from, load_config, stream_from
from streamer.errors import ConfigError
from tests.config.examples import GOOD, load, problems


def test_a_right_configuration_loads(tmp_path: Path) -> None:
    stream = load(tmp_path, GOOD).stream("vibration")
    settings = stream.detect_settings(["rms", "temp"])
    assert (settings.k_of, settings.n_of, settings.cooldown_s, settings.late_s) == (3, 5, 120, 10)
    assert (settings.units, settings.max_gap_s, settings.idle_after_s) == (
        ("mm/s", None),
        30,
        math.inf,
    )
    assert settings.max_entities == PRESETS["sensors"]["detect"]["max_entities"]


# Each change of the good configuration, and the one problem it must give.
def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = GOOD
    for right, wrong in (
        ("preset: sensors", "preset: x"),
        ("kind: file", "kind: x"),
        ("2m", "2"),
        ("auto}", "x}"),
    ):
        text = text.replace(right, wrong, 1)
    lines = [int(shown.split(":")[1]) for shown in problems(tmp_path, text + "zzz: ${NOPE}\n")]
    assert lines == [4, 5, 8, 11, 12]


def test_a_problem_shows_its_source_line_with_a_caret(tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors) as caught:
        load(tmp_path, GOOD.replace("preset: sensors", "preset: x"))
    assert caught.value.problems[0].render().splitlines()[1:] == [
        "     4 |     preset: x",
        "       |             ^",
    ]


def test_two_streams_may_not_share_a_name_a_pipe_or_a_score_file(tmp_path: Path) -> None:
    text = """\
version: 1
streams:
  - {name: a, source: {kind: file, path: "-"}, fields: {time: null, channels: [v]}}
  - {name: a, source: {kind: file, path: "-"}, fields: {time: null, channels: [v]}}
scores: {path: out.csv}
"""
    shown = "\n".join(problems(tmp_path, text))
    assert "streams[1].name: 'a' is the name of two streams" in shown
    assert "streams[1].source.path: standard input is read by another stream" in shown
    assert "scores.path: must hold {stream} where there are 2 streams" in shown


def test_sources_with_fields_of_their_own_refuse_others(tmp_path: Path) -> None:
    text = "version: 1\nstreams:\n  - {name: h, source: {kind: host}, fields: {time: ts}}\n"
    assert "a host source brings its own fields" in problems(tmp_path, text)[0]


def test_standard_input_needs_its_channels_named(tmp_path: Path) -> None:
    text = (
        "version: 1\nstreams:\n  - {name: a, source: {kind: file, path: '-'}, fields: {time: ts}}\n"
    )
    (shown,) = problems(tmp_path, text)
    assert "streams[0].fields.channels: must be named for standard input" in shown


def test_row_numbers_carry_neither_rhythm_nor_silence(tmp_path: Path) -> None:
    base = {"name": "a", "source": {"kind": "file", "path": "x"}, "fields": {"time": None}}
    assert stream_from(base).detect_settings(["v"]).rhythm is False
    for key in ("rhythm", "silence"):
        with pytest.raises(ConfigErrors, match=f"streams\\[0\\].detect.{key}: cannot be true"):
            stream_from({**base, "detect": {key: True}})


@pytest.mark.parametrize("text", ["streams", "[1, 2]", "42"])
def test_a_file_that_is_no_mapping_is_said(tmp_path: Path, text: str) -> None:
    assert "must be a mapping of settings" in problems(tmp_path, text)[0]


def test_an_empty_list_of_streams_is_said(tmp_path: Path) -> None:
    assert problems(tmp_path, "version: 1\nstreams: []\n") == [
        "c.yaml:2:10: streams: needs at least one item"
    ]


def test_a_missing_file_a_folder_and_an_empty_file_are_said(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigErrors, match=r"nope\.yaml: cannot be read: No such file.*name another with -c FILE"
    ):
        load_config(tmp_path / "nope.yaml", env={})
    with pytest.raises(ConfigErrors, match="cannot be read: Is a directory"):
        load_config(tmp_path, env={})
    assert problems(tmp_path, "") == ["c.yaml: empty; it needs at least version and streams"]


def test_all_of_it_is_a_configuration_error_with_exit_code_3(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, "version: 1")
    assert caught.value.exit_code == 3


def test_flags_beat_variables_beat_the_file_beat_presets_beat_defaults(tmp_path: Path) -> None:
    def cooldown(
        text: str, sets: Sequence[str] = (), env: Mapping[str, str] | None = None
    ) -> float:
        return load(tmp_path, text, sets, env).streams[0].detect.cooldown

    env = {"STREAMER__STREAMS__VIBRATION__DETECT__COOLDOWN": "3m"}
    bare = GOOD.replace(", cooldown: 2m", "")
    assert cooldown(GOOD, ["streams.vibration.detect.cooldown=4m"], env) == 240
    assert cooldown(GOOD, env=env) == 180
    assert cooldown(GOOD) == 120
    assert cooldown(bare) == 300
    assert cooldown(bare.replace("    preset: sensors\n", "")) == 0


@pytest.mark.parametrize(
    "target", ["streams.0.window.late", "streams[0].window.late", "streams.vibration.window.late"]
)
def test_a_flag_may_name_a_stream_by_index_or_name(tmp_path: Path, target: str) -> None:
    assert float(load(tmp_path, GOOD, [f"{target}=7s"]).streams[0].window.late) == 7


def test_a_flag_may_give_a_list_a_mapping_or_null(tmp_path: Path) -> None:
    sets = [
        "sinks=[{kind: memory}]",
        "streams.0.fields={time: null}",
        "streams.0.window.max_gap=null",
        "log.level=debug",
    ]
    config = load(tmp_path, GOOD, sets)
    assert config.sinks[0].kind == "memory"
    assert config.streams[0].fields.time is None
    assert config.streams[0].window.max_gap is None
    assert config.log.level == "debug"


def test_a_flag_mends_what_is_wrong_in_the_file(tmp_path: Path) -> None:
    assert (
        load(tmp_path, GOOD.replace("info", '"${NOPE}"'), ["log.level=error"]).log.level == "error"
    )


def test_a_whole_configuration_can_come_from_flags() -> None:
    sets = ["version=1", "streams=[{name: a, source: {kind: host}}]"]
    assert load_config(None, sets, {}).stream("a").source.kind == "host"


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("log.level", "--set log.level: 'log.level' is not PATH=VALUE"),
        ("=x", "is not PATH=VALUE"),
        ("log.lvl=info", "--set log.lvl=info: log.lvl: unknown key"),
        ("log.lvel=info", "did you mean level?"),
        ("streams.vibraton.name=x", "streams has no item 'vibraton'; there are: vibration, 0 to 0"),
        ("streams.9.name=x", "streams has no item '9'"),
        ("sinks=[{kind: ]", "not YAML"),
        ("streams.0.detect.cooldown=5", "a duration needs a unit: write 5s or 5m"),
    ],
)
def test_a_wrong_flag_is_named(tmp_path: Path, flag: str, words: str) -> None:
    (shown,) = problems(tmp_path, GOOD, [flag])
    assert shown.startswith("--set ")
    assert words in shown


def test_a_wrong_variable_is_named(tmp_path: Path) -> None:
    (shown,) = problems(tmp_path, GOOD, env={"STREAMER__LOG__LEVEL": "x"})
    assert shown.startswith("variable STREAMER__LOG__LEVEL: log.level: must be debug")


def test_variables_of_another_form_are_none_of_ours(tmp_path: Path) -> None:
    assert (
        load(tmp_path, GOOD, env={"STREAMER_LOG_LEVEL": "x", "STREAMER": "y"}).log.level == "info"
    )


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_every_preset_is_valid_and_known(preset: str) -> None:
    stream = stream_from({"name": "a", "preset": preset, "source": {"kind": "synthetic"}})
    assert stream.preset == preset
    assert stream.detect_settings(["v"]).channels == ("v",)


def test_plain_data_is_not_changed_by_loading() -> None:
    data = {"version": 1, "streams": [{"name": "a", "preset": "edge", "source": {"kind": "host"}}]}
    before = repr(data)
    config_from(data, ["log.level=debug"])
    assert repr(data) == before


def test_a_configuration_survives_being_dumped_and_loaded(tmp_path: Path) -> None:
    bare = {
        "version": 1,
        "streams": [
            {"name": "a", "source": {"kind": "file", "path": "x"}, "fields": {"time": "t"}}
        ],
    }
    host = {"version": 1, "streams": [{"name": "a", "preset": "edge", "source": {"kind": "host"}}]}
    for config in (config_from(bare), config_from(host), load(tmp_path, GOOD)):
        dumped = config.model_dump(mode="json", by_alias=True)
        assert config_from(dumped).model_dump(mode="json", by_alias=True) == dumped


def test_an_unknown_stream_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no stream is named 'x'; there are: vibration"):
        load(tmp_path, GOOD).stream("x")


@pytest.mark.parametrize(
    ("listen", "host", "port", "loopback"),
    [
        ("127.0.0.1:80", "127.0.0.1", 80, True),
        ("[::1]:0", "::1", 0, True),
        ("localhost:1", "localhost", 1, True),
        ("0.0.0.0:80", "0.0.0.0", 80, False),
        ("box.example:80", "box.example", 80, False),
        ("[::]:80", "::", 80, False),
    ],
)
def test_only_loopback_needs_no_token(
    tmp_path: Path, listen: str, host: str, port: int, loopback: bool
) -> None:
    server = load(tmp_path, GOOD, [f"server.listen={listen}", "server.token=abc"]).server
    assert (server.host, server.port, server.loopback) == (host, port, loopback)
    if not loopback:
        assert "server.token: is needed" in problems(tmp_path, GOOD, [f"server.listen={listen}"])[0]


def test_the_example_at_the_root_loads() -> None:
    root = Path(__file__).parents[2]
    assert load_config(root / "config.yaml", env={}).streams
