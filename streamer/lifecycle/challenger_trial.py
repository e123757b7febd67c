"""The challenger's shadow run: started beside the champion, compared, then promoted or dropped."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import structlog

from streamer.config import Model
from streamer.errors import BackendError, GateRefused, ModelError
from streamer.lifecycle import promotion
from streamer.lifecycle.judged_counts import sample
from streamer.lifecycle.model_fetcher import ModelFetcher
from streamer.lifecycle.promotion_rules import challenger_of, gate_of, objection
from streamer.lifecycle.shadow import Shadow, ShadowSlot
from streamer.lifecycle.shadow_report import ShadowReport
from streamer.protocols import Clock, Registry
from streamer.runtime.model import ModelState, trust_for
from streamer.runtime.stream_processor import StreamProcessor

log = structlog.get_logger()


class ChallengerTrial:
    """Follows the alias `challenger`. Used by the follower's thread."""

    def __init__(
        self,
        registry: Registry,
        section: Model,
        fetcher: ModelFetcher,
        state: ModelState,
        slot: ShadowSlot,
        processors: Sequence[StreamProcessor],
        *,
        clock: Clock = time.monotonic,
    ) -> None:
        self._registry, self._section, self._fetcher = registry, section, fetcher
        self._state, self._slot = state, slot
        self._processors, self._clock = tuple(processors), clock
        # incidents that the budgets allowed up to the start of the shadow run
        self._promised_before = 0.0
        self._named = ""  # the version that the alias names

    def seat(self, aliases: Mapping[str, str], before: Mapping[str, str]) -> None:
        """Run the version that the alias names in shadow, against the current champion."""
        self._named, alias = aliases.get("challenger", ""), self._section.alias
        wanted = self._wanted(aliases)
        if wanted == self._slot.version and aliases.get(alias) == before.get(alias):
            return
        if wanted is None:
            self._slot.offer(None)
            return
        try:
            loaded, _ = self._fetcher.fetch(wanted)
        except (ModelError, BackendError) as exc:
            self._slot.offer(None)
            self._state.swaps["refused"] += 1
            log.error("challenger_refused", model=wanted, problem=str(exc))
            return
        share = self._section.shadow.share
        self._promised_before = sample(self._processors).promised
        self._slot.offer(Shadow(loaded, self._processors, share, clock=self._clock))
        log.info("shadow_begun", model=wanted, share=share)

    def step(self) -> None:
        """Decide on the challenger once enough events are compared."""
        report, rules = self._slot.report, self._section.shadow
        if report is None or report.events < rules.events or self._slot.told:
            return
        promised = (sample(self._processors).promised - self._promised_before) * report.share
        problem = objection(report, self._section.watch, promised)
        if problem is None and rules.promote == "auto":
            problem = self._promoted(self._named, report)
        if problem is not None:
            expected, why = {"challenger": self._named}, f"shadow: {problem}"
            self._registry.move({"challenger": None}, expected=expected, why=why)
        self._slot.told = True  # set last: if the registry failed, the decision is repeated
        log.info("shadow_report", **report.summary(), objection=problem)

    def _wanted(self, aliases: Mapping[str, str]) -> str | None:
        if not self._section.shadow.enabled:
            return None
        alias = self._section.alias
        # versions are listed only for the alias `edge`, where a twin may replace the version
        versions = self._registry.versions() if alias == "edge" else ()
        return challenger_of(aliases, alias, versions)

    def _promoted(self, version: str, report: ShadowReport) -> str | None:
        """Promote a challenger that passed the gate; return why it must not judge, or None.

        A challenger without a gate report waits for an operator.
        """
        pairs, trust = report.pairs, trust_for(self._section)
        told = (
            f"shadow: {report.events} events, {pairs.same} same, {pairs.extra} extra, "
            f"{pairs.lost} lost"
        )
        try:
            if gate_of(promotion.verified(self._registry, version, trust))[0] is None:
                why = "no gate has judged it; promote it by hand"
                log.info("shadow_waits", model=version, why=why)
            else:
                promotion.promote(self._registry, version, told, check=trust)
        except (ModelError, GateRefused) as exc:
            return str(exc)
        return None
