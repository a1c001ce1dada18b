"""From a line of a table to what `decide` is asked."""

from __future__ import annotations

import re
from typing import Any, Final

from kemi.adapters.zones import Zones
from kemi.core.request import CallRequest, Facts, SipUri
from kemi.settings import Limits
from tests.fakes.world import SECRET, Answer, Everything, credentials
from tests.routing import people
from tests.routing.building import Records
from tests.routing.entities import TextError
from tests.routing.moments import unix_ms
from tests.routing.tables import Line

NOON: Final = "2026-06-03T12:00"  # a Wednesday
ABROAD: Final = "33199999999@carrier.example"  # who calls from a peer, when nothing else is said
ZONES: Final = Zones()

HEADERS: Final = ("pai", "ppi", "rpid", "diversion", "privacy", "contact", "user_agent", "history")
CALL: Final = frozenset((*HEADERS, "at", "from", "ip", "via", "call", "password", "method", "host", "to", "fresh"))
NODE: Final = frozenset(
    ("down", "store", "draining", "tries", "expected", "without", "busy", "full", "unled", "rings", "listens")
)


_BUILT: Final[dict[str, Records]] = {}


def records_of(line: Line) -> Records:
    """Return the records of a line's world, built once; nobody may change them."""
    if line.place not in _BUILT:
        _BUILT[line.place] = Records(line.world)
    return _BUILT[line.place]


def request(line: Line, records: Records) -> CallRequest:
    """Return the call that a line describes.

    who: a line of ours, which knows its password; `carrier/server`, from that server's address; or any other address,
    `198.51.100.9/tcp`.
    """
    unknown = set(line.settings) - CALL - NODE
    if unknown:
        raise TextError(f"{line.place}: nothing is called {sorted(unknown)}")
    who, said = line.cell(0), line.settings
    ip, transport, sender, is_line = _sender(who, records)
    at_ms = unix_ms(said.get("at", NOON))
    call = CallRequest(
        method=said.get("method", "INVITE"),
        call_id=said.get("call", "call-1"),
        from_tag="tag-1",
        cseq="1",
        source_ip=said.get("ip", ip),
        source_port=5060,
        transport=said.get("via", transport),
        ruri=_uri(line.cell(1), said.get("host", "sip.example")),
        from_uri=_uri(said.get("from", sender), "a.example"),
        to_uri=_uri(said.get("to", line.cell(1)), "sip.example"),
        received_ms=at_ms,
    )
    headers: dict[str, Any] = {header: said[header] for header in HEADERS if header in said}
    call = call._replace(**headers)
    if not is_line:
        return call
    known = Answer(username=who_user(who), made_ms=at_ms - 1000)
    answer = known._replace(password=said["password"]) if "password" in said else known
    return call._replace(credentials=credentials(call, answer))


def facts(line: Line, records: Records) -> Facts:
    """Return what a node knows that has all of the line's world cached."""
    said = line.settings
    plain = Limits()
    known: dict[str, Any] = {"records": Everything(records.records), "rates": Everything(records.rates)}
    return Facts(
        **known,
        node="n1",
        secret=SECRET,
        limits=plain._replace(
            attempts_max=int(said.get("tries", plain.attempts_max)),
            expected_s=int(said.get("expected", plain.expected_s)),
            ring_max_s=int(said.get("rings", plain.ring_max_s)),
        ),
        emergency=records.emergency,
        nonce_uses=2 if said.get("fresh") == "no" else 1,
        down_servers=frozenset(records.id_of("server", name) for name in said.get("down", "").split(",") if name),
        store_up=said.get("store") != "down",
        draining=said.get("draining") == "yes",
        config_pass=7,
        zones=ZONES,
        without=frozenset(records.id_of("account", name) for name in said.get("without", "").split(",") if name),
        busy=_funds(said.get("busy", ""), records),
        full=_funds(said.get("full", ""), records),
        unled=said.get("unled") == "yes",
        listens=tuple(filter(None, said.get("listens", "").split(","))),
    )


def _funds(names: str, records: Records) -> frozenset[str]:
    return frozenset(people.fund_of(records, _full(records, name)) for name in names.split(",") if name)


def _full(records: Records, name: str) -> str:
    """Return the address of record of a line by its user; another name as it is."""
    return next((full for kind, full in records.entities if kind == "line" and who_user(full) == name), name)


def who_user(who: str) -> str:
    """Return the user part of a line's name."""
    return who.partition("@")[0]


def _sender(who: str, records: Records) -> tuple[str, str, str, bool]:
    """Return address, transport and From of the sender, and whether it is a line of ours with a password."""
    if ("server", who) in records.entities:
        group_id = records.id_of("carrier", who.partition("/")[0])
        group: Any = records.records[f"pg:{group_id}"]
        server = next(each for each in group.servers if each.id == records.id_of("server", who))
        return server.address, server.transport, ABROAD, False
    if re.fullmatch(r"[0-9a-f.:]+(/[a-z]+)?", who):
        ip, _, transport = who.partition("/")
        return ip, transport or "udp", "pbx@pbx.example", False
    names = [name for kind, name in records.entities if kind == "line" and who in (name, who_user(name))]
    if len(names) > 1:
        raise TextError(f"{who} are {names}")
    name = names[0] if names else who
    return "192.0.2.1", "udp", name, True


def _uri(text: str, host: str) -> SipUri:
    user, _, at_host = text.rpartition("@") if "@" in text else (text, "", "")
    return SipUri("sip", user, at_host or host)
