"""MessagePack objects to columns, by a typed decoder per field mapping."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from streamer.connect.formats.objects import ObjectDecoder


class MsgpackDecoder(ObjectDecoder):
    """Decoder of one map per record, with texts as keys.

    MessagePack timestamps (extension -1) are times, independent of the configured unit.
    """

    malformed = "bad_msgpack"

    def _typed_parser(self, record: type) -> Callable[[bytes], Any]:
        return msgspec.msgpack.Decoder(record).decode

    def _plain(self, line: bytes) -> Any:
        return msgspec.msgpack.decode(line)
