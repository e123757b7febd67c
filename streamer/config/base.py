"""Shared by all sections: refusal of unknown keys, rules across fields, small value types."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from streamer.config.units import Duration

Rule = tuple[tuple[str | int, ...], str]  # path below the section, and the problem there


class Section(BaseModel):
    """A section; it refuses unknown keys and everything that breaks its `rules`."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        validate_by_name=True,
        validate_by_alias=True,
        hide_input_in_errors=True,
    )

    def rules(self) -> Iterator[Rule]:
        """Yield each broken rule that spans several fields."""
        yield from ()

    @model_validator(mode="after")
    def _keep_rules(self) -> Section:
        broken = list(self.rules())
        if broken:
            raise PydanticCustomError(
                "rules", "{count} broken rules", {"count": len(broken), "rules": broken}
            )
        return self


def _text(raw: Any) -> Any:
    if isinstance(raw, bool | int | float):
        raise ValueError(f'must be text; write it in quotes: "{raw}"')
    if isinstance(raw, str) and not raw.strip():
        raise ValueError("must not be empty")
    if isinstance(raw, str) and any(ord(c) < 32 or ord(c) == 127 for c in raw):
        raise ValueError("must not hold control characters")
    return raw


def number_of(raw: Any) -> Any:
    if isinstance(raw, bool):
        raise ValueError(f"must be a number, got {str(raw).lower()}")
    return raw


def _one_or_many(raw: Any) -> Any:
    return [raw] if isinstance(raw, str) else [] if raw is None else raw


def _channels(raw: Any) -> Any:
    if isinstance(raw, str):
        if raw != "auto":
            raise ValueError(f'must be "auto" or a list: write [{raw}]')
        return []
    return raw


def time_of(raw: Any) -> Any:
    return {"path": raw} if isinstance(raw, str) else raw


def blank_is_none(raw: Any) -> Any:
    return None if isinstance(raw, str) and not raw.strip() else raw


Text = Annotated[str, BeforeValidator(_text)]
Name = Annotated[
    str, BeforeValidator(_text), Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)
]
Count = Annotated[int, BeforeValidator(number_of), Field(ge=1)]
Whole = Annotated[int, BeforeValidator(number_of), Field(ge=0)]
Positive = Annotated[float, BeforeValidator(number_of), Field(gt=0)]
NotNegative = Annotated[float, BeforeValidator(number_of), Field(ge=0)]
_MANY = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
_AUTO = {
    "anyOf": [{"const": "auto"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]
}
Names = Annotated[tuple[Text, ...], BeforeValidator(_one_or_many), WithJsonSchema(_MANY)]
Channels = Annotated[
    tuple[Text, ...],
    BeforeValidator(_channels),
    WithJsonSchema(_AUTO),
    PlainSerializer(lambda names: names or "auto"),
]


def between(section: Section, field: str, low: Duration, high: Duration) -> Iterator[Rule]:
    """Yield a broken rule if a duration is out of bounds."""
    value = getattr(section, field)
    if not low <= value <= high:
        yield (field,), f"must be {low} to {high}, got {value}"


def repeated(names: Sequence[str]) -> Iterator[int]:
    """Yield the index of every name that is repeated."""
    return (i for i, name in enumerate(names) if name in names[:i])
