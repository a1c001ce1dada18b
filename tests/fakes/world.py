"""A small world to decide calls in, and a store that knows as little of it as a cold cache.

root 1 ─ reseller 2 ─┬─ dealer 3 ─ customer 5: alice, bob (a.example), the trusted PBX trunk
                     └─ customer 8: carol (b.example)
carriers of the root: acme (group 3), bell (group 4); of reseller 2: own (group 6)
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from typing import Any, NamedTuple

from kemi import keys
from kemi.adapters.zones import Zones
from kemi.core.candidates import prefixes
from kemi.core.decide import decide
from kemi.core.digest import make_nonce
from kemi.core.outcome import Decision, Need, Reject, Route
from kemi.core.prefix import BUCKET_DIGITS, bucket_fields, pack_bucket
from kemi.core.request import CallRequest, Credentials, Facts, SipUri
from kemi.records import (
    Account,
    AccountKind,
    BarringLevel,
    BarringRule,
    DayRange,
    Deck,
    Destination,
    Destinations,
    Emergency,
    EmergencyRoute,
    Exchange,
    ExchangeRate,
    HuntRule,
    Identity,
    Lengths,
    Login,
    Masks,
    Number,
    PeeringGroup,
    PeeringRule,
    PeeringRules,
    PeerServer,
    Period,
    PeriodPrice,
    PortedNumber,
    Quality,
    Rate,
    RateSet,
    RewriteRule,
    RewriteSet,
    ServerQuality,
    SipDomain,
    Source,
    SourceKind,
    Sources,
    Span,
    Subscriber,
    Tariff,
    TimeSet,
)

NOW_MS = 1_770_000_000_000
SECRET = b"the secret of a world for tests"
PASSWORD = "correct horse"
ABROAD = "33140000000"  # a number that is not ours
ALICE, BOB, CAROL, TRUNK = "alice@a.example", "bob@a.example", "carol@b.example", "trunk@a.example"
ALICE_NUMBER, BOB_NUMBER, CAROL_NUMBER = "442070000001", "442070000002", "442080000003"
PEER_IP, TRUNK_IP, NOBODY_IP = "203.0.113.7", "198.51.100.9", "192.0.2.1"
CUSTOMER, DEALER, RESELLER, ROOT, NEIGHBOUR = 5, 3, 2, 1, 8
ACME, BELL, OWN = 3, 4, 6
ZONES = Zones()
ACME_1, ACME_2, BELL_1, OWN_1 = 31, 32, 41, 61


class World:
    """Records by short name and rate buckets, all of which `facts` knows. A test changes what its claim is about."""

    def __init__(self) -> None:
        self.records: dict[str, object] = {}
        self.rates: dict[tuple[int, str], bytes] = {}
        self.emergency = Emergency(
            (EmergencyRoute("", "112", (ACME, BELL)), EmergencyRoute("b.example", "911", (BELL,)))
        )
        _accounts(self)
        _lines(self)
        _carriers(self)

    @property
    def emergency(self) -> Emergency:
        """The emergency numbers."""
        table = self.records.get(keys.EMERGENCY)
        return table if isinstance(table, Emergency) else Emergency(())

    @emergency.setter
    def emergency(self, table: Emergency) -> None:
        self.put(keys.EMERGENCY, table)

    def put(self, name: str, record: object) -> None:
        """Let `record` stand under the short name."""
        self.records[name] = record

    def change(self, name: str, **fields: Any) -> None:
        """Give the record under `name` other values."""
        record: Any = self.records[name]
        self.records[name] = record._replace(**fields)

    def change_server(self, server_id: int, **fields: Any) -> None:
        """Give a carrier's server other values."""
        for name, record in tuple(self.records.items()):
            if isinstance(record, PeeringGroup) and any(server.id == server_id for server in record.servers):
                servers = tuple(s._replace(**fields) if s.id == server_id else s for s in record.servers)
                self.change(name, servers=servers)

    def tariff(self, tariff_id: int, rates: Mapping[str, Rate], currency: str = "EUR", **fields: Any) -> None:
        """Let a tariff and its rate set be in force; rates: prefix -> rate; fields: others of the Tariff."""
        set_id = tariff_id + 1000
        tariff = Tariff(tariff_id, ROOT, f"tariff {tariff_id}", currency, set_id)
        self.put(keys.tariff(tariff_id), tariff._replace(**fields))
        self.rate_set(set_id, rates)

    def rate_set(self, set_id: int, rates: Mapping[str, Rate], periods: tuple[Period, ...] = ()) -> None:
        """Let a rate set be there; rates: prefix -> rate."""
        self.put(keys.rate_set(set_id), RateSet(set_id, tuple(rates.values()), periods))
        self.rates = {key: bucket for key, bucket in self.rates.items() if key[0] != set_id}
        fields: dict[str, dict[str, int]] = {}
        for index, prefix in enumerate(rates):
            fields.setdefault(prefix[:BUCKET_DIGITS], {})[prefix[BUCKET_DIGITS:]] = index
        self.rates.update({(set_id, field): pack_bucket(entries) for field, entries in fields.items()})

    def exchange(self, base: str, quote: str, nanos: int, valid_from_ms: int = 0) -> None:
        """Add an exchange rate."""
        before = self.records.get(keys.EXCHANGE)
        rates = before.rates if isinstance(before, Exchange) else ()
        added = ExchangeRate(base, quote, valid_from_ms, nanos)
        self.put(keys.EXCHANGE, Exchange(tuple(sorted((*rates, added)))))

    def rule(self, rule: PeeringRule) -> None:
        """Add a peering rule to those of its group's owner."""
        group = self.records[keys.peering_group(rule.group_id)]
        assert isinstance(group, PeeringGroup)
        name = keys.peering_rules(group.account_id, rule.callee_prefix)
        before = self.records.get(name)
        entries = before.entries if isinstance(before, PeeringRules) else ()
        self.put(name, PeeringRules((*entries, rule)))

    def carrier(self, group: PeeringGroup, per_min_micros: int, prefix: str = "") -> None:
        """Add a carrier of an account of this world, with its deck and a rule."""
        self.tariff(group.tariff_id, {"33": Rate(per_min_micros)})
        self.put(keys.peering_group(group.id), group)
        self.change(keys.account(group.account_id), owns_carriers=True)
        self.rule(PeeringRule(group.id * 10, group.id, prefix))

    def forget_rules(self) -> None:
        """Let no carrier take anything."""
        for name in [name for name, record in self.records.items() if isinstance(record, PeeringRules)]:
            del self.records[name]

    def facts(self, **fields: Any) -> Facts:
        """Return facts of a node that has all of this world cached."""
        known: dict[str, Any] = {
            "records": Everything(self.records),
            "rates": Everything(self.rates),
            "node": "n1",
            "secret": SECRET,
            "emergency": self.emergency,
            "nonce_uses": 1,
            "config_pass": 7,
            "zones": ZONES,
        }
        return Facts(**(known | fields))

    def decide(self, call: CallRequest, **fields: Any) -> Decision:
        """Return the decision of that node."""
        decision = decide(call, self.facts(**fields))
        assert not isinstance(decision, Need), decision
        return decision

    def route(self, call: CallRequest, **fields: Any) -> Route:
        """Return the decision, which must be a Route."""
        decision = self.decide(call, **fields)
        assert isinstance(decision, Route), decision
        return decision

    def refusal(self, call: CallRequest, **fields: Any) -> Reject:
        """Return the decision, which must be a Reject."""
        decision = self.decide(call, **fields)
        assert isinstance(decision, Reject), decision
        return decision


class Everything(Mapping[Any, Any]):
    """A mapping that knows of every key; what is not there is known to be absent."""

    def __init__(self, present: Mapping[Any, Any]) -> None:
        self._present = present

    def __getitem__(self, key: Any) -> Any:
        return self._present.get(key)

    def __contains__(self, key: object) -> bool:
        return True

    def __iter__(self) -> Iterator[Any]:
        return iter(self._present)

    def __len__(self) -> int:
        return len(self._present)


class ColdStore:
    """A worker's cache in front of the store: at start only what is pinned, then what fetches bring."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.records = {name: world.records.get(name) for name in (keys.MASKS, keys.EMERGENCY)}
        self.rates: dict[tuple[int, str], bytes | None] = {}

    def fetch(self, need: Need) -> None:
        """Bring what is asked for with all that it leads to, and the rates of the digits."""
        numbers = need.digits.split(",")
        routing = self._routing_of(numbers[0], need.keys)
        if routing:
            owners = [name.split(":")[1] for name in need.keys if name.startswith("rules:")]
            rules = [f"rules:{owner}:{prefix}" for owner in owners for prefix in prefixes(routing)]
            need = need._replace(keys=(*need.keys, *rules, keys.destinations(routing)))
            numbers.append(routing)
        self._bring(need.keys, [field for number in numbers for field in bucket_fields(number)])

    def _routing_of(self, callee: str, names: Iterable[str]) -> str:
        """Return the routing number that one of the records asked for gives `callee`, "" when none does."""
        entries = [self._world.records.get(name) for name in sorted(names, key=len) if name.startswith("lnp:")]
        ported = [entry for entry in entries if isinstance(entry, PortedNumber) and callee.startswith(entry.digits)]
        return (ported[-1].routing or ported[-1].digits) + callee[len(ported[-1].digits) :] if ported else ""

    def _bring(self, names: Iterable[str], fields: Iterable[str]) -> None:
        waiting, seen = list(names), set[str]()
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            record = self._world.records.get(name)
            self.records[name] = record
            waiting.extend(_led_to(record))
            if isinstance(record, Tariff):
                set_ids = record.rate_set_id, record.inbound_rate_set_id, *(deck.rate_set_id for deck in record.decks)
                for key in product(set_ids, fields):
                    self.rates[key] = self._world.rates.get(key)

    def decide(self, call: CallRequest, rounds_max: int, **fields: Any) -> tuple[Decision, int]:
        """Return the decision and how many fetches it took; fails when there were more than `rounds_max`."""
        for rounds in range(rounds_max + 1):
            facts = self._world.facts(records=dict(self.records), rates=dict(self.rates), **fields)
            decision = decide(call, facts)
            if not isinstance(decision, Need):
                return decision, rounds
            self.fetch(decision)
        raise AssertionError(f"more than {rounds_max} rounds; the last asked for {decision}")


_LEADS: Mapping[str, Any] = {
    "account_id": keys.account,
    "parent_id": keys.account,
    "tariff_id": keys.tariff,
    "rewrite_set_id": keys.rewrite_set,
    "rate_set_id": keys.rate_set,
    "inbound_rate_set_id": keys.rate_set,
    "group_id": keys.peering_group,
    "domain": keys.sip_domain,
    "subscriber": keys.subscriber,
    "barring_id": keys.barring_level,
    "own_barring_id": keys.barring_level,
    "time_set_id": keys.time_set,
    "user_id": keys.user,
    "to": str,
    "overflow": str,
}


def _led_to(record: object) -> Iterator[str]:
    """Every field that names another record leads to it, at any depth: what the store's function follows."""
    if not isinstance(record, tuple):
        return
    for field, value in zip(getattr(record, "_fields", ()), record, strict=False):
        if field in _LEADS and value:
            yield _LEADS[field](value)
        if field == "lines":
            yield from map(keys.subscriber, value)
        for part in value if isinstance(value, tuple) else ():
            yield from _led_to(part)


def carrier_of(owner_id: int, group_id: int) -> PeeringGroup:
    """Return a carrier of an account with one server, which has the group's number; its deck is tariff 300 + number."""
    server = PeerServer(group_id, "one", "203.0.113.99", 5060, "udp", 1, enabled=True)
    return PeeringGroup(group_id, f"carrier {group_id}", owner_id, 1, True, 300 + group_id, "EUR", 0, (server,))


def crowd(world: World, resellers: int) -> None:
    """Add so many resellers below the root, numbered from 1000, each with a cheap carrier that takes every number."""
    like = world.records[keys.account(RESELLER)]
    assert isinstance(like, Account)
    for account_id in range(1000, 1000 + resellers):
        world.put(keys.account(account_id), like._replace(id=account_id))
        world.carrier(carrier_of(account_id, account_id), 1)


def enrich(world: World) -> None:
    """Let the tariffs do all that they can: periods, a second deck, dollars, inbound and on-net prices."""
    night = Period("night", (Span(0, 10_080 // 2),))
    for tariff_id, per_min_micros in ((20, 20_000), (30, 30_000), (50, 50_000)):
        rate = Rate(per_min_micros, 60, 60, 100, min_micros=10, periods=(PeriodPrice(0, per_min_micros - 1, 50),))
        world.rate_set(tariff_id + 2000, {"33": rate, "44": rate}, (night,))
        world.rate_set(tariff_id + 3000, {"4420": Rate(tariff_id)})
        world.change(
            keys.tariff(tariff_id),
            timezone="Europe/Berlin",
            rounding="half_even",
            round_to_micros=10,
            onnet="all" if tariff_id == 30 else "other",
            inbound_rate_set_id=tariff_id + 3000,
            decks=(Deck(NOW_MS - 1, tariff_id + 2000), Deck(NOW_MS + 1, 0)),
        )
    world.change(keys.tariff(30), currency="USD")
    world.tariff(300 + BELL, {"33": Rate(6_000)}, "USD")
    world.exchange("USD", "EUR", 920_000_001)


def regulate(world: World) -> None:
    """Let there be barring, times, ported numbers, destinations, quality, and carriers with all their options."""
    world.put(
        keys.time_set(9),
        TimeSet(9, "winter", "Europe/Berlin", (), (DayRange(20260701, 20260702),), (DayRange(1224, 106),)),
    )
    level = BarringLevel(
        4, "no Italy", False, (BarringRule(1, "^39"), BarringRule(2, "^3900")), 9, spares_internal=True
    )
    world.put(keys.barring_level(4), level)
    world.put(
        keys.barring_level(5),
        level._replace(id=5, is_whitelist=True, rules=(BarringRule(3, "^33|^44"),), time_set_id=0),
    )
    world.change(f"sub:{ALICE}", barring_id=4, blocked_out=("39*",), blocked_in=("39*", "anonymous"))
    world.change(f"sub:{BOB}", own_barring_id=5, blocked_in=("39*",))
    world.change(keys.account(DEALER), barring_id=5, own_barring_id=4, blocked_in=("3900*",), carriers="own_first")
    world.change(
        keys.account(RESELLER), carriers="own_first", loss_pct=5, routing=("quality", "share", "cost"), attempts_max=3
    )
    world.put(keys.QUALITY, Quality((ServerQuality(ACME_1, 50, 60, 500), ServerQuality(OWN_1, 50, 60, 500))))
    world.put(keys.PORTED_LENGTHS, Lengths((11, 4)))
    world.put(keys.ported(ABROAD), PortedNumber(ABROAD, "33777000000"))
    world.put(keys.ported("3314"), PortedNumber("3314", "4930", BELL))
    world.put(keys.destinations(ABROAD), Destinations((Destination("33", 60), Destination("3377", 90))))
    world.rule(PeeringRule(91, ACME, "3377", time_set_id=9, valid_from_ms=1))
    world.rule(PeeringRule(92, BELL, "337", block=True, valid_to_ms=NOW_MS - 1))
    world.rule(PeeringRule(93, OWN, "", stopper=True))
    hunt = HuntRule(486, "continue", 480, "Later")
    world.change_server(
        ACME_1, redirects=True, ported="rn", hunt=(hunt,), login=Login("u", "r", "0" * 32), ring_max_s=30
    )
    world.change_server(ACME_2, ported="routing", identity=Identity(False, "own", ("rpid",), "us.example"))
    world.change_server(OWN_1, channels_max=5, cps_max=1, pdd_max_ms=4_000, address="198.51.100.9")


def uri(text: str, host: str = "") -> SipUri:
    """Return the SIP URI of `user@host`, or of a user at `host`."""
    user, _, at_host = text.partition("@")
    return SipUri("sip", user, at_host or host)


def ha1(user: str, realm: str, password: str = PASSWORD, algorithm: str = "md5") -> str:
    """Return H(user:realm:password) in hex."""
    return hashlib.new(algorithm, f"{user}:{realm}:{password}".encode()).hexdigest()


class Answer(NamedTuple):
    """How a client answers a challenge. "" = what is right."""

    password: str = PASSWORD
    username: str = ""
    realm: str = ""
    uri: str = ""
    nonce: str = ""
    made_ms: int = NOW_MS - 1000
    algorithm: str = "MD5"
    asked_from: str = ""


def credentials(call: CallRequest, answer: Answer = Answer()) -> Credentials:  # noqa: B008  a NamedTuple never changes
    """Return the credentials of a client for this request."""
    username, realm = answer.username or call.from_uri.user, answer.realm or call.from_uri.host
    nonce = answer.nonce or make_nonce(SECRET, answer.made_ms, "salt", answer.asked_from or call.source_ip)
    digest_uri = answer.uri or str(call.ruri)
    name = {"MD5": "md5", "SHA-256": "sha256"}[answer.algorithm]
    secret = ha1(username, realm, answer.password, name)
    ha2 = hashlib.new(name, f"{call.method}:{digest_uri}".encode()).hexdigest()
    text = f"{secret}:{nonce}:00000001:c:auth:{ha2}"
    response = hashlib.new(name, text.encode()).hexdigest()
    return Credentials(username, realm, nonce, digest_uri, response, answer.algorithm, "auth", "00000001", "c")


def request(method: str = "INVITE", caller: str = ALICE, callee: str = ABROAD, **fields: Any) -> CallRequest:
    """Return a request without credentials."""
    values: dict[str, Any] = {
        "method": method,
        "call_id": "call-1",
        "from_tag": "tag-1",
        "cseq": "1",
        "source_ip": NOBODY_IP,
        "source_port": 5060,
        "transport": "udp",
        "ruri": uri(callee, "sip.example"),
        "from_uri": uri(caller),
        "to_uri": uri(callee, "sip.example"),
        "received_ms": NOW_MS,
    }
    return CallRequest(**(values | fields))


def invite(caller: str = ALICE, callee: str = ABROAD, **fields: Any) -> CallRequest:
    """Return an INVITE of a subscriber of ours, with right credentials."""
    call = request("INVITE", caller, callee, **fields)
    return call._replace(credentials=credentials(call))


def register(caller: str = ALICE, **fields: Any) -> CallRequest:
    """Return a REGISTER of a subscriber of ours, with right credentials."""
    user, _, host = caller.partition("@")
    values: dict[str, Any] = {"ruri": SipUri("sip", "", host), "to_uri": SipUri("sip", user, host)}
    call = request("REGISTER", caller, **(values | fields))
    return call._replace(credentials=credentials(call))


def from_peer(callee: str = ALICE_NUMBER, caller: str = "33199999999@carrier.example", **fields: Any) -> CallRequest:
    """Return an INVITE from the address of acme's first server."""
    return request("INVITE", caller, callee, **({"source_ip": PEER_IP} | fields))


def from_trunk(callee: str = ABROAD, caller: str = "442070000010@pbx.example", **fields: Any) -> CallRequest:
    """Return an INVITE from the trusted address of the PBX trunk."""
    return request("INVITE", caller, callee, **({"source_ip": TRUNK_IP} | fields))


def _accounts(world: World) -> None:
    tree = (
        (ROOT, 0, AccountKind.ROOT, 0),
        (RESELLER, ROOT, AccountKind.RESELLER, 20),
        (DEALER, RESELLER, AccountKind.RESELLER, 30),
        (CUSTOMER, DEALER, AccountKind.CUSTOMER, 50),
        (NEIGHBOUR, RESELLER, AccountKind.CUSTOMER, 50),
    )
    for account_id, parent_id, kind, tariff_id in tree:
        account = Account(account_id, parent_id, kind, 0, f"account {account_id}", "EUR", tariff_id, "UTC")
        world.put(keys.account(account_id), account)
    for tariff_id, per_min_micros in ((20, 20_000), (30, 30_000), (50, 50_000)):
        world.tariff(tariff_id, {"33": Rate(per_min_micros), "44": Rate(per_min_micros)})


def _lines(world: World) -> None:
    world.put(
        keys.rewrite_set(1),
        RewriteSet(
            1,
            "how Britain dials",
            caller_in=(RewriteRule(11, 1, "^0", "44"),),
            callee_in=(RewriteRule(12, 1, "^00", "+"), RewriteRule(13, 2, "^0", "44")),
        ),
    )
    for domain_id, name, account_id in ((1, "a.example", DEALER), (2, "b.example", NEIGHBOUR)):
        world.put(
            keys.sip_domain(name), SipDomain(domain_id, name, account_id, enabled=True, rewrite_set_id=1, digest="both")
        )
    lines = ((1, ALICE, CUSTOMER, ALICE_NUMBER), (2, BOB, CUSTOMER, BOB_NUMBER), (3, CAROL, NEIGHBOUR, CAROL_NUMBER))
    for line_id, name, account_id, number in (*lines, (4, TRUNK, CUSTOMER, "442070000010")):
        user, _, domain = name.partition("@")
        hashes = ha1(user, domain), ha1(user, domain, algorithm="sha256")
        line = Subscriber(line_id, user, domain, account_id, 0, *hashes, cli=number, allowed_clis=("4420700000[1-3]?",))
        world.put(keys.subscriber(name), line)
        world.put(keys.number(number), Number(number, account_id, 0, name))
    trusted = Source(1, SourceKind.TRUSTED, "198.51.100.0/24", subscriber=TRUNK)
    world.put(keys.sources("198.51.100.0/24"), Sources((trusted,)))
    peer = Source(2, SourceKind.PEER, "203.0.113.7/32", group_id=ACME, server_id=ACME_1)
    world.put(keys.sources("203.0.113.7/32"), Sources((peer,)))
    world.put(keys.MASKS, Masks((32, 24), ()))


def _carriers(world: World) -> None:
    world.put(
        keys.rewrite_set(2),
        RewriteSet(
            2,
            "how acme dials",
            caller_out=(RewriteRule(21, 1, "^", "+"),),
            callee_out=(RewriteRule(22, 1, "^", "00"),),
        ),
    )
    servers = {
        ACME: (
            PeerServer(ACME_1, "one", "203.0.113.7", 5060, "udp", 1, enabled=True),
            PeerServer(ACME_2, "two", "203.0.113.8", 5070, "tcp", 1, enabled=True),
        ),
        BELL: (PeerServer(BELL_1, "one", "2001:db8::4", 0, "", 1, enabled=True),),
        OWN: (PeerServer(OWN_1, "one", "203.0.113.61", 5060, "udp", 1, enabled=True),),
    }
    carriers = ((ACME, "acme", ROOT, 5_000, 2), (BELL, "bell", ROOT, 6_000, 0), (OWN, "own", RESELLER, 7_000, 0))
    for group_id, name, owner_id, per_min_micros, set_id in carriers:
        deck_id = 300 + group_id
        group = PeeringGroup(group_id, name, owner_id, 1, True, deck_id, "EUR", set_id, servers[group_id])
        world.carrier(group, per_min_micros, "33")
