"""Expands `${VAR}`, `${VAR:-default}`, `${file:path}` and `$$` inside one parsed scalar.

It is never applied to the YAML text itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from streamer.errors import ConfigError
from streamer.masking import is_secret_name

MAX_FILE_BYTES = 64 * 1024
_TOKEN = re.compile(r"\$\$|\$\{")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Expanded:
    """The text after expansion, and whether a part of it must not be shown."""

    text: str
    secret: bool = False
    # no part came from a variable or another file, so it is readable in the configuration
    clear: bool = True


def expand(text: str, env: Mapping[str, str]) -> Expanded:
    """Replace every reference.

    ConfigError if a variable is unset, a file unreadable or a reference malformed.
    """
    out: list[str] = []
    secret, clear, at = False, True, 0
    while (match := _TOKEN.search(text, at)) is not None:
        out.append(text[at : match.start()])
        if match[0] == "$$":
            out.append("$")
            at = match.end()
            continue
        reference, at = _reference(text, match.end())
        value = _value(reference, env)
        out.append(value.text)
        secret |= value.secret
        clear &= value.clear
    return Expanded("".join([*out, text[at:]]), secret, clear)


def _reference(text: str, start: int) -> tuple[str, int]:
    end = text.find("}", start)
    if end < 0:
        raise ConfigError("", "${ without }: close it, or write $$ for a dollar sign")
    reference = text[start:end]
    if "${" in reference:
        raise ConfigError("", "a reference inside a reference is not supported")
    return reference, end + 1


def _value(reference: str, env: Mapping[str, str]) -> Expanded:
    if reference.startswith("file:"):
        return Expanded(_file(Path(reference.removeprefix("file:"))), secret=True, clear=False)
    name, has_default, default = reference.partition(":-")
    if not _NAME.fullmatch(name):
        raise ConfigError(
            "", f"${{{reference}}} is not ${{VAR}}, ${{VAR:-default}} or ${{file:path}}"
        )
    value = env.get(name)
    if has_default and not value:
        return Expanded(default, is_secret_name(name))
    if value is None:
        raise ConfigError(
            "", f"the variable {name} is not set; set it, or write ${{{name}:-default}}"
        )
    return Expanded(value, is_secret_name(name), clear=False)


def _file(path: Path) -> str:
    """Return the content of a file without its last line break."""
    try:
        with path.open("rb") as handle:
            blob = handle.read(MAX_FILE_BYTES + 1)
        text = blob.decode()
    except OSError as exc:
        raise ConfigError("", f"${{file:{path}}} cannot be read: {exc.strerror}") from exc
    except ValueError as exc:
        raise ConfigError("", f"${{file:{path}}} is not UTF-8 text") from exc
    if len(blob) > MAX_FILE_BYTES:
        raise ConfigError("", f"${{file:{path}}} is larger than {MAX_FILE_BYTES} bytes")
    return text.removesuffix("\n").removesuffix("\r")
