"""Makes the version that the registry names the model that judges.

A version is verified, probed, run in shadow, swapped in, watched, and rolled back if necessary. One
thread fetches versions and asks `promotion_rules` what to do; what touches detectors is left to the
scoring thread.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping, Sequence

import structlog

from streamer.backoff import Backoff
from streamer.config import Model
from streamer.errors import BackendError, ModelError, StoreError, StreamerError
from streamer.lifecycle import promotion
from streamer.lifecycle.challenger_trial import ChallengerTrial
from streamer.lifecycle.hot_swap import Successor, Swapper
from streamer.lifecycle.model_fetcher import ModelFetcher
from streamer.lifecycle.post_promotion_watch import PostPromotionWatch
from streamer.lifecycle.promotion_rules import EDGE, TO_STARTER, goes_back, version_of
from streamer.lifecycle.shadow import ShadowSlot
from streamer.protocols import Clock, Move, Registry
from streamer.runtime.model import ModelState
from streamer.runtime.stream_processor import StreamProcessor

log = structlog.get_logger()

AGAIN_S = 300.0  # until a version that could not be opened on this machine is tried again
WAIT_S = 1.0  # timeout of one wait for the aliases; interval of the checks of shadow and watch


class Succession:
    """The successor offered to the swapper, and its outcome."""

    def __init__(self, swapper: Swapper) -> None:
        self.swapper = swapper
        self._offered: Successor | None = None
        self._switches = swapper.switches

    def offer(self, successor: Successor) -> None:
        self._offered = successor
        self.swapper.offer(successor)

    def is_at_work(self, version: str) -> bool:
        """Return whether a version ("": the starter) judges, or is being swapped in."""
        coming = self._offered
        ref = self.swapper.current.state.ref if coming is None else coming.loaded.network.ref
        if version:
            return ref.version == version
        # without a promotion, the model loaded at start may judge until the first swap
        return coming is None and not self.swapper.switches

    def switched(self) -> bool:
        """Return whether another network has taken over since the last call; `taken` returns it."""
        busy = self.swapper.busy
        if self.swapper.switches == self._switches:
            if not busy:
                self._offered = None  # refused by the swapper
            return False
        self._switches = self.swapper.switches
        return True

    def taken(self) -> Successor | None:
        """Return the successor that has taken over; None if another caller offered it."""
        taken, self._offered = self._offered, None
        return taken


class RefusedMoves:
    """Versions that this machine could not take in, each with the move that named it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until_s: dict[tuple[str, str], float] = {}  # by version and time of the move

    def __contains__(self, key: tuple[str, str]) -> bool:
        return key in self._until_s

    def add(self, version: str, at: str, *, for_ever: bool) -> None:
        """Refuse a version: for ever if its bundle is bad, else for AGAIN_S."""
        self._until_s[version, at] = math.inf if for_ever else self._clock() + AGAIN_S

    def forgive(self) -> bool:
        """Forget expired refusals; return whether there were any."""
        over = [key for key, until_s in self._until_s.items() if until_s <= self._clock()]
        for key in over:
            del self._until_s[key]
        return bool(over)


class Follower:
    """The background task that follows the aliases of the registry."""

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
        self.registry, self._alias = registry, section.alias
        self.fetcher = ModelFetcher(registry, section, swapper.current)
        self.watch = PostPromotionWatch(
            section, processors, self._roll_back, clock=clock, wall=wall
        )
        self._trial = ChallengerTrial(
            registry,
            section,
            self.fetcher,
            swapper.current.state,
            shadow_slot,
            processors,
            clock=clock,
        )
        self._succession, self._refused = Succession(swapper), RefusedMoves(clock)
        self._seen: Mapping[str, str] = {}
        self._settled: Mapping[str, str] = {}  # aliases whose versions judge or were refused
        self._backoff = Backoff(0.5, 30.0, clock)
        self._problem: str | None = None  # the current problem with the registry

    def run(self, stop: threading.Event) -> None:
        self.fetcher.stopped = stop.is_set
        try:
            while not stop.is_set():
                self.step(WAIT_S)
                if not self._backoff.due:
                    stop.wait(WAIT_S)
        finally:
            self.registry.close()

    def step(self, wait_s: float) -> None:
        """Check aliases, shadow and watch once; wait at most `wait_s` for the aliases.

        Nothing is done during the backoff after a failure of the registry.
        """
        if not self._backoff.due:
            return
        try:
            self._follow(wait_s)
            self._switched()
            self._trial.step()
            self.watch.step()
            self._well()
        except StoreError as exc:
            self._unwell("registry_away", exc)
        # such as aliases in an unknown format: the current model stays, and the loop goes on
        except StreamerError as exc:
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
        return self._succession.swapper.current.state

    def _follow(self, wait_s: float) -> None:
        if self._refused.forgive():
            self._seen = {"": ""}
        aliases = self.registry.wait(self._seen, wait_s)
        if aliases is None:
            return
        # if an error follows, the aliases are read again
        before, self._seen = self._settled, {"": ""}
        if not before:
            self.watch.resume(aliases, self._state.ref.version, self.registry.moves)
        self._take(aliases, before)
        self._trial.seat(aliases, before)
        self._seen = self._settled = aliases

    def _take(self, aliases: Mapping[str, str], before: Mapping[str, str]) -> None:
        """Fetch and offer the version that the alias names.

        Nothing is done if it judges already, is being swapped in, or this move was refused.
        """
        wanted = version_of(aliases, self._alias)
        move = self._move_of(wanted)
        if self._succession.is_at_work(wanted) or (wanted, move.at) in self._refused:
            return
        event = "rolledback" if goes_back(wanted, before) else "promoted"
        try:
            loaded, trained_s = self.fetcher.fetch(wanted)
        except (ModelError, BackendError) as exc:
            if not self.fetcher.stopped():
                self._refused.add(wanted, move.at, for_ever=isinstance(exc, ModelError))
                self._refuse(wanted, exc)
            return
        self._succession.offer(Successor(loaded, event, move.why, move.at, trained_s))

    def _move_of(self, version: str) -> Move:
        """Return the newest move that named the version; an empty move without one."""
        found = (
            move
            for move in reversed(self.registry.moves())
            if version in (named or "" for named in move.changes.values())
        )
        return next(found, Move("", {}, ""))

    def _refuse(self, version: str, exc: StreamerError) -> None:
        """Refuse a version; the current model goes on.

        A bad bundle is rolled back. What is missing on this machine, an operator must repair.
        """
        self._state.problem = str(exc)
        self._state.swaps["refused"] += 1
        log.error("model_refused", model=version, problem=str(exc))
        if isinstance(exc, ModelError) and version:
            self._roll_back(version, f"refused: {exc}")

    def _roll_back(self, version: str, why: str) -> None:
        """Roll back in the registry, so that every replica follows.

        Nothing is done if the alias names another version by now.
        """
        aliases = self.registry.aliases()
        if aliases.get(self._alias) != version:
            return
        log.error("model_rollback", model=version, why=why)
        try:
            promotion.rollback(self.registry, why, over=aliases)
        except ModelError:  # no previous version can be used; the starter always can
            champion = version.removesuffix(EDGE)
            self.registry.move(TO_STARTER, expected={"champion": champion}, why=why)

    def _switched(self) -> None:
        if not self._succession.switched():
            return
        taken, totals = self._succession.taken(), self._succession.swapper.totals
        promoted = taken is not None and taken.event == "promoted"
        version = taken.loaded.network.ref.version if taken is not None and promoted else None
        self.watch.switched(version, totals)
