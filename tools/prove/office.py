"""The people in the office: top-ups, debits, limits and suspensions in Postgres while calls go on.

They write down what was committed: the sum of a fund's credit must be theirs in the end, whatever was killed meanwhile.
"""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any, Final

import psycopg

from tools.prove.world import ACCOUNTS, BY_NAME, MICROS, POOR, Places

OPS_PER_ACT: Final = 100
ACTOR: Final = "prove"
SMALL_MICROS: Final = 800_000
DEALER: Final = 8  # times as much for one that pays for all below it
LARGE: Final = 50
DAY_MICROS: Final = 40_000_000


KINDS: Final = ("poor", "any", "debit", "limit", "channels", "day", "suspend")
WEIGHTS: Final = (58, 15, 8, 6, 6, 4, 3)


class Office:
    """Acts once per 100 operations, seeded. committed: account name -> micros that were booked."""

    def __init__(self, connection: psycopg.Connection[Any], places: Places, seed: int) -> None:
        self._connection = connection
        self._places = places
        self._rng = Random(f"office {seed}")  # noqa: S311  no secret
        self._suspended = ""
        self.acts = 0
        self.committed: Counter[str] = Counter()

    def work(self, ops: int) -> None:
        """Do what is due when so many operations were sent."""
        while self.acts * OPS_PER_ACT < ops:
            self.acts += 1
            self._act()

    def close(self) -> None:
        """Lift what is suspended, so that the run ends with every account as it began."""
        self._lift()

    def _act(self) -> None:
        if self._suspended:
            self._lift()
        match self._rng.choices(KINDS, WEIGHTS)[0]:
            case "poor":
                name = self._rng.choice(POOR)
                times = 1 if BY_NAME[name].is_customer else DEALER
                self._book(name, times * self._rng.randrange(1, SMALL_MICROS))
            case "any":
                self._book(self._rng.choice(ACCOUNTS).name, self._rng.randrange(1, LARGE * MICROS))
            case "debit":
                self._book(self._rng.choice(POOR), -self._rng.randrange(1, SMALL_MICROS // 2))
            case "limit":
                self._set("credit_limit_micros", self._rng.choice(POOR), self._rng.randrange(2 * MICROS))
            case "channels":
                name = self._rng.choice([each.name for each in ACCOUNTS if each.channels])
                self._set("channels_max", name, self._rng.randint(2, 12) if BY_NAME[name].is_customer else 40)
            case "day":
                name = self._rng.choice([each.name for each in ACCOUNTS if each.day])
                self._set("day_max_micros", name, self._rng.choice((0, 0, self._rng.randrange(DAY_MICROS))))
            case "suspend":
                self._suspended = self._rng.choice([each.name for each in ACCOUNTS if each.is_customer])
                self._status("suspended")

    def _book(self, name: str, micros: int) -> None:
        self._connection.execute(
            "select tandem.topup_v1(%s, %s, 'proof', %s)", (self._places.accounts[name], micros, ACTOR)
        )
        self.committed[name] += micros

    def _set(self, column: str, name: str, value: int) -> None:
        self._connection.execute(
            f"update tandem.fund set {column} = %s where account_id = %s",  # noqa: S608  a constant of this module
            (value, self._places.accounts[name]),
        )

    def _lift(self) -> None:
        if self._suspended:
            self._status("active")
            self._suspended = ""

    def _status(self, status: str) -> None:
        self._connection.execute(
            "update tandem.account set status = %s where id = %s", (status, self._places.accounts[self._suspended])
        )
