"""What would become of a call: the decision of a live worker, made here from the live tables.

Rule 1: nothing is decided in this file. It builds the request that a caller would send and asks core.decide, as a
worker does, until it needs nothing more. A subscriber's password is not known; its stored hash answers as well.
Rule 2: nothing is held. What the funds have is read beside it, and how long each of them could pay.
"""

from __future__ import annotations

import hashlib
import time
from bisect import bisect_right
from collections.abc import Sequence
from typing import Final, NamedTuple

from kemi import keys
from kemi.adapters.redis_client import RedisClient
from kemi.adapters.redis_funds import Balance, Funds, FundTerms
from kemi.adapters.redis_tables import Tables
from kemi.adapters.zones import Zones
from kemi.core.decide import decide
from kemi.core.digest import make_nonce
from kemi.core.outcome import Decision, HoldFund, Need, Route
from kemi.core.rating import charges
from kemi.core.request import CallRequest, Credentials, Facts, SipUri
from kemi.core.uri import parse_uri
from kemi.records import PinnedCall, Status, Subscriber, Window
from tools.errors import OperatorError

ROUNDS_MAX: Final = 4  # a worker stops after two; here it is worth seeing that more were needed
UNLIMITED: Final = -1
NODE: Final = "explain"
NONCE_COUNT: Final = "00000001"
CLIENT_NONCE: Final = "explain"


class Question(NamedTuple):
    """The call in question. caller: address of record, number, or URI of the From. callee: number or URI.

    subscriber: address of record that proves itself by digest, "" = the caller's, if it is one. from_ip: "" = one that
    is nobody's. secret: of the nodes, for the same weighted draw as theirs.
    """

    caller: str
    callee: str
    subscriber: str = ""
    from_ip: str = ""
    transport: str = "udp"
    secret: bytes = b"tandem explain"


class Purse(NamedTuple):
    """A fund of the hold and what it has. sides: as in HoldFund. talk_s: how long it alone could pay.

    available_micros: credit and what the spend caps leave, whichever is less; None = unlimited.
    """

    account_id: int
    level: int
    sides: int
    balance: Balance
    available_micros: int | None
    talk_s: int


class Answer(NamedTuple):
    """The decision, what the funds have for it, and from which state of the tables. rounds: fetches that it took."""

    decision: Decision
    purses: tuple[Purse, ...]
    config_pass: int
    rounds: int


def answer(client: RedisClient, question: Question) -> Answer:
    """Return the decision for `question`. Raises OperatorError for a caller who cannot be, StoreUnavailable."""
    tables = Tables(client)
    emergency, _ = tables.load_pinned()
    if not tables.seen_pass:
        raise OperatorError("Redis holds no configuration yet: `tandem sync` has not finished its first load")
    call = _request(tables, question)
    rounds = 0
    while True:
        facts = Facts(
            records=tables.records,
            rates=tables.rates,
            node=NODE,
            secret=question.secret,
            emergency=emergency,
            nonce_uses=1,
            config_pass=tables.seen_pass,
            zones=Zones(),
        )
        decision = decide(call, facts)
        if not isinstance(decision, Need):
            break
        if rounds == ROUNDS_MAX:
            unreadable = "; ".join(f"{name}: {why}" for name, why in tables.unreadable.items())
            raise OperatorError(f"still unknown after {rounds} fetches: {', '.join(decision.keys)} {unreadable}")
        tables.fetch(decision)
        rounds += 1
    purses = _purses(client, decision) if isinstance(decision, Route) and decision.hold.funds else ()
    return Answer(decision, purses, tables.seen_pass, rounds)


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
    raise OperatorError(f"account {account_id} has no active subscriber; name a caller with --subscriber or --from-ip")


def _request(tables: Tables, question: Question) -> CallRequest:
    """Return the INVITE as the caller would send it, with credentials where a subscriber proves itself."""
    proves = question.subscriber or (question.caller if "@" in question.caller and not question.from_ip else "")
    proves = proves.removeprefix("sip:")
    host = proves.partition("@")[2] or "unknown.invalid"
    from_uri = _uri(proves or question.caller, host)
    ruri = _uri(question.callee, from_uri.host)
    claim = f"<{_uri(question.caller, host)}>" if question.subscriber and question.caller != question.subscriber else ""
    call = CallRequest(
        method="INVITE",
        call_id="explain",
        from_tag="explain",
        cseq="1",
        source_ip=question.from_ip or "192.0.2.1",  # RFC 5737: nobody's
        source_port=5060,
        transport=question.transport,
        ruri=ruri,
        from_uri=from_uri,
        to_uri=ruri,
        received_ms=time.time_ns() // 1_000_000,
        ppi=claim,
    )
    return call._replace(credentials=_credentials(tables, call, proves, question.secret)) if proves else call


def _uri(text: str, host: str) -> SipUri:
    """Return the URI of a URI, an address of record, or a number (then at `host`)."""
    whole = text if ":" in text else f"sip:{text}" if "@" in text else f"sip:{text}@{host}"
    uri = parse_uri(whole)
    if uri is None:
        raise OperatorError(f"{text!r} is no number, no user@domain and no SIP URI")
    return uri


def _credentials(tables: Tables, call: CallRequest, address: str, secret: bytes) -> Credentials | None:
    """Return a right answer to our own challenge; None for a subscriber who does not exist or has no password."""
    name = keys.subscriber(address)
    tables.fetch(Need((name,)))
    line = tables.records.get(name)
    if not isinstance(line, Subscriber) or not (line.ha1_md5 or line.ha1_sha256):
        return None
    algorithm, ha1 = ("MD5", line.ha1_md5) if line.ha1_md5 else ("SHA-256", line.ha1_sha256)
    nonce, uri = make_nonce(secret, call.received_ms, call.call_id), str(call.ruri)
    ha2 = _digest(algorithm, f"{call.method}:{uri}")
    response = _digest(algorithm, f"{ha1}:{nonce}:{NONCE_COUNT}:{CLIENT_NONCE}:auth:{ha2}")
    return Credentials(
        line.username, line.domain, nonce, uri, response, algorithm, "auth", NONCE_COUNT, CLIENT_NONCE
    )  # fmt: skip


def _digest(algorithm: str, text: str) -> str:
    return hashlib.new("md5" if algorithm == "MD5" else "sha256", text.encode()).hexdigest()


def _purses(client: RedisClient, route: Route) -> tuple[Purse, ...]:
    funds = route.hold.funds
    balances = Funds(client, NODE, 0).balances([fund.fund for fund in funds])
    return tuple(_purse(route.call, *pair) for pair in zip(funds, balances, strict=True))


def _purse(call: PinnedCall, fund: HoldFund, balance: Balance) -> Purse:
    """Return what a fund has, as the hold would reckon: a free call needs no money, but terms and an active account."""
    terms = balance.terms
    if terms is None or terms.status != Status.ACTIVE:
        return Purse(fund.account_id, fund.level, fund.sides, balance, 0, 0)
    now_ms, held = call.started_ms, balance.held_micros
    left: list[int] = []
    if terms.credit_limit_micros != UNLIMITED:
        left.append(terms.cred_micros - balance.charged_micros - held + terms.credit_limit_micros)
    if terms.day_max_micros:
        left.append(terms.day_max_micros - _day_spent(balance, terms, now_ms) - held)
    if terms.month_max_micros:
        left.append(terms.month_max_micros - _month_spent(balance, terms, now_ms) - held)
    if not left:
        return Purse(fund.account_id, fund.level, fund.sides, balance, None, call.max_s)
    legs, seconds = [[leg for leg in call.legs if leg.fund == fund.fund]], range(call.max_s + 1)
    payable = bisect_right(seconds, max(min(left), 0), key=lambda talk_s: sum(charges(legs, talk_s, now_ms)))
    return Purse(fund.account_id, fund.level, fund.sides, balance, min(left), payable - 1)


def _day_spent(balance: Balance, terms: FundTerms, now_ms: int) -> int:
    """Return what counts against the day's cap; what an opening says counts before the first hold takes it, too."""
    now_id, opening = window_at(terms.days, now_ms), terms.opening
    opened = opening.day_micros if opening and opening.day_id == now_id else 0
    return max(opened, balance.day_spent_micros if balance.day_id >= now_id else 0)


def _month_spent(balance: Balance, terms: FundTerms, now_ms: int) -> int:
    now_id, opening = window_at(terms.months, now_ms), terms.opening
    opened = opening.month_micros if opening and opening.month_id == now_id else 0
    return max(opened, balance.month_spent_micros if balance.month_id >= now_id else 0)


def window_at(windows: Sequence[Window], now_ms: int) -> int:
    """Return the id of the window that is in force: the first that has not ended, else the last one known, else 0."""
    ahead = [window.id for window in windows if window.end_ms > now_ms]
    return ahead[0] if ahead else windows[-1].id if windows else 0
