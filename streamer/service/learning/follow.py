"""The registry's choice becomes what judges: verified, probed, tried out, swapped in, watched, rolled back if need be.

One thread beside the flow. It decides and fetches; what touches detectors is left to the scorer's thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import structlog

from streamer import artifact
from streamer.config import Model
from streamer.detect.takeover import misfit
from streamer.errors import BackendError, ModelError, SchemaMismatch, StoreError, StreamerError
from streamer.protocols import ALIASES, Clock, Move, Registry
from streamer.service.backoff import Backoff
from streamer.service.learning import promotion
from streamer.service.learning.judgement import objection
from streamer.service.learning.probe import probe
from streamer.service.learning.promotion import EDGE
from streamer.service.learning.shadow import Seat, Shadow
from streamer.service.learning.swap import Successor, Swapper
from streamer.service.learning.watch import Sample, Watch, left_s, sample
from streamer.service.line import Line
from streamer.service.loading import Loaded, network_of, trust_for
from streamer.service.parts import ModelState

log = structlog.get_logger()

REMEMBERED = 3
WATCHED = ("champion", "edge")  # aliases that a rollback takes back
WAIT_S = 1.0  # of one look at the aliases; between two looks at shadow and watch


class Follower:
    """An attendant of the service (streamer.service.parts.Attendant)."""

    name = "models"

    def __init__(
        self,
        registry: Registry,
        section: Model,
        swapper: Swapper,
        seat: Seat,
        lines: Sequence[Line],
        *,
        clock: Clock = time.monotonic,
        wall: Clock = time.time,
    ) -> None:
        self.registry, self._section, self._swapper, self._seat = registry, section, swapper, seat
        self._lines, self._clock, self._wall = tuple(lines), clock, wall
        trust_for(section)  # a key that is none is an error of the start
        self._seen: Mapping[str, str] = {}
        self._settled: Mapping[str, str] = {}  # aliases whose versions are at work, or refused
        self._refused: set[tuple[str, str]] = set()  # version and time of the move
        self._ready: dict[str, tuple[Loaded, float | None]] = {}
        self._backoff = Backoff(0.5, 30.0, clock)
        self._watch: Watch | None = None
        self._since = Sample()  # totals when the network that judges took over
        self._offered: Successor | None = None
        self._switches = swapper.switches
        self._stopped: Callable[[], bool] = lambda: False

    def run(self, stop: threading.Event) -> None:
        self._stopped = stop.is_set
        try:
            while not stop.is_set():
                self.turn(WAIT_S)
                if not self._backoff.due:
                    stop.wait(WAIT_S)
        finally:
            self.registry.close()

    def turn(self, wait_s: float) -> None:
        """One look at everything, at most `wait_s` for the aliases."""
        try:
            self._follow(wait_s)
            self._switched()
            self._try_out()
            self._guard()
            self._backoff.succeed()
        except StoreError as exc:
            self._backoff.fail()
            self._state.trouble = str(exc)
            log.warning("registry_away", problem=str(exc))

    @property
    def _state(self) -> ModelState:
        return self._swapper.current.state

    # -- the alias that judges ----------------------------------------------------------------------------------------
    def _follow(self, wait_s: float) -> None:
        if not self._backoff.due:
            return
        aliases = self.registry.wait(self._seen, wait_s)
        if aliases is None:
            return
        before, self._seen = self._settled, {"": ""}  # what goes wrong now is tried again
        if not before:
            self._resume_watch(aliases)
        self._take(aliases, before)
        self._seat_challenger(aliases, before)
        self._seen = self._settled = aliases

    def _take(self, aliases: Mapping[str, str], before: Mapping[str, str]) -> None:
        """Bring in the version that the alias names, unless it judges, is on its way, or this move was refused."""
        wanted = aliases.get(self._section.alias, "" if self._section.alias in ALIASES else self._section.alias)
        move = self._move_of(wanted)
        if self._is_at_work(wanted) or (wanted, move.at) in self._refused:
            return
        back = not wanted or wanted == before.get("previous") or wanted == f"{before.get('previous')}{EDGE}"
        try:
            loaded, trained_s = self._fetched(wanted)
        except (ModelError, BackendError) as exc:
            self._refused.add((wanted, move.at))
            self._refuse(wanted, exc)
            return
        self._offered = Successor(loaded, "rolledback" if back else "promoted", move.why, move.at, trained_s)
        self._swapper.offer(self._offered)

    def _is_at_work(self, wanted: str) -> bool:
        coming = self._offered
        ref = self._state.ref if coming is None else coming.loaded.network.ref
        if wanted:
            return ref.version == wanted
        # Nothing was promoted: whatever the service began with may judge, until it was replaced.
        return coming is None and not self._swapper.switches

    def _move_of(self, version: str) -> Move:
        """The newest move that concerns the alias and led to the version."""
        found = (m for m in reversed(self.registry.moves()) if version in (v or "" for v in m.changes.values()))
        return next(found, Move("", {}, ""))

    def _fetched(self, version: str) -> tuple[Loaded, float | None]:
        """A version (none: the starter), verified, probed and open. ModelError or BackendError say why not.

        The last ones are remembered: a challenger that is promoted judges at once, and so does who is rolled back to.
        """
        if version not in self._ready:
            self._ready[version] = self._opened(version)
            while len(self._ready) > REMEMBERED:
                del self._ready[next(iter(self._ready))]
        return self._ready[version]

    def _opened(self, version: str) -> tuple[Loaded, float | None]:
        section = self._section
        directory = self.registry.path(version) if version else artifact.PRETRAINED
        bundle = artifact.load(directory, trust_for(section) if version else None)
        problem = misfit(bundle.spec, self._swapper.current.loaded.spec)
        if problem is not None:
            raise SchemaMismatch(f"{version}: {problem}; it can take over at a restart only")
        probe(directory, section.backend, timeout_s=float(section.probe_timeout), stop=self._stopped)
        return network_of(section, bundle), trained_at(bundle.manifest)

    def _refuse(self, version: str, exc: StreamerError) -> None:
        """What judges goes on. A bundle that is bad everywhere is taken back; what lacks here, somebody must mend."""
        self._state.trouble = str(exc)
        self._state.swaps["refused"] += 1
        log.error("model_refused", model=version, problem=str(exc))
        if isinstance(exc, ModelError) and version:
            self._roll_back(version, f"refused: {exc}")

    def _roll_back(self, version: str, why: str) -> None:
        """Through the registry, so that every replica follows; only while the version is what shall judge."""
        aliases = self.registry.aliases()
        if aliases.get(self._section.alias) != version:
            return
        log.error("model_rollback", model=version, why=why)
        try:
            promotion.rollback(self.registry, why)
        except ModelError:  # there is no previous one: the starter judged before
            champion = version.removesuffix(EDGE)
            self.registry.move({"champion": None, "edge": None}, expected={"champion": champion}, why=why)

    # -- after a switch -----------------------------------------------------------------------------------------------
    def _switched(self) -> None:
        busy = self._swapper.busy
        if self._swapper.switches == self._switches:
            if not busy:
                self._offered = None  # refused by the swapper
            return
        self._switches = self._swapper.switches
        taken, self._offered = self._offered, None
        totals = self._swapper.totals
        before, self._since = totals.since(self._since), totals
        if taken is not None and taken.event == "promoted":
            self._watch = self._watching(taken.loaded.network.ref.version, before, totals)
        else:
            self._watch = None

    def _watching(self, version: str, before: Sample, totals: Sample) -> Watch:
        period = self._section.watch
        return Watch(version, before, totals, period, until_s=self._clock() + float(period.for_))

    def _resume_watch(self, aliases: Mapping[str, str]) -> None:
        """After a restart: a promotion is watched for what is left, by what the alert budgets allow. How things were
        before it is not known any more, so nothing is called slow."""
        alias, period, version = self._section.alias, self._section.watch, self._state.ref.version
        if self._watch is not None or alias not in WATCHED or aliases.get(alias) != version:
            return
        left = left_s(self.registry.moves(), alias, version, period_s=float(period.for_), now_s=self._wall())
        if left > 0:
            self._watch = Watch(version, Sample(), sample(self._lines), period, until_s=self._clock() + left)
            log.info("model_watch_resumed", model=version, left_s=round(left))

    def _guard(self) -> None:
        if self._watch is None:
            return
        broken = self._watch.turn(sample(self._lines), self._clock())
        if broken is not None:
            self._roll_back(self._watch.version, broken)
        if self._watch.over:
            log.info("model_watch_over", model=self._watch.version, kept=broken is None)
            self._watch = None

    # -- the challenger -----------------------------------------------------------------------------------------------
    def _seat_challenger(self, aliases: Mapping[str, str], before: Mapping[str, str]) -> None:
        wanted, alias = self._challenger(aliases), self._section.alias
        if wanted == self._seat.version and aliases.get(alias) == before.get(alias):
            return
        if wanted is None:
            self._seat.offer(None)
            return
        try:
            loaded, _ = self._fetched(wanted)
        except (ModelError, BackendError) as exc:
            self._seat.offer(None)
            self._state.swaps["refused"] += 1
            log.error("challenger_refused", model=wanted, problem=str(exc))
            return
        self._seat.offer(Shadow(loaded, self._lines, self._section.shadow.share, clock=self._clock))
        log.info("shadow_begun", model=wanted, share=self._section.shadow.share)

    def _challenger(self, aliases: Mapping[str, str]) -> str | None:
        """What is to be tried out, of the kind that judges here: an edge twin beside an edge twin."""
        named = aliases.get("challenger")
        if named is None or not self._section.shadow.enabled or self._section.alias not in ALIASES:
            return None
        twin = f"{named}{EDGE}"
        version = twin if self._section.alias == "edge" and twin in self.registry.versions() else named
        return None if version == aliases.get(self._section.alias) else version

    def _try_out(self) -> None:
        report, rules = self._seat.report, self._section.shadow
        if report is None or report.events < rules.events or self._seat.told:
            return
        self._seat.told = True
        problem, named = objection(report, self._section.watch), self._seen.get("challenger", "")
        log.info("shadow_report", **report.summary(), objection=problem)
        if problem is not None:
            self.registry.move({"challenger": None}, expected={"challenger": named}, why=f"shadow: {problem}")
        elif rules.promote == "auto":
            told = f"shadow: {report.events} events, {report.pairs.same} same, {report.pairs.extra} extra, "
            promotion.promote(self.registry, named, f"{told}{report.pairs.lost} lost")


def trained_at(manifest: Mapping[str, object]) -> float | None:
    """When a bundle was made, seconds since 1970."""
    training = manifest.get("training")
    made = training.get("created_at") if isinstance(training, dict) else None
    try:
        return datetime.fromisoformat(str(made)).timestamp() if made else None
    except ValueError:
        return None
