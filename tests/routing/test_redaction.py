"""The corpus once more, read by everybody: no account learns from a trace of what stands above it or beside it.

Each call of the corpus is told to each account of its world, sharing or not, with the right to see carriers or not.
Names are made unmistakable first, so that one that slips through is found wherever it stands.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import cache
from ipaddress import ip_address, ip_network
from typing import Any, Final, NamedTuple

import pytest

from kemi.core.amounts import amount, per_minute
from kemi.core.decide import decide
from kemi.core.outcome import Challenge, Decision, Reject, Route
from kemi.records import (
    Account,
    PeeringGroup,
    PeeringRules,
    PinnedCall,
    RewriteSet,
    SipDomain,
    SourceKind,
    Sources,
    Subscriber,
)
from tests.routing.asking import facts, request
from tests.routing.building import Records
from tests.routing.entities import parse
from tests.routing.tables import Line, lines
from tests.routing.test_strangers import STRANGER
from tools.explain.data import as_data
from tools.explain.past import Past, PastAttempt, PastCall, PastLeg, past_data
from tools.explain.redact import redacted_answer, redacted_past
from tools.explain.sentences import (
    ACCOUNT,
    CARRIER,
    FILTER,
    LEVEL,
    LINE,
    NAMED,
    REWRITE,
    ROUTE,
    SERVER,
    SOURCE,
    TARIFF,
    TIMES,
    Claim,
    Seen,
    is_known,
    redacted,
    redacted_sentence,
)
from tools.explain.whatif import Answer

LINES: Final = (*lines("cases"), *lines("hunts"))
PASSED_OVER: Final = (
    "source 9001 0.0.0.0/0 is sly@stranger.example transport=tls",
    "source 9002 ::/0 is sly@stranger.example transport=tls",
)
"""A stranger's addresses, which every call of the corpus comes from, and never as he wants it."""

NOON: Final = datetime(2026, 6, 3, 12, tzinfo=UTC)
SENTENCES_MIN: Final = 40  # kinds of sentences that are told to somebody; a redaction that tells nothing is worthless
ROOT_ID_FIELDS: Final = ("account_id", "refused_by", "payer_id", "payee_id")

_ID: Final = {
    "account": re.compile(r"\baccount ([0-9]+)"),
    "tariff": re.compile(r"\btariff ([0-9]+)"),
    "group": re.compile(r"(?<!ring )\bgroup ([0-9]+)"),
    "server": re.compile(r"(?<!media )\bserver ([0-9]+)"),
    "rule": re.compile(r"(?<!\) )\brule ([0-9]++)(?!: .* → | passed over)"),
    "source": re.compile(r"\bpeer source ([0-9]+)"),
    "rewrite": re.compile(r"(?<!\) )\brule ([0-9]++)(?=: .* → | passed over)"),
}


class Told(NamedTuple):
    """A call of the corpus as it was decided. records: with unmistakable names."""

    line: Line
    records: Records
    decision: Decision


class Reader:
    """What one account sees of a world, said once more, without any SQL: an Asked of the redaction."""

    def __init__(self, records: Records, account_id: int, *, shares: bool, sees_carriers: bool) -> None:
        self.reader_id = account_id
        self._accounts = {it.id: it for it in _all(records, Account)}
        self.visible = {it.id for it in self._accounts.values() if self._is_visible(it, shares=shares)}
        above = set(_above(self._accounts, account_id))
        groups = _all(records, PeeringGroup)
        self.groups = {it.id for it in groups if it.account_id == account_id}
        self.servers = {server.id for it in groups if it.id in self.groups for server in it.servers}
        named = [it for it in groups if it.account_id in self.visible or (sees_carriers and it.account_id in above)]
        self.named = {it.name for it in named}
        self.named_servers = {server.id for it in named for server in it.servers}
        self.rules = {
            rule.id
            for name, it in records.records.items()
            if isinstance(it, PeeringRules) and name.split(":")[1] == str(account_id)
            for rule in it.entries
        }
        self.filters = {rule.id for it in groups if it.id in self.groups for rule in it.inbound_rules}
        self.lines = {f"{it.username}@{it.domain}" for it in _all(records, Subscriber) if it.account_id in self.visible}
        self.tariffs = {self._accounts[account_id].tariff_id} | {
            it.tariff_id for it in self._accounts.values() if it.parent_id in self.visible
        }
        self.sources = {
            source.id
            for it in _all(records, Sources)
            for source in it.entries
            if source.kind == SourceKind.TRUSTED and source.subscriber in self.lines
        }
        self._records = records

    def of(self, claims: Iterable[Claim]) -> frozenset[Claim]:
        """Return those of the claims that hold."""
        return frozenset(claim for claim in claims if claim.key in self._held(claim.what))

    def _held(self, what: str) -> set[str]:
        numbers = {
            ACCOUNT: self.visible,
            TARIFF: self.tariffs,
            CARRIER: self.groups,
            SERVER: self.servers,
            NAMED: self.named_servers,
            ROUTE: self.rules,
            FILTER: self.filters,
            SOURCE: self.sources,
        }
        if what in numbers:
            return {str(number) for number in numbers[what]}
        return {LINE: lambda: self.lines, REWRITE: self.rewrite_rules}.get(what, self._levels_and_times)()

    def rewrite_rules(self) -> set[str]:
        """Return the rules of sets that visible lines and their accounts' domains use."""
        used = {it.rewrite_set_id for it in _all(self._records, Subscriber) if it.account_id in self.visible}
        used |= {it.rewrite_set_id for it in _all(self._records, SipDomain) if it.account_id in self.visible}
        sets = (it for it in _all(self._records, RewriteSet) if it.id in used)
        return {str(rule.id) for it in sets for rules in it[2:] for rule in rules}

    def _levels_and_times(self) -> set[str]:
        """Return the barring levels that visible accounts and lines have; the ids of time sets count on from there."""
        holders = [*self._accounts.values(), *_all(self._records, Subscriber)]
        seen = (it for it in holders if (it.id if isinstance(it, Account) else it.account_id) in self.visible)
        return {str(level) for it in seen for level in (it.barring_id, it.own_barring_id) if level}

    def _is_visible(self, account: Account, *, shares: bool) -> bool:
        path = [account.id, *_above(self._accounts, account.id)]
        if self.reader_id not in path:
            return False
        return shares or path.index(self.reader_id) <= 1


def _above(accounts: dict[int, Account], account_id: int) -> Iterator[int]:
    parent = accounts[account_id].parent_id
    while parent and parent in accounts:
        yield parent
        parent = accounts[parent].parent_id


def _all(records: Records, kind: type[Any]) -> list[Any]:
    return [record for record in records.records.values() if isinstance(record, kind)]


def _unmistakable(records: Records) -> Records:
    """Return the same world with names that stand nowhere by chance."""
    made = copy.copy(records)
    made.records = dict(records.records)
    for name, record in made.records.items():
        if isinstance(record, Account):
            made.records[name] = record._replace(name=f"Qaccount{record.id}Q")
        elif isinstance(record, PeeringGroup):
            servers = tuple(server._replace(name=f"Qserver{server.id}Q") for server in record.servers)
            made.records[name] = record._replace(name=f"Qgroup{record.id}Q", servers=servers)
    return made


@cache
def _told() -> tuple[Told, ...]:
    made: list[Told] = []
    for line in LINES:
        records = _unmistakable(Records(parse((*STRANGER, *PASSED_OVER), line.world)))
        decision = decide(request(line, records), facts(line, records))
        assert isinstance(decision, Route | Reject | Challenge), f"{line.place}: {decision}"
        made.append(Told(line, records, decision))
    return tuple(made)


def _readers(records: Records) -> Iterator[Reader]:
    for account in _all(records, Account):
        for shares, sees_carriers in ((False, False), (True, True)):
            if account.parent_id:
                yield Reader(records, account.id, shares=shares, sees_carriers=sees_carriers)


def _past(call: PinnedCall, decision: Decision) -> Past:
    """Return the record that such a call leaves, had every server been asked."""
    outcome = "refused" if isinstance(decision, Reject) else "answered"
    record = PastCall(
        call.rid, "n1", NOON, NOON, NOON, call.direction, call.source, call.account_id, call.caller,
        call.callee, outcome, 200, getattr(decision, "reason", ""), 16, "caller", 60_000, 60,
        [[target.server_id, 503] for target in call.targets], list(call.trace), 7,
        getattr(decision, "account_id", 0), call.hidden, [list(choice) for choice in call.left_out], NOON,
    )  # fmt: skip
    legs = [
        PastLeg(leg.level, f"Qaccount{leg.payer_id}Q", f"Qaccount{leg.payee_id}Q", leg.currency,
                leg.rate.per_min_micros, leg.tariff_id, leg.prefix, "fund", leg.currency, leg.rate.per_min_micros,
                leg.payer_id, leg.payee_id)
        for leg in call.legs
    ]  # fmt: skip
    for target in call.targets[:1]:
        if target.cost is not None:
            cost = target.cost
            legs.append(
                PastLeg(1, f"Qaccount{cost.payer_id}Q", f"Qaccount{cost.payee_id}Q", cost.currency,
                        cost.rate.per_min_micros, cost.tariff_id, cost.prefix, "cost", None, None, cost.payer_id,
                        cost.payee_id)
            )  # fmt: skip
    attempts = [
        PastAttempt(each.server_id, each.name, 503, NOON, NOON, 900, target=n) for n, each in enumerate(call.targets, 1)
    ]
    return Past(record, legs, attempts)


def _whatif(told: Told) -> Answer:
    """Return what `tandem explain` would have found, without funds."""
    decision, accounts = told.decision, {it.id: it for it in _all(told.records, Account)}
    route = decision if isinstance(decision, Route) else None
    call = decision.call if isinstance(decision, Route | Reject) else None
    start = [leg.payer_id for leg in call.legs] if call else []
    if call and not call.legs and call.account_id in accounts:
        start = [call.account_id, *_above(accounts, call.account_id)]
    return Answer(decision, route, (), {each: accounts[each] for each in start}, 7, 1, ("a note that nobody knows",))


def _leaks(text: str, reader: Reader, told: Told) -> Iterator[str]:
    """Yield what stands in a text and is not the reader's to know."""
    for account_id in map(int, re.findall(r"Qaccount([0-9]+)Q", text)):
        if account_id not in reader.visible:
            yield f"the name of account {account_id}"
    for group_id in re.findall(r"Qgroup([0-9]+)Q", text):
        if f"Qgroup{group_id}Q" not in reader.named:
            yield f"the name of group {group_id}"
    for server_id in map(int, re.findall(r"Qserver([0-9]+)Q", text)):
        if server_id not in reader.servers:
            yield f"the name of server {server_id}"
    for line in _all(told.records, Subscriber):
        name = f"{line.username}@{line.domain}"
        if name in text and name not in reader.lines:
            yield f"line {name}"
    known = {
        "account": reader.visible, "tariff": reader.tariffs, "group": reader.groups, "server": reader.servers,
        "rule": reader.rules | reader.filters, "source": set[int](), "rewrite": set(map(int, reader.rewrite_rules())),
    }  # fmt: skip
    for what, ids in known.items():
        yield from (f"{what} {found}" for found in _ID[what].findall(text) if int(found) not in ids)
    yield from _addresses(text, reader, told)


def _addresses(text: str, reader: Reader, told: Told) -> Iterator[str]:
    """Yield addresses of others, unless they are among the reader's own trusted sources as well."""
    sources = [source for it in _all(told.records, Sources) for source in it.entries]
    own = [ip_network(source.network) for source in sources if source.id in reader.sources]
    for group in _all(told.records, PeeringGroup):
        for server in group.servers:
            is_own = group.id in reader.groups or any(
                ip_address(server.address) in each for each in own if server.address
            )
            if server.address and not is_own and re.search(rf"{re.escape(server.address)}\b", text):
                yield f"the address of server {server.id}"
    for source in sources:
        if source.network in text and ip_network(source.network) not in own:
            yield f"source {source.network}"


def _foreign_prices(told: Told, reader: Reader) -> set[str]:
    """Return the prices of the call that are others', as sentences write them; not those that somebody seen has too."""
    decision = told.decision
    if not isinstance(decision, Route):
        return set()
    theirs = {per_minute(leg.rate.per_min_micros, leg.currency) for leg in decision.call.legs
              if leg.payer_id not in reader.visible}  # fmt: skip
    own = {per_minute(leg.rate.per_min_micros, leg.currency) for leg in decision.call.legs
           if leg.payer_id in reader.visible}  # fmt: skip
    costs = {f"costs {amount(each.expected_micros, each.cost.currency)}" for each in decision.weighed.candidates
             if each.group.id not in reader.groups}  # fmt: skip
    mine = {f"costs {amount(each.expected_micros, each.cost.currency)}" for each in decision.weighed.candidates
            if each.group.id in reader.groups}  # fmt: skip
    return {price for price in theirs - own if not price.startswith("0.00 ")} | (costs - mine)


def _strays(data: dict[str, Any], reader: Reader) -> Iterator[str]:
    """Yield ids of what is told to programs that the reader may not know."""
    entries = [data, *data.get("legs", ()), *data["chain"], *data["candidates"], *data["rejected"]]
    entries += [level["rate"] for level in data["chain"] if level.get("rate")]
    for entry in entries:
        for field in ROOT_ID_FIELDS:
            if entry.get(field, 0) not in reader.visible | {0}:
                yield f"{field} {entry[field]}"
        for field, known in (("group_id", reader.groups), ("server_id", reader.servers), ("rule_id", reader.rules)):
            if entry.get(field, 0) not in known | {0}:
                yield f"{field} {entry[field]}"
        if (entry.get("tariff_id") or 0) not in reader.tariffs | {0}:
            yield f"tariff_id {entry['tariff_id']}"
        if entry.get("cost_micros") and entry["group_id"] not in reader.groups:
            yield f"cost_micros {entry['cost_micros']}"


def test_nobody_reads_of_what_is_above_or_beside_him() -> None:
    """Neither a name, an id, a price nor an address: in a past call, in its payments, nor in what would happen now."""
    found: list[str] = []
    for told in _told():
        call = told.decision.call if isinstance(told.decision, Route | Reject) else None
        for reader in _readers(told.records):
            past = redacted_past(_past(call, told.decision), reader) if call else None
            now = redacted_answer(_whatif(told), reader, line="")
            shown = [past_data([past])[0] if past else None, as_data(now) if now else None]
            for data in filter(None, shown):
                text = json.dumps(data, default=str, ensure_ascii=False)
                leaks = [*_leaks(text, reader, told), *_strays(data, reader)]
                leaks += [price for price in _foreign_prices(told, reader) if price in text]
                found += [f"{told.line.place} as {reader.reader_id}: {leak}: {text[:800]}" for leak in leaks]
    assert not found, "\n".join(found[:3])


def test_who_sees_the_caller_reads_what_his_own_levels_pay() -> None:
    """A redaction that tells nothing would leak nothing, too."""
    pays, kinds = 0, set[str]()
    for told in _told():
        call = told.decision.call if isinstance(told.decision, Route | Reject) else None
        for reader in _readers(told.records) if call else ():
            past = redacted_past(_past(call, told.decision), reader) if call else None
            if call is None or past is None or call.account_id not in reader.visible:
                continue
            kinds |= {re.sub(r"[0-9]+|Q\w+Q|\S+@\S+", "#", sentence) for sentence in past.call.trace}
            own = f" account {reader.reader_id} pays "
            expected = [sentence for sentence in call.trace if own in sentence]
            assert [sentence for sentence in past.call.trace if own in sentence] == expected, told.line.place
            pays += len(expected)
    assert pays > len(LINES)
    assert len(kinds) > SENTENCES_MIN, sorted(kinds)


def test_somebody_has_thought_of_every_sentence() -> None:
    """A sentence that is in neither list is read by nobody but the root; it stands here until it is in one."""
    unknown = {sentence for told in _told() for sentence in told.decision.trace if not is_known(sentence)}
    assert not unknown, "\n".join(sorted(unknown))


@pytest.mark.parametrize(
    "sentence",
    [
        "the moon is full",
        "level 1 account 5 pays 0.02 EUR/min by tariff 6 prefix 44 because account 1 wants it",
        "node takes no new calls; ask account 1",
        "level 1 account 7 pays 0.02 EUR/min by tariff 9 prefix 44",
        "rule 12: 0044 → 44; rule 99 passed over: pattern refused (x)",
        "trusted source 4 by 203.0.113.0/24 is sub carol@b.example",
        "candidate 1: server 7 (acme/one) by rule 31, costs 0.004 EUR for 180 s",
    ],
)
def test_what_is_not_wholly_known_is_left_out(sentence: str) -> None:
    """To account 5, which sees account 7 below it, tariff 6, rewrite rule 12 and trusted source 4, and nothing else."""
    claims = frozenset(
        {Claim(ACCOUNT, "5"), Claim(ACCOUNT, "7"), Claim(TARIFF, "6"), Claim(REWRITE, "12"), Claim(SOURCE, "4")}
    )
    assert redacted_sentence(sentence, Seen(5, sees_caller=True, called="442071234567", claims=claims)) == ""


def test_what_is_known_is_told_and_masked_where_a_part_of_it_is_not() -> None:
    """The price without the tariff that is another's, the carrier without its server."""
    claims = frozenset({Claim(ACCOUNT, "5"), Claim(NAMED, "7"), Claim(REWRITE, "12"), Claim(LEVEL, "3")})
    seen = Seen(5, sees_caller=True, called="442071234567", claims=claims | {Claim(TIMES, "1")})
    trace = [
        "rule 12: 0044 → 44",
        "level 1 account 5 pays 0.02 EUR/min by tariff 6 prefix 44, 1 EUR = 0.9 USD",
        "candidate 1: server 7 (acme/one) by rule 31, costs 0.004 EUR for 180 s",
        "candidate 2: server 8 (acme/one) by rule 31, costs 0.004 EUR for 180 s",  # another's, of the same name
        "level 1 account 5: barring level 3 (no Italy) rule 7",
        "no carrier takes 442071234567",
        "no carrier takes 33777000000",
    ]
    assert redacted(trace, seen) == [
        "rule 12: 0044 → 44",
        "level 1 account 5 pays 0.02 EUR/min by prefix 44, 1 EUR = 0.9 USD",
        "candidate 1: carrier acme",
        "level 1 account 5: barring level 3 (no Italy) rule 7",
        "no carrier takes 442071234567",
    ]


def test_the_called_reads_no_caller_who_hides() -> None:
    """Of a call to a line of ours that hides its number, the called reads that somebody called."""
    told = next(
        each for each in _told() if isinstance(each.decision, Route) and each.decision.call.direction == "internal"
    )
    assert isinstance(told.decision, Route)
    call = told.decision.call._replace(hidden=True)
    by_name = {f"{it.username}@{it.domain}": it.account_id for it in _all(told.records, Subscriber)}
    called_id = by_name[told.decision.targets[0].address_of_record]
    reader = Reader(told.records, called_id, shares=False, sees_carriers=False)
    past = redacted_past(_past(call, told.decision), reader)
    assert past is not None
    if called_id != call.account_id:
        assert (past.call.caller, past.call.source, past.call.direction) == ("anonymous", "", "in")
