"""Every error a caller may catch, as one tree.

StreamerError
├── ConfigError          configuration is wrong: path, problem, what to do       exit 3
├── InputError           a file or stream cannot be read at all                  exit 1
│   ├── RetryLater       what is needed to read is away: keep the records, ask again
│   └── NotKnown         what it speaks of is not known, at least not yet
├── ModelError           a bundle cannot be used
│   ├── CorruptBundle    a part is missing or its hash differs
│   ├── UntrustedBundle  a signature is missing, foreign or false
│   └── SchemaMismatch   the bundle was made for another schema or shape
├── BackendError         the chosen backend cannot run here                      exit 5
├── BrokerError          a message broker cannot be reached, or refuses us       exit 5
├── SinkError            an alert or score could not be delivered                exit 1
│   └── SinkAway         its server cannot be reached at the start, or refuses us exit 5
├── StoreError           state could not be read or written                      exit 5
└── GateRefused          a quality gate said no                                  exit 4
"""

from __future__ import annotations


class StreamerError(Exception):
    """Base of all errors of this package; `exit_code` is what the command line returns."""

    exit_code = 1


class ConfigError(StreamerError):
    """A configuration value is refused; the message names its path, the problem and the value, and
    the file, where that was set.
    """

    exit_code = 3
    file: str | None = None

    def __init__(self, path: str, problem: str, got: object = None) -> None:
        self.path, self.problem, self.got = path, problem, got
        shown = "" if got is None else f", got {got!r}"
        super().__init__(f"{path}: {problem}{shown}" if path else f"{problem}{shown}")

    def __str__(self) -> str:
        text = super().__str__()
        return text if self.file is None else f"{self.file}: {text}"


class InputError(StreamerError):
    """An input cannot be opened or understood as a whole; single bad records do not raise it."""


class RetryLater(InputError):
    """A service that decoding needs, such as a schema registry, does not answer.

    The records may be good and must be kept.
    """


class NotKnown(InputError):
    """An input refers to something that is not known yet."""


class ModelError(StreamerError):
    """A model bundle cannot be used."""


class CorruptBundle(ModelError):
    """A part of the bundle is missing, unreadable or does not match its hash."""


class UntrustedBundle(ModelError):
    """The bundle lacks a required signature, or its signature is foreign or invalid."""


class SchemaMismatch(ModelError):
    """The bundle is intact but made for another format version, shape or stream."""


class BackendError(StreamerError):
    """The chosen backend is not installed or cannot run the model."""

    exit_code = 5


class BrokerError(StreamerError):
    """A message broker cannot be reached or refuses access; the message says why and what to do."""

    exit_code = 5


class SinkError(StreamerError):
    """A sink refused or lost an item."""


class SinkAway(SinkError):
    """The server of a sink cannot be reached or refuses access.

    The message says why and what to do.
    """

    exit_code = 5


class StoreError(StreamerError):
    """State could not be read or written."""

    exit_code = 5


class GateRefused(StreamerError):
    """A quality gate refused a model."""

    exit_code = 4
