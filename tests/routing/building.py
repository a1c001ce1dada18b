"""The records that a world in text stands for, as a node would have them all cached."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_network
from typing import Any, Final

from kemi import keys
from kemi.core.prefix import BUCKET_DIGITS, pack_bucket
from kemi.records import (
    Account,
    AccountKind,
    BarringLevel,
    BarringRule,
    CliPolicy,
    Deck,
    Destination,
    Destinations,
    Emergency,
    EmergencyRoute,
    Exchange,
    Identity,
    Lengths,
    Lock,
    Masks,
    Number,
    PeeringGroup,
    PeeringRule,
    PeeringRules,
    PeerServer,
    PortedNumber,
    Quality,
    RewriteSet,
    ServerQuality,
    SipDomain,
    Source,
    SourceKind,
    Sources,
    Status,
    Subscriber,
    Tariff,
    TimeSet,
)
from tests.fakes.world import ha1
from tests.routing import people
from tests.routing.entities import Entities, Entity
from tests.routing.moments import day_ranges, spans, unix_ms
from tests.routing.parts import (
    exchange_rate,
    hunt_rule,
    inbound_rule,
    numbered,
    rate_set,
    reply,
    rewrite_rule,
    status,
)

hashed: Final = lru_cache(maxsize=1_000)(ha1)
"""A password is the same in every world; hashing it for each case would take most of the time."""

INBOUND: Final = 500  # tariffs of prices to be called are numbered on from here
SIDES: Final = ("caller_in", "callee_in", "caller_out", "callee_out", "caller_lnp", "callee_lnp")


class Records:
    """A world: records by short name, rate buckets, the emergency table. Numbers of things follow their order."""

    def __init__(self, entities: Entities) -> None:
        self.entities = entities
        self.records: dict[str, object] = {}
        self.rates: dict[tuple[int, str], bytes] = {}
        self._ids = numbered(entities)
        self.emergency = Emergency(tuple(self._urgent(each) for each in self._all("emergency")))
        self.records[keys.EMERGENCY] = self.emergency
        for kind, make in (
            ("account", self._account),
            ("domain", self._domain),
            ("line", self._line),
            ("number", self._number),
            ("carrier", self._carrier),
            ("timeset", self._time_set),
            ("barring", self._barring),
            ("ported", self._ported),
        ):
            for entity in self._all(kind):
                make(entity)
        people.add(self)
        self._sources()
        self._rewrite_sets()
        self._rules()
        self._tables()

    def id_of(self, kind: str, name: str) -> int:
        """Return the number of a thing, 0 for none (""); a name that nothing has is a mistake in the text."""
        return self._ids[kind, name] if name else 0

    def name_of(self, kind: str, number: int) -> str:
        """Return the name of a thing by its number, "" for none."""
        return next((name for (of, name), each in self._ids.items() if of == kind and each == number), "")

    def all(self, kind: str) -> list[Entity]:
        """Return all things of a kind, in order."""
        return self._all(kind)

    def _all(self, kind: str) -> list[Entity]:
        return [entity for (of, _), entity in self.entities.items() if of == kind]

    def _account(self, it: Entity) -> None:
        account_id, prices, inbound = self.id_of("account", it.name), it.by_prefix(), it.by_prefix("in")
        currency, parent_id = it.text("currency", "EUR"), self.id_of("account", it.text("under"))
        if prices or inbound:
            self._tariff(it, account_id, prices, inbound)
        loss = it.text("loss", "0")
        account = Account(
            id=account_id,
            parent_id=parent_id,
            kind=AccountKind.CUSTOMER if parent_id else AccountKind.ROOT,
            status=status(it),
            name=it.name,
            currency=currency,
            tariff_id=account_id if prices or inbound else 0,
            timezone=it.text("zone", "UTC"),
            routing=it.items("routing"),
            barred=it.items("barred"),
            replies=tuple(map(reply, it.items("replies"))),
            owns_carriers=any(carrier.text("of") == it.name for carrier in self._all("carrier")),
            lock=Lock[it.text("lock", "none").upper()],
            carriers=it.text("carriers", "all"),
            loss_pct=-1 if loss == "any" else int(loss),
            attempts_max=it.number("attempts"),
            **self._restrictions(it),
        )
        self.records[keys.account(account_id)] = account

    def _restrictions(self, it: Entity) -> dict[str, Any]:
        return {
            "barring_id": self.id_of("barring", it.text("barring")),
            "own_barring_id": self.id_of("barring", it.text("own_barring")),
            "blocked_in": it.items("blocked_in"),
            "blocked_out": it.items("blocked_out"),
        }

    def _tariff(self, it: Entity, tariff_id: int, prices: dict[str, str], inbound: dict[str, str]) -> None:
        tariff = Tariff(tariff_id, 1, f"tariff of {it.name}", it.text("deck", it.text("currency", "EUR")), tariff_id)
        self._rate_set(it, tariff_id, prices)
        if inbound:
            self._rate_set(it, tariff_id + INBOUND, inbound)
            tariff = tariff._replace(inbound_rate_set_id=tariff_id + INBOUND)
        if it.text("priced_from"):
            tariff = tariff._replace(rate_set_id=0, decks=(Deck(unix_ms(it.text("priced_from")), tariff_id),))
        tariff = tariff._replace(onnet=it.text("onnet", "free"), timezone=it.text("clock", "UTC"))
        self.records[keys.tariff(tariff_id)] = tariff

    def _rate_set(self, it: Entity, set_id: int, prices: dict[str, str]) -> None:
        self.records[keys.rate_set(set_id)] = rate_set(it, set_id, prices)
        fields: dict[str, dict[str, int]] = {}
        for index, prefix in enumerate(prices):
            fields.setdefault(prefix[:BUCKET_DIGITS], {})[prefix[BUCKET_DIGITS:]] = index
        self.rates.update({(set_id, field): pack_bucket(entries) for field, entries in fields.items()})

    def _domain(self, it: Entity) -> None:
        self.records[keys.sip_domain(it.name)] = SipDomain(
            id=self.id_of("domain", it.name),
            name=it.name,
            account_id=self.id_of("account", it.text("of")),
            enabled=it.yes("enabled", default=True),
            rewrite_set_id=self.id_of("rewrite set", it.text("rewrite")),
            region=it.text("region"),
        )

    def _line(self, it: Entity) -> None:
        user, _, domain = it.name.partition("@")
        account_id, cli = self.id_of("account", it.text("of")), it.text("cli")
        self.records[keys.subscriber(it.name)] = Subscriber(
            id=self.id_of("line", it.name),
            username=user,
            domain=domain,
            account_id=account_id,
            status=status(it),
            ha1_md5=hashed(user, domain),
            ha1_sha256="",
            cli=cli,
            allowed_clis=it.items("allows"),
            cli_policy=CliPolicy[it.text("policy", "override").upper()],
            rewrite_set_id=self.id_of("rewrite set", it.text("rewrite")),
            is_hidden=it.yes("hidden"),
            region=it.text("region"),
            lock=Lock[it.text("lock", "none").upper()],
            **self._restrictions(it),
            **people.of_line(self, it),
        )
        if cli and it.yes("number", default=True):
            self.records[keys.number(cli)] = Number(cli, account_id, Status.ACTIVE, it.name)

    def _number(self, it: Entity) -> None:
        account_id = self.id_of("account", it.text("of"))
        number = Number(it.name, account_id, status(it), it.text("to"))
        if it.text("leads"):
            to, to_user = people.destination(self, it.text("leads"))
            number = number._replace(to=to, to_user=to_user)
        self.records[keys.number(it.name)] = number

    def _carrier(self, it: Entity) -> None:
        group_id, prices = self.id_of("carrier", it.name), it.by_prefix()
        if prices:
            self._tariff(it, group_id, prices, {})
        servers = [server for server in self._all("server") if server.name.startswith(f"{it.name}/")]
        rules = [rule for rule in self._all("inbound") if rule.text("of") == it.name]
        self.records[keys.peering_group(group_id)] = PeeringGroup(
            id=group_id,
            name=it.name,
            account_id=self.id_of("account", it.text("of")),
            priority=it.number("priority", 1),
            enabled=it.yes("enabled", default=True),
            tariff_id=group_id if prices else 0,
            currency=it.text("currency", "EUR"),
            rewrite_set_id=self.id_of("rewrite set", it.text("rewrite")),
            servers=tuple(map(self._server, servers)),
            inbound_rules=tuple(map(inbound_rule, rules)),
            spent=it.text("spent"),
            share=it.number("share", 100),
            may_return=it.yes("may_return"),
        )

    def _server(self, it: Entity) -> PeerServer:
        address, _, transport = it.text("at", it.values[0] if it.values else "").partition("/")
        host, port = address, "5060"
        if address.count(":") == 1 or "]:" in address:
            host, _, port = address.rpartition(":")
        plain = Identity()
        return PeerServer(
            id=self.id_of("server", it.name),
            name=it.name.partition("/")[2],
            address=host.strip("[]"),
            port=int(port),
            transport=transport or "udp",
            weight=it.number("weight", 1),
            enabled=it.yes("enabled", default=True),
            rewrite_set_id=self.id_of("rewrite set", it.text("rewrite")),
            socket=it.text("socket"),
            channels_max=it.number("channels"),
            cps_max=it.number("cps"),
            ring_max_s=it.number("ring"),
            pdd_max_ms=it.number("pdd_max"),
            redirects=it.yes("redirects"),
            ported=it.text("ported", "number"),
            hunt=tuple(map(hunt_rule, it.items("hunt"))),
            identity=Identity(
                is_trusted=it.yes("trusted", default=plain.is_trusted),
                shown=it.text("shown", plain.shown),
                headers=it.items("headers") if "headers" in it.fields else plain.headers,
                host=it.text("host"),
            ),
        )

    def _time_set(self, it: Entity) -> None:
        set_id = self.id_of("timeset", it.name)
        self.records[keys.time_set(set_id)] = TimeSet(
            id=set_id,
            name=it.name,
            timezone=it.text("zone", "UTC"),
            spans=spans(it.text("spans")),
            shut=day_ranges(it.text("shut")),
            open=day_ranges(it.text("open")),
        )

    def _barring(self, it: Entity) -> None:
        level_id = self.id_of("barring", it.name)
        self.records[keys.barring_level(level_id)] = BarringLevel(
            id=level_id,
            name=it.name,
            is_whitelist=it.yes("whitelist"),
            rules=tuple(
                BarringRule(int(rule.name), rule.values[0]) for rule in self._all("bars") if rule.text("of") == it.name
            ),
            time_set_id=self._time_set_id(it),
            spares_internal=it.yes("spares_internal"),
        )

    def _ported(self, it: Entity) -> None:
        group_id = self.id_of("carrier", it.text("only"))
        self.records[keys.ported(it.name)] = PortedNumber(it.name, it.text("to"), group_id)

    def _sources(self) -> None:
        found: dict[str, list[Source]] = {}
        for it in self._all("source"):
            network, target = str(ip_network(it.values[0])), it.text("is")
            source = Source(int(it.name), SourceKind.TRUSTED, network, it.text("transport"), it.text("from"))
            if "/" in target:
                group_id = self.id_of("carrier", target.partition("/")[0])
                source = source._replace(
                    kind=SourceKind.PEER, group_id=group_id, server_id=self.id_of("server", target)
                )
            else:
                source = source._replace(subscriber=target)
            found.setdefault(network, []).append(source)
        for network, entries in found.items():
            self.records[keys.sources(network)] = Sources(tuple(entries))
        lengths = {(ip_network(text).version, ip_network(text).prefixlen) for text in found}
        v4, v6 = (sorted((bits for of, bits in lengths if of == version), reverse=True) for version in (4, 6))
        self.records[keys.MASKS] = Masks(tuple(v4), tuple(v6))

    def _rewrite_sets(self) -> None:
        for (kind, name), set_id in self._ids.items():
            if kind == "rewrite set":
                rules = [rule for rule in self._all("rewrite") if rule.text("of") == name]
                sides = {side: tuple(rewrite_rule(rule) for rule in rules if rule.values[0] == side) for side in SIDES}
                self.records[keys.rewrite_set(set_id)] = RewriteSet(set_id, name, **sides)

    def _rules(self) -> None:
        found: dict[str, list[PeeringRule]] = {}
        for it in self._all("rule"):
            carrier = self.entities["carrier", it.text("to")]
            prefix = "" if it.values[0] == "any" else it.values[0]
            rule = PeeringRule(
                id=int(it.name),
                group_id=self.id_of("carrier", carrier.name),
                callee_prefix=prefix,
                callee_pattern=it.text("callee"),
                caller_pattern=it.text("caller"),
                stopper=it.yes("stopper"),
                enabled=it.yes("enabled", default=True),
                block=it.yes("block"),
                valid_from_ms=unix_ms(it.text("from")) if it.text("from") else 0,
                valid_to_ms=unix_ms(it.text("until")) if it.text("until") else 0,
                time_set_id=self._time_set_id(it),
            )
            owner = self.id_of("account", it.text("owner") or carrier.text("of"))
            found.setdefault(keys.peering_rules(owner, prefix), []).append(rule)
        self.records.update({name: PeeringRules(tuple(entries)) for name, entries in found.items()})

    def _time_set_id(self, it: Entity) -> int:
        """Return the number of the time set that is named; one called "lost" is not there."""
        return 999 if it.text("time") == "lost" else self.id_of("timeset", it.text("time"))

    def _tables(self) -> None:
        lengths = sorted({len(it.name) for it in self._all("ported")}, reverse=True)
        self.records[keys.PORTED_LENGTHS] = Lengths(tuple(lengths))
        longest_first = sorted(self._all("destination"), key=lambda it: it.name)
        for it in longest_first:
            beginnings = [it.name[:2]] if len(it.name) > 1 else [f"{it.name}{digit}" for digit in range(10)]
            for beginning in beginnings:
                name = keys.destinations(beginning)
                before = self.records.get(name, Destinations(()))
                assert isinstance(before, Destinations)
                self.records[name] = Destinations((*before.entries, Destination(it.name, int(it.values[0]))))
        rates = (exchange_rate(it) for it in self._all("exchange"))
        self.records[keys.EXCHANGE] = Exchange(tuple(sorted(rates)))
        judged = [it for it in self._all("server") if "asr" in it.fields]
        self.records[keys.QUALITY] = Quality(
            tuple(
                ServerQuality(self.id_of("server", it.name), it.number("asr"), it.number("acd"), it.number("pdd"))
                for it in judged
            )
        )

    def _urgent(self, it: Entity) -> EmergencyRoute:
        number, *groups = it.values
        ids = tuple(self.id_of("carrier", name) for name in groups)
        return EmergencyRoute(it.text("in"), number, ids, it.text("region"), it.text("routing"))
