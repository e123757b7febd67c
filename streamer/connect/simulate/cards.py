"""Simulated card payments with four labelled kinds of fraud.

After the Fraud Detection Handbook's simulator (Le Borgne et al., 2022), with habitual hours added.
Customers and terminals lie on a square. A customer pays at terminals nearby, amounts are log-normal
per customer. Every event belongs to a customer (key 0) and to a terminal (key 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from streamer.connect.simulate.world import DAY_S, START_S, Fault
from streamer.errors import ConfigError
from streamer.event import F64, I64, EventBatch

CHANNELS, UNITS, KEYS = ("amount",), ("EUR",), ("customer", "terminal")
KINDS = ("amount", "terminal", "stolen", "odd_hour")
NEARBY = 12  # terminals that a customer uses
AMOUNT_SIGMA = 0.45  # standard deviation of the log of a customer's amounts
REGULAR = 0.6  # fraction of customers with a regular hour, whose deviation is REGULAR_SD_H
REGULAR_SD_H, LOOSE_SD_H = 1.5, 4.5
DETAIL = {
    "amount": "one payment of many times the usual amount",
    "terminal": "a skimmed terminal: many strangers pay there, day and night",
    "stolen": "a stolen card: a burst of larger payments at strange terminals",
    "odd_hour": "usual amounts, twelve hours off the habit",
}


@dataclass(slots=True)
class _Extra:
    """Future payments of one fault, as columns: time, customer, terminal, amount."""

    fault: Fault
    time_s: F64
    customer: I64
    terminal: I64
    amount: F64


@dataclass(slots=True)
class CardsProgress:
    """How far the world has run."""

    days: int = 0
    events: int = 0
    frauds: int = 0


class Cards:
    """A world of `customers` and a fifth as many terminals (at least ten), from `start_s` on.

    `faults` adds `per_day` frauds on average. Faults cannot be given one by one, because a fraud
    consists of payments of its own. `fraudulent(batch)` marks them exactly.
    """

    channels: tuple[str, ...] = CHANNELS
    units: tuple[str, ...] = UNITS
    keys: tuple[str, ...] = KEYS

    def __init__(
        self,
        customers: int = 500,
        *,
        seed: int = 0,
        payments_a_day: tuple[float, float] = (1.0, 6.0),
        faults: bool | Sequence[Fault] = True,
        per_day: float = 2.0,
        quiet_s: float = 14 * DAY_S,
        start_s: float = START_S,
        stream: str = "cards",
    ) -> None:
        """Create the world; the first `quiet_s` are without fraud, so habits can be learnt."""
        if not isinstance(faults, bool):
            raise ConfigError("faults", "frauds cannot be given one by one; use true or false")
        if customers < 1:
            raise ConfigError("source.entities", "must be at least 1", customers)
        self.stream, self.seed, self.start_s, self._quiet_s = stream, seed, start_s, quiet_s
        self._people = _People(customers, payments_a_day, np.random.default_rng([seed, 0]))
        terminals = self._people.terminals
        self.names = tuple(
            [f"card-{c:05d}" for c in range(customers)]
            + [f"shop-{t:04d}" for t in range(terminals)]
        )
        self._per_day = per_day if faults else 0.0
        self._extras: list[_Extra] = []
        self._faults: list[Fault] = []
        self._fraud = np.zeros(0, dtype=np.int64)  # offsets of all fraudulent payments so far
        self._done = CardsProgress()

    @property
    def faults(self) -> tuple[Fault, ...]:
        return tuple(self._faults)

    def fraudulent(self, batch: EventBatch) -> np.ndarray:
        """Mark the events (N,) of a batch of this world that are frauds."""
        return np.isin(batch.offset, self._fraud)

    def advance(self) -> EventBatch:
        """Return the events of the next day."""
        rng = np.random.default_rng([self.seed, 1, self._done.days])
        from_s = self.start_s + self._done.days * DAY_S
        self._done.days += 1
        honest = self._people.day(from_s, rng)
        if from_s >= self.start_s + self._quiet_s:
            self._extras += [
                self._draw(from_s, rng) for _ in range(int(rng.poisson(self._per_day)))
            ]
        return self._batch(honest, from_s + DAY_S)

    def _draw(self, from_s: float, rng: Generator) -> _Extra:
        kind = KINDS[self._done.frauds % len(KINDS)]
        self._done.frauds += 1
        extra = _MAKERS[kind](self._people, from_s, rng)
        name = (
            self.names[extra.customer[0]] if kind != "terminal" else self._shop(extra.terminal[0])
        )
        start_s, end_s = float(extra.time_s.min()), float(extra.time_s.max()) + 1e-3
        channel = "amount" if kind in ("amount", "stolen") else None
        extra.fault = Fault(
            kind, name, start_s, end_s, channel, int(kind == "terminal"), DETAIL[kind]
        )
        return extra

    def _shop(self, terminal: int) -> str:
        return self.names[len(self._people.rate) + terminal]

    def _batch(self, honest: tuple[F64, I64, I64, F64], until_s: float) -> EventBatch:
        columns = [honest, *((x.time_s, x.customer, x.terminal, x.amount) for x in self._extras)]
        time_s, customer, terminal, amount = (
            np.concatenate(parts) for parts in zip(*columns, strict=True)
        )
        owner = np.repeat(np.arange(-1, len(self._extras)), [len(column[0]) for column in columns])
        order = np.argsort(time_s, kind="stable")
        order = order[time_s[order] < until_s]
        offset = np.arange(self._done.events, self._done.events + len(order), dtype=np.int64)
        self._done.events += len(order)
        self._settle(owner[order], offset, until_s)
        entity = np.stack(
            [customer[order], terminal[order] + len(self._people.rate)], axis=1
        ).astype(np.int32)
        values = np.round(amount[order, None], 2).astype(np.float32)
        return EventBatch(
            self.stream, self.stream, 0, self.names, entity, time_s[order], values, offset
        )

    def _settle(self, owner: I64, offset: I64, until_s: float) -> None:
        """Record the payments made for each fraud, and keep its future ones."""
        self._fraud = np.concatenate([self._fraud, offset[owner >= 0]])
        for i, extra in enumerate(self._extras):
            fresh = extra.fault.first_offset < 0
            before, extra.fault = extra.fault, extra.fault.seen(offset[owner == i])
            if not fresh:
                self._faults[self._faults.index(before)] = extra.fault
            elif extra.fault is not before:
                self._faults.append(extra.fault)
            keep = extra.time_s >= until_s
            extra.time_s, extra.customer = extra.time_s[keep], extra.customer[keep]
            extra.terminal, extra.amount = extra.terminal[keep], extra.amount[keep]
        self._extras = [extra for extra in self._extras if len(extra.time_s)]


class _People:
    """Customers and their habits; all arrays are by customer."""

    def __init__(self, customers: int, payments_a_day: tuple[float, float], rng: Generator) -> None:
        self.terminals = max(10, customers // 5)
        self.rate = rng.uniform(*payments_a_day, customers)
        self.log_amount = np.log(rng.uniform(8, 90, customers))
        self.hour = rng.normal(14, 3, customers) % 24
        self.spread_h = np.where(rng.random(customers) < REGULAR, REGULAR_SD_H, LOOSE_SD_H)
        self.nearby = self._nearest(rng.random((customers, 2)), rng.random((self.terminals, 2)))

    def _nearest(self, home: F64, shop: F64) -> I64:
        """The terminals nearest to each customer (customers, NEARBY)."""
        count = min(NEARBY, self.terminals)
        rows = [np.argsort(((shop - place) ** 2).sum(axis=1))[:count] for place in home]
        return np.array(rows, dtype=np.int64)

    def day(self, from_s: float, rng: Generator) -> tuple[F64, I64, I64, F64]:
        """Honest payments of one day: (time, customer, terminal, amount), unordered."""
        customer = np.repeat(np.arange(len(self.rate)), rng.poisson(self.rate))
        n = len(customer)
        hour = (self.hour[customer] + rng.normal(size=n) * self.spread_h[customer]) % 24
        terminal = self.nearby[customer, rng.integers(0, self.nearby.shape[1], n)]
        return from_s + hour * 3600, customer, terminal, self.amounts(customer, rng)

    def amounts(self, customer: I64, rng: Generator) -> F64:
        amounts: F64 = np.exp(
            self.log_amount[customer] + AMOUNT_SIGMA * rng.normal(size=len(customer))
        )
        return amounts

    def anyone(self, rng: Generator, regular: bool = False) -> int:
        """Draw a customer; with `regular`, one with a regular hour if there is one."""
        known = np.flatnonzero(self.spread_h == REGULAR_SD_H) if regular else np.zeros(0, np.int64)
        return int(rng.choice(known)) if len(known) else int(rng.integers(len(self.rate)))


def _extra(time_s: F64, customer: I64, terminal: I64, amount: F64) -> _Extra:
    return _Extra(Fault("", "", 0.0, 0.0), time_s, customer, terminal, amount)


def _amount(people: _People, from_s: float, rng: Generator) -> _Extra:
    """One payment of 8 to 15 times the customer's median, at the usual place and hour."""
    customer = np.array([people.anyone(rng)])
    time_s = from_s + people.hour[customer] * 3600
    terminal = people.nearby[customer, 0]
    return _extra(
        time_s, customer, terminal, np.exp(people.log_amount[customer]) * rng.uniform(8, 15)
    )


def _terminal(people: _People, from_s: float, rng: Generator) -> _Extra:
    """Three days of payments at one terminal, at all hours, about 40 a day, by random cards."""
    n = int(rng.poisson(120)) + 10
    customer = rng.integers(0, len(people.rate), n)
    terminal = np.full(n, rng.integers(0, people.terminals))
    return _extra(
        from_s + rng.uniform(0, 3 * DAY_S, n),
        customer,
        terminal,
        1.5 * people.amounts(customer, rng),
    )


def _stolen(people: _People, from_s: float, rng: Generator) -> _Extra:
    """6 to 12 payments within an hour, two to four times as large, at random terminals."""
    n = int(rng.integers(6, 13))
    customer = np.full(n, people.anyone(rng))
    time_s = from_s + rng.uniform(0, DAY_S - 3600) + np.sort(rng.uniform(0, 3600, n))
    terminal = rng.integers(0, people.terminals, n)
    return _extra(time_s, customer, terminal, rng.uniform(2, 4) * people.amounts(customer, rng))


def _odd_hour(people: _People, from_s: float, rng: Generator) -> _Extra:
    """4 to 6 usual payments over three days, twelve hours off the usual hour."""
    n = int(rng.integers(4, 7))
    customer = np.full(n, people.anyone(rng, regular=True))
    hour = (people.hour[customer] + 12 + rng.normal(size=n)) % 24
    time_s = from_s + DAY_S * rng.integers(0, 3, n) + hour * 3600
    terminal = people.nearby[customer, rng.integers(0, people.nearby.shape[1], n)]
    return _extra(time_s, customer, terminal, people.amounts(customer, rng))


_MAKERS = {"amount": _amount, "terminal": _terminal, "stolen": _stolen, "odd_hour": _odd_hour}
