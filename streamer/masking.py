"""Masking of secrets in source lines, listings and logs."""

from __future__ import annotations

import re

MASK = "***"
SECRET_NAME = re.compile(
    r"pass(?:word|phrase|wd)|(?:^|[_.-])pass$|secret|token$|credential|(?:api|private|access)[_.-]?key",
    re.IGNORECASE,
)
USERINFO = re.compile(r"(?<=://)[^/@\s]+@")
# user:password@host without a scheme
_LOGIN = re.compile(r"""[^\s"'@,/:{}\[\]]{1,64}:[^\s"'@,/]{1,128}@""")
# Prefixes are bounded: the time for a long line of word characters would be quadratic otherwise.
_WORD = (
    r"(?:[A-Za-z0-9_.-]{0,40}(?:password|passphrase|passwd|secret|token|credentials?"
    r"|(?:api|private|access)[_.-]?key))"
)
_VALUE = r"""("[^"]*"?|'[^']*'?|[^,}\]\s&;][^,}\]\s&;]*)"""
_ASSIGNED = re.compile(rf"""({_WORD}["']?\s*(?:=|:\s+)\s*){_VALUE}""", re.IGNORECASE)
_YAML = re.compile(rf"""({_WORD}["']?\s*:\s+)("[^"]*"?|'[^']*'?|[^,}}\s][^,}}]*)""", re.IGNORECASE)
_BEARER = re.compile(r"\b((?:Bearer|Basic)\s+)[A-Za-z0-9._~+/=-]{4,}", re.IGNORECASE)


def is_secret_name(name: str) -> bool:
    """Whether a setting, field or variable of that name holds a secret."""
    return SECRET_NAME.search(name) is not None


def conceal_yaml(line: str) -> str:
    """Return a line of YAML without the values of secrets and the credentials of addresses."""
    return _LOGIN.sub(f"{MASK}@", USERINFO.sub(f"{MASK}@", _YAML.sub(rf"\1{MASK}", line)))


def conceal(text: str) -> str:
    """Return text without `password=x`, bearer tokens and the credentials of addresses."""
    text = _ASSIGNED.sub(rf"\1{MASK}", _BEARER.sub(rf"\1{MASK}", text))
    return USERINFO.sub(f"{MASK}@", text)
