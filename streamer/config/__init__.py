"""config.yaml: one typed section per part; YAML, environment, flags; every error with its place and the right name."""

from streamer.config.load import config_from, load_config, stream_from
from streamer.config.presets import PRESETS
from streamer.config.problems import ConfigErrors, Problem
from streamer.config.schema import (
    Config,
    FileSink,
    Log,
    MemorySink,
    Model,
    Runtime,
    ScoreOutput,
    Server,
    Sink,
    StdoutSink,
)  # fmt: skip
from streamer.config.stream import (
    Alerts,
    Detect,
    Fields,
    FileSource,
    HostSource,
    MemorySource,
    Source,
    Stream,
    SyntheticSource,
    Time,
    Window,
)  # fmt: skip
from streamer.config.units import Duration, KofN, Rate, Size

__all__ = [
    "PRESETS",
    "Alerts",
    "Config",
    "ConfigErrors",
    "Detect",
    "Duration",
    "Fields",
    "FileSink",
    "FileSource",
    "HostSource",
    "KofN",
    "Log",
    "MemorySink",
    "MemorySource",
    "Model",
    "Problem",
    "Rate",
    "Runtime",
    "ScoreOutput",
    "Server",
    "Sink",
    "Size",
    "Source",
    "StdoutSink",
    "Stream",
    "SyntheticSource",
    "Time",
    "Window",
    "config_from",
    "load_config",
    "stream_from",
]  # fmt: skip
