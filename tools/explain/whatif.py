"""What would become of a call: the decision of a live worker, made here from the live tables.

Rule 1: nothing is decided in this file. It builds the request that a caller would send and asks core.decide, as a
worker does, until it needs nothing more (kemi/adapters/redis_whatif.py). What the NOC has in quarantine counts.
Rule 2: nothing is held. What the funds have is read beside it: whether the store would grant the hold as they stand
now, and how long each of them could pay.
Rule 3: a node's memory of failed carriers is its own; here every carrier is well, and a note says so.
Rule 4: where carriers are equal the order is drawn by the Call-ID. The same call is decided under other Call-IDs, and a
note says who comes first how often.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from kemi import keys
from kemi.adapters import redis_measures
from kemi.adapters.redis_client import RedisClient
from kemi.adapters.redis_purses import NODE, Purse, purses
from kemi.adapters.redis_tables import Tables
from kemi.adapters.redis_whatif import decided, foreseen, proven
from kemi.adapters.zones import Zones
from kemi.core.outcome import IN, OUT, Decision, HoldFund, Need, Reject, Route
from kemi.core.request import CallRequest, Facts
from kemi.records import Account, PinnedCall, Status, Subscriber
from kemi.settings import Limits
from tools.errors import OperatorError
from tools.explain.request import Question, invite
from tools.explain.secret import UNKNOWN

LEVELS_MAX: Final = 9  # accounts of a chain, the root included
SECRET: Final = b"tandem explain"  # where that of the nodes is not known
DRAWS: Final = 100  # ≈ 1 ms each


class Answer(NamedTuple):
    """The decision, what the funds have for it, and from which state of the tables. rounds: fetches that it took.

    decision: a Route whose hold would be refused as the funds stand now is that refusal, and the Route stands in
    `route`. accounts: those of the chains, by id. notes: what nodes may do otherwise. is_redacted: for somebody who
    does not see all of it.
    """

    decision: Decision
    route: Route | None
    purses: tuple[Purse, ...]
    accounts: Mapping[int, Account]
    config_pass: int
    rounds: int
    notes: tuple[str, ...] = ()
    is_redacted: bool = False

    @property
    def call(self) -> PinnedCall | None:
        """What is known of the call; nothing while nobody is identified."""
        if self.route is not None:
            return self.route.call
        return self.decision.call if isinstance(self.decision, Reject) else None


def answer(client: RedisClient, question: Question, limits: Limits) -> Answer:
    """Return the decision for `question`. Raises OperatorError for a caller who cannot be, StoreUnavailable."""
    tables = Tables(client)
    tables.load_pinned()
    if not tables.seen_pass:
        raise OperatorError("Redis holds no configuration yet: `tandem sync` has not finished its first load")
    base = Facts({}, {}, NODE, question.secret or SECRET, limits, nonce_uses=1, zones=Zones())
    base = base._replace(quarantine=redis_measures.quarantine(client, redis_measures.clock_ms(client)))
    found = foreseen(client, tables, _sent(tables, question), base)
    if isinstance(found.decision, Need):
        raise OperatorError(_unknown(tables, found.decision, found.rounds))
    accounts = _accounts(tables, found.decision)
    has = found.purses if found.route else _purses(client, found.decision, accounts)
    is_granted = found.route is not None and found.decision is found.route
    notes = tuple(_notes(tables, question, found.route, base)) if found.route and is_granted else ()
    return Answer(found.decision, found.route, has, accounts, tables.seen_pass, found.rounds, notes)


def _sent(tables: Tables, question: Question) -> CallRequest:
    """Return the INVITE as its caller sends it in the end."""
    call = invite(question)
    return proven(tables, call, question.line, question.secret or SECRET) if question.line else call


def _notes(tables: Tables, question: Question, route: Route, base: Facts) -> Iterator[str]:
    """Yield what nodes may do otherwise than is shown here."""
    names = {target.pinned.server_id: target.pinned.name for target in route.targets if target.pinned.server_id}
    if not names:
        return
    yield "what nodes remember of servers that failed lately is not looked at: they try those last"
    if len(names) == 1:
        return
    orders: list[tuple[int, ...]] = []
    for n in range(DRAWS):
        other = question._replace(call_id=f"{question.call_id}-{n}")
        decision = _decided(tables, _sent(tables, other), base)
        if isinstance(decision, Route):
            names |= {target.pinned.server_id: target.pinned.name for target in decision.targets}
            orders.append(tuple(target.pinned.server_id for target in decision.targets))
    if len(set(orders)) > 1:
        firsts = Counter(order[0] for order in orders if order)
        shares = ", ".join(f"{names[server_id]} in {count}" for server_id, count in firsts.most_common())
        unknown = "" if question.secret else f"; {UNKNOWN}"
        yield f"the order among equals is drawn for each call: of {len(orders)}, first comes {shares}{unknown}"


def _decided(tables: Tables, call: CallRequest, base: Facts) -> Decision:
    decision, rounds = decided(tables, call, base)
    if isinstance(decision, Need):
        raise OperatorError(_unknown(tables, decision, rounds))
    return decision


def _unknown(tables: Tables, need: Need, rounds: int) -> str:
    unreadable = "; ".join(f"{name}: {why}" for name, why in tables.unreadable.items())
    return f"still unknown after {rounds} fetches: {', '.join(need.keys)} {unreadable}"


def subscriber_of(client: RedisClient, account_id: int) -> str:
    """Return the address of record of an account's first active subscriber, by name. Raises OperatorError."""
    tables, cursor, names = Tables(client), b"0", list[str]()
    while True:
        cursor, found = client.execute("SCAN", cursor, "MATCH", keys.config(keys.subscriber("*")), "COUNT", 1_000)
        names += [key.decode().removeprefix(keys.CONFIG_PREFIX) for key in found]
        if cursor == b"0":
            break
    for name in sorted(names):
        tables.fetch(Need((name,)))
        record = tables.records.get(name)
        if isinstance(record, Subscriber) and record.account_id == account_id and record.status == Status.ACTIVE:
            return f"{record.username}@{record.domain}"
    raise OperatorError(f"account {account_id} has no active subscriber; name a caller with --subscriber or --source")


def _accounts(tables: Tables, decision: Decision) -> dict[int, Account]:
    """Return the accounts of the call's chains: those that pay, or of a refused call those above its line."""
    call = decision.call if isinstance(decision, Route | Reject) else None
    found: dict[int, Account] = {}
    for account_id in (leg.payer_id for leg in call.legs) if call else ():
        _climb(tables, account_id, found, 1)
    if call is not None and not call.legs:
        _climb(tables, call.account_id, found, LEVELS_MAX)
    return found


def _climb(tables: Tables, account_id: int, found: dict[int, Account], levels: int) -> None:
    for _ in range(levels):
        account = tables.records.get(keys.account(account_id))
        if not isinstance(account, Account):
            return
        found[account_id] = account
        account_id = account.parent_id


def _purses(client: RedisClient, decision: Decision, accounts: Mapping[int, Account]) -> tuple[Purse, ...]:
    """Return what the funds of the hold have; of a refused call, those of the accounts above its line."""
    if not isinstance(decision, Route | Reject) or decision.call is None:
        return ()
    if isinstance(decision, Route):
        funds = decision.hold.funds
    else:
        side = IN if decision.call.direction == "in" else OUT
        payers = enumerate((account for account in accounts.values() if account.parent_id), 1)  # the root has no fund
        funds = tuple(HoldFund(keys.fund(one.id, one.currency), one.id, level, side) for level, one in payers)
    return purses(client, decision.call, funds)
