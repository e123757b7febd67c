"""JSON objects to columns, by a typed decoder per field mapping."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec

from streamer.connect.formats.objects import ObjectDecoder, Unreadable

# Python's json module writes and reads these, though JSON has no such numbers.
LENIENT = (b"NaN", b"Infinity")


class JsonDecoder(ObjectDecoder):
    """Decoder of one JSON object per record; NaN and Infinity count as not finite."""

    malformed = "bad_json"

    def _typed_parser(self, record: type) -> Callable[[bytes], Any]:
        return msgspec.json.Decoder(record).decode

    def _plain(self, line: bytes) -> Any:
        try:
            parsed = json.loads(line)
            json.dumps(parsed, ensure_ascii=False).encode()
        except ValueError:
            raise Unreadable(self.malformed) from None
        return parsed

    def _deserves_another(self, exc: Exception, line: bytes) -> bool:
        lenient = isinstance(exc, msgspec.DecodeError) and any(word in line for word in LENIENT)
        return lenient or super()._deserves_another(exc, line)
