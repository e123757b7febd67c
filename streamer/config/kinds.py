"""Tables of kinds: each row names the section of a kind and the functions for it.

The unions of the schema, the opening of parts, the checks and the kinds of other packages all use
these tables. docs/extending.md shows how to add a row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Generic,
    Literal,
    TypeVar,
    Union,
    get_args,
    get_origin,
)

from pydantic import Field, TypeAdapter
from pydantic_core import core_schema

from streamer.config.base import Section
from streamer.config.parts import (
    DeadLetterSection,
    LabelSection,
    PartSection,
    SinkSection,
    SourceSection,
    StoreSection,
)
from streamer.errors import ConfigError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

PACKAGE = "streamer.config"
# "module:function", imported at the first call, or the function itself
Way = str | Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """One row: a section, and the functions or classes that take it."""

    section: type[PartSection]
    open: Way
    reach: Way | None = None  # (config, sections of this function) to lines of `check --connect`

    @property
    def name(self) -> str:
        """The `kind` of the section."""
        return str(_literal(self.section))


@dataclass(frozen=True, slots=True)
class SourceKind(Kind):
    """open: (stream, section, connect.base.opening.SourceContext) to a protocols.Source."""

    family = SourceSection
    history: Way | None = None  # (stream, section, config, since_s, most) to a Source with an end


@dataclass(frozen=True, slots=True)
class SinkKind(Kind):
    """open: (section, config or None) to a protocols.Sink."""

    family = SinkSection


@dataclass(frozen=True, slots=True)
class DeadLetterKind(Kind):
    """open: (section, config) to a protocols.DeadLetters."""

    family = DeadLetterSection
    inbox: Way = ""  # (section, config, mark of workers) to a dead_letters.inbox.LetterBox


@dataclass(frozen=True, slots=True)
class LabelSourceKind(Kind):
    """open: (section, kafka, place) to a connect.label_sources.LabelSource."""

    family = LabelSection


@dataclass(frozen=True, slots=True)
class StoreKind(Kind):
    """open: (section) to a protocols.Store."""

    family = StoreSection
    journal: Way = ""  # (section) to a journal.Journal
    training_lock: Way | None = None  # (section) to a TrainingLock; None: in the registry's folder
    registry: Way | None = None  # (section) to a protocols.Registry, if it holds models


Row = TypeVar("Row", SourceKind, SinkKind, DeadLetterKind, LabelSourceKind, StoreKind)


class Kinds(Generic[Row]):
    """The rows of one place of the configuration; as an annotation, the union of their sections.

    Packages add rows by entry points of `group`. They are looked up once, when a section is first
    validated, so that an import stays cheap.
    """

    def __init__(self, place: str, *rows: Row, group: str = "") -> None:
        self._place, self._group = place, group
        self._own: tuple[Row, ...] = rows

    @cached_property
    def rows(self) -> Mapping[str, Row]:
        """Every row by its kind; ConfigError if a package adds one that cannot be used."""
        found = {row.name: row for row in self._own}
        for entry in self._installed():
            row = self._checked(entry)
            if row.name in found:
                raise self._broken(entry, f"its kind is taken by {found[row.name].section!r}")
            found[row.name] = row
        return found

    def of(self, section: PartSection) -> Row:
        """Return the row of a section."""
        return self.rows[section.kind]

    def forget(self) -> None:
        """Look for packages again at the next section."""
        self.__dict__.pop("rows", None)
        self.__dict__.pop("_union", None)

    def _installed(self) -> Iterable[EntryPoint]:
        if not self._group:
            return ()
        from importlib.metadata import entry_points

        return entry_points(group=self._group)

    def _checked(self, entry: EntryPoint) -> Row:
        wanted = type(self._own[0])
        try:
            row = entry.load()
        except Exception as exc:  # any error of a foreign module
            raise self._broken(entry, f"{type(exc).__name__}: {exc}") from exc
        if not isinstance(row, wanted):
            raise self._broken(entry, f"{entry.value} is no {wanted.__name__}")
        if not (isinstance(row.section, type) and issubclass(row.section, wanted.family)):
            raise self._broken(entry, f"its section is no {wanted.family.__name__}")
        if _literal(row.section) != entry.name:
            raise self._broken(entry, f"its section needs kind: Literal[{entry.name!r}]")
        if row.section.__name__ in _ours(Section):
            raise self._broken(entry, f"a section of ours is called {row.section.__name__} too")
        return row

    def _broken(self, entry: EntryPoint, why: str) -> ConfigError:
        dist = entry.dist
        brought = "an unknown package" if dist is None else f"{dist.name} {dist.version}"
        return ConfigError(
            self._place,
            f"kind {entry.name!r} of {brought} (entry point {self._group}) cannot be used: {why}; "
            "repair the package or uninstall it",
        )

    @cached_property
    def _union(self) -> TypeAdapter[Any]:
        sections = tuple(row.section for row in self.rows.values())
        chosen: Any = Annotated[Union[sections], Field(discriminator="kind")]  # noqa: UP007
        return TypeAdapter(chosen)

    def __get_pydantic_core_schema__(self, source: object, handler: object) -> Any:
        return core_schema.no_info_plain_validator_function(
            lambda raw: self._union.validate_python(raw)  # noqa: PLW0108 - built at first use
        )

    def __get_pydantic_json_schema__(self, schema: object, handler: Callable[[Any], Any]) -> Any:
        return handler(self._union.core_schema)


def _ours(base: type[Section]) -> set[str]:
    """Names of the sections below `base` that this package defines: the schema tells by name."""
    below = base.__subclasses__()
    own = {one.__name__ for one in below if one.__module__.startswith(f"{PACKAGE}.")}
    return own.union(*map(_ours, below))


def _literal(section: type[PartSection]) -> object:
    """Return the only value of a section's `kind`; None if there are several."""
    annotation = section.model_fields["kind"].annotation
    values = get_args(annotation)
    return values[0] if get_origin(annotation) is Literal and len(values) == 1 else None
