"""config.yaml: one typed section per part, read from YAML, environment and flags.

Every error names its place and the nearest right name.
"""

from streamer.config.detection import Alerts, Detect, Window
from streamer.config.fields import Fields, Time
from streamer.config.kafka import DeadLetterTopic, Kafka, KafkaSink, KafkaSource
from streamer.config.kafka_security import KafkaSecurity, Sasl, TokenEndpoint
from streamer.config.kinds import Kind, Kinds, SinkKind, SourceKind
from streamer.config.learning import Drift, Retrain, RetrainEvaluate, RetrainGate, RetrainLimits
from streamer.config.load import config_from, load_config, stream_from
from streamer.config.model import Model
from streamer.config.parts import OpenSetting, SinkSection, SourceSection
from streamer.config.presets import PRESETS
from streamer.config.problems import ConfigErrors, Problem
from streamer.config.schema import (
    Config,
    DeadLetters,
    FileSink,
    Log,
    MemorySink,
    Runtime,
    ScoreOutput,
    Server,
    Sink,
    StdoutSink,
)
from streamer.config.state import (
    DeadLetterFile,
    FileStore,
    LabelFile,
    Labels,
    LabelTopic,
    NoStore,
    RedisStore,
    SchemaRegistry,
    Snapshots,
    Store,
)
from streamer.config.stream import (
    FileSource,
    HostSource,
    MemorySource,
    Source,
    Stream,
    SyntheticSource,
)
from streamer.config.units import Duration, KofN, Rate, Size

__all__ = [
    "PRESETS",
    "Alerts",
    "Config",
    "ConfigErrors",
    "DeadLetterFile",
    "DeadLetterTopic",
    "DeadLetters",
    "Detect",
    "Drift",
    "Duration",
    "Fields",
    "FileSink",
    "FileSource",
    "FileStore",
    "HostSource",
    "Kafka",
    "KafkaSecurity",
    "KafkaSink",
    "KafkaSource",
    "Kind",
    "Kinds",
    "KofN",
    "LabelFile",
    "LabelTopic",
    "Labels",
    "Log",
    "MemorySink",
    "MemorySource",
    "Model",
    "NoStore",
    "OpenSetting",
    "Problem",
    "Rate",
    "RedisStore",
    "Retrain",
    "RetrainEvaluate",
    "RetrainGate",
    "RetrainLimits",
    "Runtime",
    "Sasl",
    "SchemaRegistry",
    "ScoreOutput",
    "Server",
    "Sink",
    "SinkKind",
    "SinkSection",
    "Size",
    "Snapshots",
    "Source",
    "SourceKind",
    "SourceSection",
    "StdoutSink",
    "Store",
    "Stream",
    "SyntheticSource",
    "Time",
    "TokenEndpoint",
    "Window",
    "config_from",
    "load_config",
    "stream_from",
]
