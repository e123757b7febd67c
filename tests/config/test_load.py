"""Laws of the loader: one test for each kind of wrong configuration, its place and the nearest
right name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from streamer.config import PRESETS, Config, ConfigErrors, config_from, load_config, stream_from
from streamer.errors import ConfigError

GOOD = """\
version: 1
streams:
  - name: vibration
    preset: sensors
    source: {kind: file, path: data.csv}
    fields: {entity: device, time: {path: ts, unit: s}, channels: [rms, temp], units: {rms: mm/s}}
    window: {length: 32, max_gap: 30s, late: 10s}
    detect: {direction: above, min_deviation: 0.3, for: "3 of 5", cooldown: 2m}
    alerts: {budget: 5/day, severity: {warning: 1.0, critical: 2.0}}
server: {listen: "127.0.0.1:8080", token: "${STREAMER_TOKEN:-}"}
log: {level: info, format: auto}
"""


def load(
    tmp_path: Path, text: str, sets: Sequence[str] = (), env: Mapping[str, str] | None = None
) -> Config:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    return load_config(path, sets, env or {})


def problems(
    tmp_path: Path, text: str, sets: Sequence[str] = (), env: Mapping[str, str] | None = None
) -> list[str]:
    """First lines of all problems, without the folder."""
    with pytest.raises(ConfigErrors) as caught:
        load(tmp_path, text, sets, env)
    return [p.render().splitlines()[0].replace(f"{tmp_path}/", "") for p in caught.value.problems]


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
WRONG = [
    (
        "window: {length: 32",
        "windw: {length: 32",
        "c.yaml:7:5: streams[0].windw: unknown key; did you mean window?",
    ),
    (
        "cooldown: 2m",
        "coolDown: 2m",
        "c.yaml:8:67: streams[0].detect.coolDown: unknown key; did you mean cooldown?",
    ),
    (
        "cooldown: 2m",
        "cooldown: 120",
        "streams[0].detect.cooldown: a duration needs a unit: write 120s or 120m",
    ),
    ("cooldown: 2m", "cooldown: 2 minutes", "'2 minutes' is not a duration; write 250ms, 5m"),
    (
        "budget: 5/day",
        "budget: 5",
        "c.yaml:9:22: streams[0].alerts.budget: a rate needs a unit of time: write 5/day",
    ),
    (
        "budget: 5/day",
        "bugdet: 5/day",
        "streams[0].alerts.bugdet: unknown key; did you mean budget?",
    ),
    (
        "cooldown: 2m",
        "budget: 5/day",
        "streams[0].detect.budget: unknown key here; it belongs to streams[].alerts",
    ),
    (
        "direction: above",
        "direction: up",
        "c.yaml:8:25: streams[0].detect.direction: must be both, above or below",
    ),
    ("direction: above", "direction: abov", "got 'abov'; did you mean above?"),
    ('"3 of 5"', '"6 of 5"', '"6 of 5" cannot be'),
    ('"3 of 5"', "3", 'write "3 of 5"'),
    ("length: 32", "length: 0", "streams[0].window.length: must be at least 1, got 0"),
    ("length: 32", "length: many", "streams[0].window.length: must be a whole number, got 'many'"),
    ("length: 32", "length: true", "streams[0].window.length: must be a number, got true"),
    ("length: 32", "length: 100000", "streams[0].window.length: must be at most 256"),
    ("min_deviation: 0.3", "min_deviation: .nan", "min_deviation: must be a"),
    ("min_deviation: 0.3", "min_deviation: -1", "min_deviation: must be at least 0"),
    (
        "preset: sensors",
        "preset: sensor",
        "c.yaml:4:13: streams[0].preset: must be sensors, transactions",
    ),
    ("name: vibration", "name: a b", "streams[0].name: must be letters, digits"),
    (
        "name: vibration",
        "name: 7",
        'c.yaml:3:11: streams[0].name: must be text; write it in quotes: "7"',
    ),
    ("  - name: vibration\n    preset", "  - preset", "c.yaml:2:1: streams[0].name: is missing"),
    (
        "kind: file",
        "kind: flie",
        "streams[0].source.kind: unknown kind 'flie', known: file, host, kafka, memory, sy",
    ),
    ("kind: file", "kind: flie", "did you mean file?"),
    ("kind: file", "kind: mqtt", "c.yaml:5:20: streams[0].source.kind: unknown kind 'mqtt'"),
    ("kind: file, ", "", "c.yaml:5:13: streams[0].source.kind: is missing"),
    ("path: data.csv", "pth: data.csv", "streams[0].source.pth: unknown key; did you mean path?"),
    ("path: data.csv", 'path: ""', "streams[0].source.path: must not be empty"),
    ("path: data.csv", 'path: "a\\x1b[0m"', "must not hold control characters"),
    ("path: data.csv", "path: x, separator: ab", 'separator: must be one character or "auto"'),
    ("path: data.csv", "path: x, pace: 0", "streams[0].source.pace: must be above 0"),
    ("path: data.csv", "path: x, world: plant", "streams[0].source.world: unknown key here; it"),
    (
        "unit: s}",
        "unit: secs}",
        "c.yaml:6:53: streams[0].fields.time.unit: must be auto, s, ms, us, ns or iso",
    ),
    (
        "time: {path: ts, unit: s}, ",
        "",
        "streams[0].fields.time: is missing: name the time column, or write null",
    ),
    (
        "time: {path: ts, unit: s}",
        "time: [ts]",
        "streams[0].fields.time: must be a mapping of settings, got ['ts']",
    ),
    (
        "channels: [rms, temp]",
        "channels: [rms, rms]",
        "streams[0].fields.channels[1]: 'rms' is named twice",
    ),
    ("channels: [rms, temp]", "channels: rms", 'must be "auto" or a list: write [rms]'),
    (
        "channels: [rms, temp]",
        "channels: [rms, ts]",
        "'ts' is the time; it cannot be a channel too",
    ),
    (
        "entity: device",
        "entity: [device, rms]",
        "streams[0].fields.entity[1]: 'rms' cannot be a channel too",
    ),
    (
        "units: {rms: mm/s}",
        "units: {rsm: mm/s}",
        "streams[0].fields.units.rsm: 'rsm' is not one of the channels",
    ),
    ("units: {rms: mm/s}", "context: [load]", "streams[0].fields.context: not in this version"),
    (
        "cooldown: 2m",
        "watch: [load]",
        "streams[0].detect.watch[0]: 'load' is not one of the channels",
    ),
    ("critical: 2.0", "critical: 0.5", "severity.critical: must be at least 1"),
    (
        "warning: 1.0",
        "warning: 3",
        "streams[0].alerts.severity.critical: must not be below warning (3), got 2",
    ),
    (
        "127.0.0.1:8080",
        "0.0.0.0:8080",
        "server.token: is needed: 0.0.0.0:8080 can be reached from outside",
    ),
    ("127.0.0.1:8080", "8080", "server.listen: must be host:port"),
    ("127.0.0.1:8080", "127.0.0.1:99999", "server.listen: must be host:port"),
    (
        "level: info",
        "level: chatty",
        "c.yaml:11:14: log.level: must be debug, info, warning or error",
    ),
    ("level: info", 'level: "${LEVEL}"', "c.yaml:11:14: log.level: the variable LEVEL is not set"),
    ("level: info", "level: [info]", "log.level: must be debug, info, warning or error"),
    ("log: {", "lgo: {", "c.yaml:11:1: lgo: unknown key; did you mean log?"),
    ("version: 1", "version: 2", "c.yaml:1:10: version: must be 1, got 2"),
    ("version: 1\n", "", "version: is missing"),
    ("level: info", "level: ${LEVEL}", 'inside braces, write "${...}" in quotes'),
    (
        "log: {level: info, format: auto}",
        "retrain: {evry: 24h}",
        "retrain.evry: unknown key; did you mean every?",
    ),
    ("log: {level: info, format: auto}", "retrain: {every: 24h}", "retrain: needs model.registry"),
    (
        "log: {level: info, format: auto}",
        "retrain: {timezone: Mars/Olympus}",
        "retrain.timezone: 'Mars/Olympus' is no",
    ),
    (
        "log: {level: info, format: auto}",
        'retrain: {cron: "0 0 30 2 *"}',
        "retrain.cron: Bad day-of-month; write five fields",
    ),
    (
        "log: {level: info, format: auto}",
        'retrain: {cron: "0 3 * * *", every: 1h}',
        "retrain.cron: excludes every",
    ),
    (
        "log: {level: info, format: auto}",
        "retrain: {evaluate: {every: 5s, jitter: 1s}}",
        "retrain.evaluate.every: mu",
    ),
    (
        "log: {level: info, format: auto}",
        "retrain: {every: 5m, jitter: 5m}",
        "retrain.jitter: must be shorter than ev",
    ),
    (
        "log: {level: info, format: auto}",
        "retrain: {evaluate: {min_rows: 5}}",
        "retrain.evaluate.min_rows: unknown",
    ),
    (
        "log: {level: info, format: auto}",
        "retrain: {limits: {memory: 100MiB}}",
        "retrain.limits.memory: must be at le",
    ),
    (
        "log: {level: info, format: auto}",
        "store: {kind: rediss}",
        "store.kind: unknown kind 'rediss', known: fi",
    ),
    (
        "log: {level: info, format: auto}",
        "model: {alias: edge}",
        "model.alias: needs model.registry",
    ),
    (
        "log: {level: info, format: auto}",
        "model: {backend: tflite}",
        "model.backend: must be auto, litert",
    ),
    (
        "log: {level: info, format: auto}",
        "model: {threads: 0}",
        "model.threads: must be at least 1",
    ),
    (
        "log: {level: info, format: auto}",
        "sinks: [{kind: webhook}]",
        "sinks[0].kind: unknown kind 'webhook'",
    ),
    ("log: {level: info, format: auto}", "sinks: [{kind: file}]", "sinks[0].path: is missing"),
    ("log: {level: info, format: auto}", "sinks: {kind: stdout}", "sinks: must be a list"),
    (
        "log: {level: info, format: auto}",
        "scores: {kind: xml, path: x}",
        "scores.kind: must be jsonl or csv",
    ),
    (
        "log: {level: info, format: auto}",
        "runtime: {retry_first: 1h}",
        "runtime.retry_first: must be above 0s and",
    ),
    (
        "log: {level: info, format: auto}",
        "log: {level: info, level: info}",
        "log.level: the key is set twice",
    ),
    (
        "log: {level: info, format: auto}",
        "sinks: [{kind: file, path: a}, {kind: file, path: a}]",
        "sinks[1].path: 'a' is written by two sinks",
    ),
]


@pytest.mark.parametrize(("right", "wrong", "words"), WRONG, ids=[words for _, _, words in WRONG])
def test_each_mistake_is_named_with_its_place(
    tmp_path: Path, right: str, wrong: str, words: str
) -> None:
    assert right in GOOD
    (shown,) = problems(tmp_path, GOOD.replace(right, wrong, 1))
    assert words in shown
    assert shown.startswith("c.yaml:")


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
