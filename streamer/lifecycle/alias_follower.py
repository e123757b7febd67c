"""The registry's choice becomes what judges: verified, probed, tried out, swapped in, watched,
rolled back if need be.

One thread beside the flow. It decides and fetches; what touches detectors is left to the scorer's
thread.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence

import structlog

from streamer import artifact
from streamer.backoff import Backoff
from streamer.config import Model
from streamer.detect.network.hot_swap import misfit
from streamer.errors import BackendError, GateRefused, ModelError, StoreError, StreamerError
from streamer.lifecycle import promotion
from streamer.lifecycle.hot_swap import Successor, Swapper
from streamer.lifecycle.post_promotion_watch import JudgedCounts, Watch, left_s, sample
from streamer.lifecycle.probe import probe
from streamer.lifecycle.promotion import EDGE, objection
from streamer.lifecycle.shadow import Report, Shadow, ShadowSlot
from streamer.protocols import ALIASES, Clock, Move, Registry
from streamer.runtime.model import LoadedModel, ModelState, network_of, trust_for
from streamer.runtime.stream_processor import StreamProcessor

log = structlog.get_logger()

REMEMBERED = 3
WATCHED = ("champion", "edge")  # aliases that a rollback takes back
AGAIN_S = 300.0  # until a version that could not be opened on this machine is tried again
WAIT_S = 1.0  # of one look at the aliases; between two looks at shadow and watch


class Follower:
    """An attendant of the service (streamer.app.service.Attendant)."""

    name = "models"

    def __init__(
        self,
        registry: Registry,
        section: Model,
        swapper: Swapper,
        shadow_slot: ShadowSlot,
        processors: Sequence[StreamProcessor],
        *,
        clock: Clock = time.monotonic,
        wall: Clock = time.time,
    ) -> None:
        self.registry, self._section, self._swapper, self._shadow_slot = (
            registry,
            section,
            swapper,
            shadow_slot,
        )
        self._processors, self._clock, self._wall = tuple(processors), clock, wall
        trust_for(section)  # a key that is none is an error of the start
        self._seen: Mapping[str, str] = {}
        self._settled: Mapping[str, str] = {}  # aliases whose versions are at work, or refused
        # Version and time of the move -> until when; for ever where the version is bad, and not
        # this machine.
        self._refused: dict[tuple[str, str], float] = {}
        self._ready: dict[str, tuple[LoadedModel, float | None]] = {}
        self._backoff = Backoff(0.5, 30.0, clock)
        self._problem: str | None = None  # with the registry
        self._watch: Watch | None = None
        self._since = JudgedCounts()  # totals when the network that judges took over
        self._shadowed_from = (
            0.0  # incidents that the budgets promised until the challenger was seated
        )
        self._offered: Successor | None = None
        self._switches = swapper.switches
        self._stopped: Callable[[], bool] = lambda: False

    def run(self, stop: threading.Event) -> None:
        self._stopped = stop.is_set
        try:
            while not stop.is_set():
                self.step(WAIT_S)
                if not self._backoff.due:
                    stop.wait(WAIT_S)
        finally:
            self.registry.close()

    def step(self, wait_s: float) -> None:
        """One look at everything, at most `wait_s` for the aliases; none while a registry in
        trouble is let alone.
        """
        if not self._backoff.due:
            return
        try:
            self._follow(wait_s)
            self._switched()
            self._try_out()
            self._guard()
            self._well()
        except StoreError as exc:
            self._unwell("registry_away", exc)
        except (
            StreamerError
        ) as exc:  # such as aliases in a format of the future: what judges goes on, and so do we
            self._unwell("registry_not_followed", exc)

    def _well(self) -> None:
        self._backoff.succeed()
        if self._problem is not None and self._state.problem == self._problem:
            self._state.problem = None
        self._problem = None

    def _unwell(self, event: str, exc: StreamerError) -> None:
        self._backoff.fail()
        self._state.problem = self._problem = str(exc)
        log.warning(event, problem=str(exc))

    @property
    def _state(self) -> ModelState:
        return self._swapper.current.state

    # -- the alias that judges
    # ----------------------------------------------------------------------------------------
    def _follow(self, wait_s: float) -> None:
        if self._forgiven():
            self._seen = {"": ""}
        aliases = self.registry.wait(self._seen, wait_s)
        if aliases is None:
            return
        before, self._seen = self._settled, {"": ""}  # what goes wrong now is tried again
        if not before:
            self._resume_watch(aliases)
        self._take(aliases, before)
        self._seat_challenger(aliases, before)
        self._seen = self._settled = aliases

    def _forgiven(self) -> bool:
        """Whether the time of a refusal is over: it may have been this machine's bad day."""
        over = [key for key, until_s in self._refused.items() if until_s <= self._clock()]
        for key in over:
            del self._refused[key]
        return bool(over)

    def _take(self, aliases: Mapping[str, str], before: Mapping[str, str]) -> None:
        """Bring in the version that the alias names, unless it judges, is on its way, or this move
        was refused.
        """
        wanted = aliases.get(
            self._section.alias, "" if self._section.alias in ALIASES else self._section.alias
        )
        move = self._move_of(wanted)
        if self._is_at_work(wanted) or (wanted, move.at) in self._refused:
            return
        back = (
            not wanted
            or wanted == before.get("previous")
            or wanted == f"{before.get('previous')}{EDGE}"
        )
        try:
            loaded, trained_s = self._fetched(wanted)
        except (ModelError, BackendError) as exc:
            if not self._stopped():
                for_ever = isinstance(exc, ModelError)
                self._refused[wanted, move.at] = math.inf if for_ever else self._clock() + AGAIN_S
                self._refuse(wanted, exc)
            return
        self._offered = Successor(
            loaded, "rolledback" if back else "promoted", move.why, move.at, trained_s
        )
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
        found = (
            m
            for m in reversed(self.registry.moves())
            if version in (v or "" for v in m.changes.values())
        )
        return next(found, Move("", {}, ""))

    def _fetched(self, version: str) -> tuple[LoadedModel, float | None]:
        """A version (none: the starter), verified, probed and open. ModelError or BackendError
        (only here) say why not.

        The last ones are remembered: a challenger that is promoted judges at once, and so does who
        is rolled back to.
        """
        if version not in self._ready:
            self._ready[version] = self._opened(version)
            while len(self._ready) > REMEMBERED:
                del self._ready[next(iter(self._ready))]
        return self._ready[version]

    def _opened(self, version: str) -> tuple[LoadedModel, float | None]:
        section = self._section
        directory = self.registry.path(version) if version else artifact.PRETRAINED
        bundle = artifact.load(directory, trust_for(section) if version else None)
        problem = misfit(bundle.spec, self._swapper.current.loaded.spec)
        if problem is not None:
            raise BackendError(f"{version}: {problem}; restart this daemon, and it begins with it")
        probe(
            directory, section.backend, timeout_s=float(section.probe_timeout), stop=self._stopped
        )
        return network_of(section, bundle), promotion.trained_at(bundle.manifest)

    def _refuse(self, version: str, exc: StreamerError) -> None:
        """What judges goes on. A bundle that is bad everywhere is taken back; what lacks here,
        somebody must mend.
        """
        self._state.problem = str(exc)
        self._state.swaps["refused"] += 1
        log.error("model_refused", model=version, problem=str(exc))
        if isinstance(exc, ModelError) and version:
            self._roll_back(version, f"refused: {exc}")

    def _roll_back(self, version: str, why: str) -> None:
        """Through the registry, so that every replica follows; only while the version is what shall
        judge.
        """
        aliases = self.registry.aliases()
        if aliases.get(self._section.alias) != version:
            return
        log.error("model_rollback", model=version, why=why)
        try:
            promotion.rollback(self.registry, why, over=aliases)
        except ModelError:  # there is no previous one that can be used: the starter always can
            champion = version.removesuffix(EDGE)
            self.registry.move(promotion.TO_STARTER, expected={"champion": champion}, why=why)

    # -- after a switch
    # ----------------------------------------------------------------------------------------------
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

    def _watching(self, version: str, before: JudgedCounts, totals: JudgedCounts) -> Watch:
        period = self._section.watch
        return Watch(version, before, totals, period, until_s=self._clock() + float(period.for_))

    def _resume_watch(self, aliases: Mapping[str, str]) -> None:
        """After a restart: a promotion is watched for what is left, by what the alert budgets
        allow. How things were before it is not known any more, so nothing is called slow.
        """
        alias, period, version = self._section.alias, self._section.watch, self._state.ref.version
        if self._watch is not None or alias not in WATCHED or aliases.get(alias) != version:
            return
        left = left_s(
            self.registry.moves(), alias, version, period_s=float(period.for_), now_s=self._wall()
        )
        if left > 0:
            self._watch = Watch(
                version,
                JudgedCounts(),
                sample(self._processors),
                period,
                until_s=self._clock() + left,
            )
            log.info("model_watch_resumed", model=version, left_s=round(left))

    def _guard(self) -> None:
        if self._watch is None:
            return
        broken = self._watch.step(sample(self._processors), self._clock())
        if broken is not None:
            self._roll_back(self._watch.version, broken)
        if self._watch.over:
            log.info("model_watch_over", model=self._watch.version, kept=broken is None)
            self._watch = None

    # -- the challenger
    # ----------------------------------------------------------------------------------------------
    def _seat_challenger(self, aliases: Mapping[str, str], before: Mapping[str, str]) -> None:
        wanted, alias = self._challenger(aliases), self._section.alias
        if wanted == self._shadow_slot.version and aliases.get(alias) == before.get(alias):
            return
        if wanted is None:
            self._shadow_slot.offer(None)
            return
        try:
            loaded, _ = self._fetched(wanted)
        except (ModelError, BackendError) as exc:
            self._shadow_slot.offer(None)
            self._state.swaps["refused"] += 1
            log.error("challenger_refused", model=wanted, problem=str(exc))
            return
        self._shadowed_from = sample(self._processors).promised
        self._shadow_slot.offer(
            Shadow(loaded, self._processors, self._section.shadow.share, clock=self._clock)
        )
        log.info("shadow_begun", model=wanted, share=self._section.shadow.share)

    def _challenger(self, aliases: Mapping[str, str]) -> str | None:
        """What is to be tried out, of the kind that judges here: an edge twin beside an
        edge twin.
        """
        named = aliases.get("challenger")
        if named is None or not self._section.shadow.enabled or self._section.alias not in ALIASES:
            return None
        twin = f"{named}{EDGE}"
        version = (
            twin if self._section.alias == "edge" and twin in self.registry.versions() else named
        )
        return None if version == aliases.get(self._section.alias) else version

    def _try_out(self) -> None:
        report, rules = self._shadow_slot.report, self._section.shadow
        if report is None or report.events < rules.events or self._shadow_slot.told:
            return
        promised = (sample(self._processors).promised - self._shadowed_from) * report.share
        problem, named = (
            objection(report, self._section.watch, promised),
            self._seen.get("challenger", ""),
        )
        if problem is None and rules.promote == "auto":
            problem = self._promoted(named, report)
        if problem is not None:
            self.registry.move(
                {"challenger": None}, expected={"challenger": named}, why=f"shadow: {problem}"
            )
        self._shadow_slot.told = True  # last: what the registry did not hear is said again
        log.info("shadow_report", **report.summary(), objection=problem)

    def _promoted(self, version: str, report: Report) -> str | None:
        """Let a challenger that the gate has passed judge; why it must not, in words. One that no
        gate has judged waits for somebody to decide.
        """
        pairs = report.pairs
        told = (
            f"shadow: {report.events} events, {pairs.same} same, {pairs.extra} extra, "
            f"{pairs.lost} lost"
        )
        try:
            bundle = promotion.verified(self.registry, version, trust_for(self._section))
            if promotion.gate_of(bundle)[0] is None:
                log.info(
                    "shadow_waits", model=version, why="no gate has judged it; promote it by hand"
                )
            else:
                promotion.promote(self.registry, version, told, check=trust_for(self._section))
        except (ModelError, GateRefused) as exc:
            return str(exc)
        return None
