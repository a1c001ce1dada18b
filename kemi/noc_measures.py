"""What the NOC orders: quarantine, trace, level of the log, flush of caches; for all nodes at once, whichever is asked.

Rule 1: a measure is written to Redis, from where every node's agent follows it (agent_measures). Where Redis does not
answer nothing is ordered, and the asker hears so.
Rule 2: each has an end, and each is told to Postgres, with who and why.
Rule 3: nobody gets the log at level 3: there Kamailio writes hashes of passwords into it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final

from kemi.adapters import redis_measures
from kemi.adapters.redis_client import RedisClient, StoreUnavailable
from kemi.adapters.redis_measures import (
    CACHES,
    FLUSH,
    LOG_LEVEL,
    MOST,
    QUARANTINE,
    RECORD,
    TRACE,
    Measure,
    Told,
    What,
)
from kemi.adapters.redis_tables import RECORD_TYPES
from kemi.core.measures import ACCOUNT, ALL_NODES, CARRIER, LINE, PREFIX, QUARANTINED, SERVER, SOURCE, TRACED
from kemi.noc_command import LINE_FORM, WHO_MAX, Answer, Command, Desk, UsageError

FOR_S: Final = 3_600
FOR_MAX_S: Final = 2_592_000  # 30 days: who must stay out for longer is to be disabled in the configuration
MINUTES: Final = 10
MINUTES_MAX: Final = 60
MINUTE_S: Final = 60
LEVEL_FOR_S: Final = 600
LEVEL_FOR_MAX_S: Final = 3_600
FLUSHED_S: Final = 3_600  # for how long a node that had no Redis meanwhile still hears of it
RECORD_S: Final = 600  # so that 50 of them are no wall for the next
LEVELS: Final = (-1, 0, 1, 2)
LEVEL_DEBUG: Final = "3"
ID_MAX: Final = 2**63 - 1
WIDEST_V4, WIDEST_V6 = 8, 16
MAPPED_BITS: Final = 96
WORDS_MAX: Final = 200  # characters of why
SHOWN_MAX: Final = 64  # characters of what is wrong
NOBODY: Final = "kamcmd"
RECORD_FORM: Final = re.compile(r"[a-z]+(?::[^\s\"]{1,253})?")
PREFIX_FORM: Final = re.compile(r"\+?([0-9]{1,15})", re.ASCII)
NODE_FORM: Final = re.compile(r"[a-z0-9-]{1,32}", re.ASCII)
DOWN: Final = "Redis does not take it"
UNSURE: Final = "; it may be ordered all the same, look again"


def _quarantine(desk: Desk, words: Sequence[str]) -> Answer:
    kind, value, said = _about(words, QUARANTINED, ("for", "who", "why"))
    return _ordered(desk, What(QUARANTINE, kind, value), _number(said, "for", FOR_S, FOR_MAX_S), _told(desk, said))


def _release(desk: Desk, words: Sequence[str]) -> Answer:
    kind, value, said = _about(words, QUARANTINED, ("who", "why"))
    return _ended(desk, What(QUARANTINE, kind, value), _told(desk, said))


def _trace(desk: Desk, words: Sequence[str]) -> Answer:
    kind, value, said = _about(words, TRACED, ("minutes", "who", "why"))
    for_s = _number(said, "minutes", MINUTES, MINUTES_MAX) * MINUTE_S
    return _ordered(desk, What(TRACE, kind, value), for_s, _told(desk, said))


def _untrace(desk: Desk, words: Sequence[str]) -> Answer:
    kind, value, said = _about(words, TRACED, ("who", "why"))
    return _ended(desk, What(TRACE, kind, value), _told(desk, said))


def _quarantines(desk: Desk, words: Sequence[str]) -> Answer:
    return _listed(desk, words, QUARANTINE, "quarantines")


def _traces(desk: Desk, words: Sequence[str]) -> Answer:
    return _listed(desk, words, TRACE, "traces")


def _log_level(desk: Desk, words: Sequence[str]) -> Answer:
    """Set the level for a while, here or on all nodes; without words, show it."""
    if not words:
        return {"level": desk.ksr.get_debug(), **_listed(desk, words, LOG_LEVEL, "ordered")}
    said = _options(words[1:], ("for", "node", "who", "why"))
    node = said.get("node", desk.settings.node)
    node = ALL_NODES if node == "all" else node
    if node != ALL_NODES and not NODE_FORM.fullmatch(node):
        raise UsageError(f"{node[:SHOWN_MAX]!r} is no name of a node")
    what = What(LOG_LEVEL, "node", node)
    if words[0] == "normal":
        return _ended(desk, what, _told(desk, said))
    if words[0] == LEVEL_DEBUG:
        raise UsageError("level 3 is refused: there Kamailio logs hashes of passwords")
    if words[0] not in map(str, LEVELS):
        raise UsageError(f"{words[0][:SHOWN_MAX]!r} is no level: say -1, 0, 1, 2, or normal")
    for_s = _number(said, "for", LEVEL_FOR_S, LEVEL_FOR_MAX_S)
    return _ordered(desk, what, for_s, _told(desk, said)._replace(level=int(words[0])))


def _flush(desk: Desk, words: Sequence[str]) -> Answer:
    """Let workers forget one record, or all."""
    names = ("who", "why")
    key = words[0] if words and words[0].partition("=")[0] not in names else ""
    what, for_s = (What(FLUSH, RECORD, _record(key)), RECORD_S) if key else (What(FLUSH, CACHES, ALL_NODES), FLUSHED_S)
    told = _told(desk, _options(words[bool(key) :], names))
    answer = _ordered(desk, what, for_s, told)
    return answer if "error" in answer else {"flushed": what.value}


def _ordered(desk: Desk, what: What, for_s: int, told: Told) -> Answer:
    """Begin a measure, or give it another end."""
    way_out = "flush without KEY forgets all" if what.order == FLUSH else "end one first"

    def put(client: RedisClient) -> Answer:
        until_ms = redis_measures.put(client, what, for_s, told)
        if not until_ms:
            return {"error": f"there are {MOST[what.order]} such orders already; {way_out}"}
        return {"ordered": _row(Measure(what, until_ms, desk.unix_ms, told))}

    return _asked(desk, put)


def _ended(desk: Desk, what: What, told: Told) -> Answer:
    """End a measure before its time."""

    def release(client: RedisClient) -> Answer:
        if not redis_measures.release(client, what, told):
            return {"error": f"no {what.order} of {what.kind} {what.value} is in force"}
        return {"ended": {"kind": what.kind, "value": what.value}}

    return _asked(desk, release)


def _listed(desk: Desk, words: Sequence[str], order: str, name: str) -> Answer:
    _options(words, ())

    def read(client: RedisClient) -> Answer:
        found = redis_measures.in_force(client, redis_measures.clock_ms(client))
        return {name: [_row(each) for each in found if each.what.order == order]}

    return _asked(desk, read)


def _asked(desk: Desk, work: Callable[[RedisClient], Answer]) -> Answer:
    """Ask Redis over a connection of its own: who asks us is a person, now and then."""
    client = RedisClient(desk.settings.redis_url, desk.settings.redis_timeout_ms)
    try:
        return work(client)
    except StoreUnavailable as error:
        return {"error": f"{DOWN}: {error}{UNSURE if error.maybe_applied else ''}"}
    finally:
        client.close()


def _row(measure: Measure) -> dict[str, object]:
    """Return a measure as it is shown."""
    what, told = measure.what, measure.told
    row: dict[str, object] = {"kind": what.kind, "value": what.value, "until_ms": measure.until_ms}
    level = {"level": told.level} if what.order == LOG_LEVEL else {}
    return {**row, **level, "who": told.who, "why": told.why, "node": told.node}


def _about(words: Sequence[str], kinds: Sequence[str], options: Sequence[str]) -> tuple[str, str, dict[str, str]]:
    """Return what a command is about: kind, value as it is kept, options."""
    if len(words) < 2 or words[0] not in kinds:  # noqa: PLR2004  kind and value
        raise UsageError(f"say {', '.join(kinds[:-1])} or {kinds[-1]}, and which")
    return words[0], VALUES[words[0]](words[1]), _options(words[2:], options)


def _options(words: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """Return `name=value` words; all that comes behind `why=` belongs to it."""
    said: dict[str, str] = {}
    for at, word in enumerate(words):
        name, separator, value = word.partition("=")
        if not separator or name not in names:
            raise UsageError(f"{word[:SHOWN_MAX]!r} is not understood")
        if name == "why":
            said[name] = " ".join((value, *words[at + 1 :]))
            break
        said[name] = value
    return said


def _told(desk: Desk, said: Mapping[str, str]) -> Told:
    who, why = said.get("who") or NOBODY, said.get("why", "")
    if len(who) > WHO_MAX or len(why) > WORDS_MAX or not (who + why).isprintable():
        raise UsageError(f"who has at most {WHO_MAX} characters, why {WORDS_MAX}, all of them printable")
    return Told(who, desk.settings.node, why)


def _number(said: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = said.get(name, str(default))
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:SHOWN_MAX]) <= most:
        raise UsageError(f"{name}={text[:SHOWN_MAX]}: a whole number from 1 to {most} is wanted")
    return int(text)


def _id(text: str) -> str:
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:SHOWN_MAX]) <= ID_MAX:
        raise UsageError(f"{text[:SHOWN_MAX]!r} is no id: carriers, servers and accounts are named by their numbers")
    return str(int(text))


def _network(text: str) -> str:
    try:
        network = _as_ipv4(ip_network(text, strict=False))
    except ValueError:
        raise UsageError(f"{text[:SHOWN_MAX]!r} is no address and no network") from None
    if network.prefixlen < (WIDEST_V4 if network.version == 4 else WIDEST_V6):  # noqa: PLR2004  the IP version
        raise UsageError(f"{network} is too wide: at least /{WIDEST_V4}, of IPv6 /{WIDEST_V6}")
    return str(network)


def _as_ipv4(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    """Return IPv4 mapped into IPv6 as what it is: so addresses are compared."""
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    return IPv4Network((mapped, max(0, network.prefixlen - MAPPED_BITS))) if mapped else network


def _line(text: str) -> str:
    if not LINE_FORM.fullmatch(text):
        raise UsageError(f"{text[:SHOWN_MAX]!r} is no line: say it as user@domain")
    user, _, domain = text.partition("@")
    return f"{user}@{domain.lower()}"


def _record(text: str) -> str:
    if not RECORD_FORM.fullmatch(text) or text.partition(":")[0] not in RECORD_TYPES:
        kinds = ", ".join(sorted(RECORD_TYPES))
        raise UsageError(f"{text[:SHOWN_MAX]!r} is no record: say KIND:NAME, as acct:7, with a kind of {kinds}")
    return text


def _prefix(text: str) -> str:
    found = PREFIX_FORM.fullmatch(text)
    if found is None:
        raise UsageError(f"{text[:SHOWN_MAX]!r} is no prefix: say 1 to 15 digits")
    return found[1]


VALUES: Final[Mapping[str, Callable[[str], str]]] = {
    CARRIER: _id,
    SERVER: _id,
    ACCOUNT: _id,
    SOURCE: _network,
    LINE: _line,
    PREFIX: _prefix,
}
_OF_QUARANTINE: Final = "carrier|server|account|source VALUE"
_OF_TRACE: Final = "line|prefix VALUE"
COMMANDS: Final[tuple[Command, ...]] = (
    Command(
        "quarantine",
        f"quarantine {_OF_QUARANTINE} [for=SECONDS] [who=NAME] [why=WORDS]",
        "Let new calls of an account or source, or to a carrier or server, not go, on all nodes.",
        _quarantine,
    ),
    Command("release", f"release {_OF_QUARANTINE} [who=NAME] [why=WORDS]", "End a quarantine.", _release),
    Command("quarantines", "quarantines", "The quarantines in force.", _quarantines),
    Command(
        "trace",
        f"trace {_OF_TRACE} [minutes=N] [who=NAME] [why=WORDS]",
        "Log each decision on calls of a line, or from and to numbers, on all nodes.",
        _trace,
    ),
    Command("untrace", f"untrace {_OF_TRACE} [who=NAME] [why=WORDS]", "End a trace.", _untrace),
    Command("traces", "traces", "The traces in force.", _traces),
    Command(
        "loglevel",
        "loglevel [-1|0|1|2|normal [for=SECONDS] [node=NAME|all] [who=NAME] [why=WORDS]]",
        "Show or set how much a node logs.",
        _log_level,
    ),
    Command(
        "flush",
        "flush [KEY] [who=NAME] [why=WORDS]",
        "Empty the caches of the configuration on all nodes, or of one record.",
        _flush,
    ),
)
