"""Random tenants as files: every resource, every kind of reference, names and addresses out of small pools.

The accounts and their kinds, the carriers and whose a line is are the same in each, because no file may change these;
all else comes, goes and swaps, so that one tenant turned into another meets what a difference can meet.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

RIGHTS: Final = ("accounts", "prices", "money", "carriers_seen", "carriers_own", "domains", "numbers", "routing")
LINES: Final = {"Alpha": ("alice", "anna", "adam"), "Beta": ("bob", "bill", "pbx")}
YEAR: Final = datetime.now(UTC).year + 1  # decks to come
HALF: Final = 0.5

Said = dict[str, Any]


class RandomTenant:
    """One tenant: North, a reseller, with the customer Alpha and the reseller Fjord, which has the customer Beta."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311  no secret
        self._addresses = self._some([f"192.0.2.{n}" for n in range(1, 9)], 8, 8)
        self._networks = self._some([f"198.51.100.{n}/32" for n in range(1, 7)], 6, 6)
        self._numbers = self._some([f"44207946{n:04}" for n in range(1, 9)], 8, 8)

    def document(self) -> Said:
        """Return the file."""
        rights = self._some(RIGHTS, 0, 8)
        north = self._reseller("North", "wholesale", rights)
        domains = [said["name"] for said in north["domains"]]
        fjord = self._reseller("Fjord", self._tariff_of(north), self._some(rights, 0, len(rights)), north)
        beta_domains = [*domains, *(said["name"] for said in fjord["domains"])]
        fjord["accounts"] = [self._customer("Beta", self._tariff_of(fjord), beta_domains, [fjord, north])]
        north["accounts"] = [self._customer("Alpha", self._tariff_of(north), domains, [north]), fjord]
        return {"tandem": 1, "below": "Tandem", "account": north}

    def _reseller(self, name: str, tariff: str, rights: Sequence[str], above: Said | None = None) -> Said:
        said: Said = {"name": name, "kind": "reseller", "tariff": tariff, "currency": "EUR", "rights": list(rights)}
        said["contacts"] = [{"email": f"{who}@{name.lower()}.example", "name": self._one(["", "Ñandú: «yes»", "no"])}
                            for who in self._some(["noc", "billing", "owner"], 0, 3)]  # fmt: skip
        said["rewrite_sets"] = [
            {"name": each, "rules": self._rewrite_rules()} for each in self._some(["plus", "zero", "1e3"], 0, 3)
        ]
        said["time_sets"] = [
            {"name": each, "timezone": self._one(["UTC", "Europe/Paris"]), "weekly": self._times(),
             "open": self._some(["12-24..01-06", f"{YEAR}-07-14"], 0, 2), "shut": self._some(["05-01", "11-11"], 0, 2)}
            for each in self._some(["office", "night"], 0, 2)
        ]  # fmt: skip
        holders = [said, *([above] if above else [])]
        said["barring_levels"] = [
            {"name": each, "mode": self._one(["blacklist", "whitelist"]),
             "rules": self._some(["^1900", "^44", "7$"], 0, 3), "time_set": self._named("time_sets", holders)}
            for each in self._some(["strict", "own", "null"], 0, 3)
        ]  # fmt: skip
        said["tariffs"] = [self._tariff(each) for each in self._some(["retail", "dealer"], 1, 2)]
        said["tariffs"] += [self._tariff(f"deck of own{n}") for n in (1, 2)]
        said["domains"] = [
            {"name": f"{each}.{name.lower()}.example", "rewrite_set": self._named("rewrite_sets", holders)}
            for each in self._some(["a", "b"], 1, 2)
        ]
        said["peering_groups"] = self._carriers(name, said, holders)
        said["replies"] = [{"reason": each, "status": self._one([402, 403, 480]), "phrase": "No money"}
                           for each in self._some(["no_credit", "barred"], 0, 2)]  # fmt: skip
        return said | self._of_any_account(said, holders)

    def _customer(self, name: str, tariff: str, domains: Sequence[str], above: Sequence[Said]) -> Said:
        said: Said = {"name": name, "kind": "customer", "tariff": tariff, "currency": "EUR"}
        said["subscribers"] = [self._line(each, domains, above) for each in self._some(LINES[name], 0, 3)]
        lines = [f"{line['username']}@{line['domain']}" for line in said["subscribers"]]
        said["numbers"] = [
            {"number": self._numbers.pop(), "status": self._one(["active", "suspended"]),
             "subscriber": self._one([None, *lines])}
            for _ in range(self._random.randint(0, 3))
        ]  # fmt: skip
        return said | self._of_any_account(said, above)

    def _of_any_account(self, said: Said, holders: Sequence[Said]) -> Said:
        emails = [contact["email"] for contact in said.get("contacts", [])]
        return {
            "contact": self._one([None, *emails]),
            "barring": self._named("barring_levels", holders),
            "blocked_out": self._some(["0900*", "44[0-9]?"], 0, 2),
            "routing": self._some(["prefix", "cost", "weight"], 0, 3),
            "overcommit_pct": self._one([None, 0, 50]),
            "limits": [{"currency": "EUR", "credit_limit": self._one(["0", "unlimited", "12.5"]),
                        "channels": self._one(["unlimited", 3]), "spend_day": self._one(["unlimited", "0.000001"])}],
            "thresholds": [{"currency": "EUR", "kind": kind, "amount": "5", "lock": self._one([None, "all"])}
                           for kind in self._some(["balance", "day", "month"], 0, 3)],
        }  # fmt: skip

    def _line(self, username: str, domains: Sequence[str], above: Sequence[Said]) -> Said:
        return {
            "username": username,
            "domain": self._one(domains),
            "cli": self._one([None, "442079460000"]),
            "clir": self._one([True, False]),
            "rewrite_set": self._named("rewrite_sets", above),
            "own_barring": self._named("barring_levels", above),
            "blocked_in": self._some(["anonymous", "33*"], 0, 2),
            "trusted": [
                {
                    "network": self._networks.pop(),
                    "transport": self._one(["", "udp"]),
                    "enabled": self._one([True, False]),
                }
                for _ in range(self._random.randint(0, 1))
            ],
        }

    def _carriers(self, name: str, said: Said, holders: Sequence[Said]) -> list[Said]:
        return [
            {
                "name": f"own{n}",
                "enabled": self._one([True, False]),
                "tariff": f"deck of own{n}",
                "contact": self._one([None, *(contact["email"] for contact in said["contacts"])]),
                "rewrite_set": self._named("rewrite_sets", holders),
                "owed_limit": self._one([None, "0", "100"]),
                "servers": [self._server(f"{name} {place}") for place in self._some(["one", "two"], 0, 2)],
                "rules": [
                    {"callee_prefix": prefix, "time_set": self._named("time_sets", holders),
                     "stopper": self._one([True, False]), "valid_to": self._one([None, f"{YEAR}-01-01T00:00:00+00:00"])}
                    for prefix in self._some(["", "44", "1"], 0, 3)
                ],
                "inbound": [
                    {"priority": place, "field": self._one(["from", "to"]), "part": "user", "pattern": f"^{place}"}
                    for place in self._some([1, 2, 3], 0, 3)
                ],
            }
            for n in (1, 2)
        ]  # fmt: skip

    def _server(self, name: str) -> Said:
        hunts = [{"status": status, "action": "stop", "told_status": 480, "told_phrase": "Gone"}
                 for status in self._some([404, 503], 0, 2)]  # fmt: skip
        return {"name": name, "address": self._addresses.pop(), "port": self._one([5060, 5080]), "hunt": hunts,
                "weight": self._one([1, 10]), "probe": self._one([True, False])}  # fmt: skip

    def _tariff(self, name: str) -> Said:
        said: Said = {"name": name, "currency": "EUR", "rounding": self._one(["up", "half_even"])}
        said["prices"] = self._one(["none", self._prices(), self._prices()])
        said["inbound_prices"] = self._one(["none", self._prices()])
        decks = self._some([f"{YEAR}-02-01T00:00:00+00:00", f"{YEAR}-03-01T00:00:00+00:00"], 0, 2)
        said["decks"] = [{"from": begin, "prices": self._prices()} for begin in decks]
        return said

    def _prices(self) -> Said:
        periods = [{"name": each, "times": self._times() or ["Sun"]} for each in self._some(["peak", "low"], 0, 2)]
        rates: Said = {}
        for prefix in self._some(["1", "44", "447", "4477", "49", "1900"], 0, 6):
            price: Any = {"per_minute": self._random.randint(0, 99) / 1000, "next_s": self._one([1, 6, 60])}
            if periods and self._random.random() < HALF:
                price["periods"] = {self._one(periods)["name"]: {"per_minute": 0.5, "connect": 0.25}}
            rates[prefix] = self._one([price, price, "forbidden", 0.02])
        return {"periods": periods, "rates": rates}

    def _rewrite_rules(self) -> list[Said]:
        priorities = self._some([10, 20, 30], 0, 3)
        return [{"side": self._one(["callee_in", "caller_in"]), "priority": priority, "pattern": f"^0{priority}",
                 "replacement": self._one(["", "+", "44"])} for priority in priorities]  # fmt: skip

    def _times(self) -> list[str]:
        return self._some(["Mon-Fri 08:00-18:00", "Sat", "20:00-24:00", "Sun 00:00-06:30"], 0, 2)

    def _named(self, section: str, holders: Sequence[Said]) -> str | None:
        """Return the name of a row of one of these accounts, or none."""
        names: list[str] = [row["name"] for holder in holders for row in holder.get(section, [])]
        return names[self._random.randrange(len(names))] if names and self._random.random() < HALF else None

    def _tariff_of(self, account: Said) -> str:
        return str(account["tariffs"][0]["name"])

    def _one(self, choices: Sequence[Any]) -> Any:
        return choices[self._random.randrange(len(choices))]

    def _some(self, choices: Sequence[Any], least: int, most: int) -> list[Any]:
        return self._random.sample(list(choices), self._random.randint(least, min(most, len(choices))))
