"""What of a call's trace a tenant may read.

Rule 1: it is a whitelist. Each kind of sentence is written down here with what it tells of; a sentence of no kind, and
one that tells of anything the reader does not see, is left out whole. What a new sentence of the core tells is unknown,
so nobody but the root reads it until it stands here, or in WITHHELD with the reason; a test walks the routing corpus.
Rule 2: what a sentence tells of are claims: an account, a line, a carrier … by id or name. Whether the reader sees them
is not decided here: `sight` asks the database under the reader's policies.
Rule 3: prices and states are those of accounts that are seen; a margin only that of the reader itself; of carriers the
reader's own, of others the name where that may be seen. What the caller dialled and showed is for who sees the caller.

A field in braces stands for a value: {account} {line} {tariff} … are claims, others are text of a narrow form.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, lru_cache
from itertools import chain
from types import MappingProxyType
from typing import Final, NamedTuple

from tools.explain import led
from tools.explain.withheld import WITHHELD

ACCOUNT: Final = "account"
MYSELF: Final = "myself"  # the account that reads
LINE: Final = "line"  # by its address of record
TARIFF: Final = "tariff"
CARRIER: Final = "carrier"  # a peering group of the reader itself
NAMED: Final = "named carrier"  # any whose name may be read
SERVER: Final = "server"  # of a carrier of the reader itself
ROUTE: Final = "peering rule"  # of the reader itself
FILTER: Final = "inbound rule"  # of a carrier of the reader itself
SOURCE: Final = "trusted source"
REWRITE: Final = "rewrite rule"
LEVEL: Final = "barring level"
TIMES: Final = "time set"
CALLER: Final = "caller"  # who sees the caller's side
CALLED: Final = "called"  # the number that was called, as the caller knows it

SENTENCES_KEPT: Final = 4_096  # of which it is kept how they are read

ID: Final = r"[0-9]{1,19}"
NAME: Final = r"[^\n]{1,200}?"
WORD: Final = r"[a-z_]{1,32}"
PRICE: Final = r"-?[0-9]+\.[0-9]{2,6} [A-Z]{3}"

FIELDS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "account": (ID, ACCOUNT),
        "myself": (ID, MYSELF),
        "line": (r"[^\s@]{1,64}@[^\s@:,;]{1,190}", LINE),
        "tariff": (ID, TARIFF),
        "carrier": (ID, CARRIER),
        "named": (r"[^\n]{1,64}?", ""),
        "server": (ID, SERVER),
        "route": (ID, ROUTE),
        "filter": (ID, FILTER),
        "source": (ID, SOURCE),
        "barring": (ID, LEVEL),
        "times": (ID, TIMES),
        "called": (r"[0-9]{1,24}", CALLED),
        "n": (r"[0-9]{1,10}", ""),
        "word": (WORD, ""),
        "name": (NAME, ""),
        "text": (r"[^\n]{0,200}", ""),
        "price": (PRICE, ""),
        "currency": (r"[A-Z]{3}", ""),
        "digits": (r"[0-9]{0,24}", ""),
        "zone": (r"[A-Za-z0-9_+/-]{1,64}", ""),
        "exchange": (r"(?:, 1 [A-Z]{3} = [0-9.]{1,40} [A-Z]{3})?", ""),
        "changes": (r"(?:, then [A-Za-z0-9.,:/ ]{1,200} \([A-Za-z0-9_+/-]{1,64}\))?", ""),
        "allowed": (r"(?: \(up to [0-9]{1,9} % allowed\))?", ""),
        "closed": (r"(?:suspended|closed)", ""),
        "network": (r"[0-9a-fA-F.:]{2,45}/[0-9]{1,3}", ""),
        "thing": (led.THING, ""),
        "kind": (r"[a-z_]{1,16}", ""),
        "dialled": (r"[a-z0-9*#._-]{1,64}", ""),
    }
)
"""Field -> its form, and of what it is a claim, "" = of nothing. A digit behind the name tells two apart."""


class Claim(NamedTuple):
    """Something that a sentence tells of. key: its id, or what stands for one."""

    what: str
    key: str


class Seen(NamedTuple):
    """What a reader sees of a call's trace. claims: those that hold, without what the other fields say.

    called: the number that the caller dialled, "" = not to be told.
    """

    reader_id: int
    sees_caller: bool
    called: str
    claims: frozenset[Claim]

    def holds(self, claim: Claim) -> bool:
        """Tell whether the reader sees what is told of."""
        if claim.what == MYSELF:
            return claim.key == str(self.reader_id)
        if claim.what == CALLER:
            return self.sees_caller
        if claim.what == CALLED:
            return claim.key == self.called != ""
        return claim in self.claims


class Kind(NamedTuple):
    """A kind of sentence. needs: claims that no field makes.

    masked: what is told instead where not all of it is seen; it has some of the same fields. stricter: of what these
    are a claim then, told or not.
    """

    template: str
    masked: str = ""
    needs: tuple[str, ...] = ()
    stricter: tuple[tuple[str, str], ...] = ()


CALLERS: Final = (CALLER,)
PAYS: Final = "level {n} account {account} pays {price}/min by tariff {tariff} prefix {digits}{exchange}{changes}"
TOO_MANY: Final = "its patterns from here on are not tried, for there are too many ways to try them"
LABEL: Final = "trusted source {source} by {network}"
SHOWN: Final = (
    # The node, and what was sent.
    Kind("node takes no new calls"),
    Kind("the store is down: nothing can be held"),
    Kind("the store is down: the caller is not identified"),
    Kind("the store is down: account {account} lets in {n} calls at a time, each of at most {n2} s"),
    Kind("the store was down: {n} s were talked beyond what was held"),
    Kind("held before: the same call came in another transaction"),
    Kind("late: Redis held nothing for the call, or not all of it, so its end is posted in Postgres"),
    Kind("late: corrects a record that said {word}, {n} s billed"),
    Kind("called number {text} is not E.164", needs=CALLERS),
    Kind("no extension, user or line of account {account} is called {dialled}"),
    Kind("not rewritten: {n} characters, at most {n2} are", needs=CALLERS),
    Kind("not rewritten: characters that no number has", needs=CALLERS),
    Kind("emergency number {digits}: barring, status, money and limits do not count", needs=CALLERS),
    Kind("what nodes remember of servers that failed lately is not looked at: they try those last"),
    # Who calls.
    Kind("digest proves sub {line}"),
    Kind("digest of {line}: level {n} account {account} is locked: {word}"),
    *(
        Kind(f"digest of {{line}}: {fault}")
        for fault in (
            "no credentials",
            "credentials are for another realm",
            "credentials are of another user than the From",
            "digest uri is not the R-URI",
            "nonce is not ours",
            "subscriber is not active",
            "wrong password",
            "nonce is old, used, or of another network: once more with a fresh one",
            "the line is locked: {word}",
        )
    ),
    Kind(f"{LABEL} is sub {{line}}"),
    Kind(f"{LABEL} passed over: transport is {{word}}, not {{word2}}"),
    Kind(f"{LABEL} passed over: From pattern refused ({{text}})"),
    Kind(f"{LABEL} passed over: From has {{n}} characters, patterns see at most {{n2}}"),
    Kind(f"{LABEL} passed over: From does not match {{text}}"),
    Kind(f"{LABEL} passed over: {{line}} does not exist or its domain is disabled"),
    Kind("inbound rule {filter} of group {carrier} ({name}) is not met"),
    Kind("caller ID {text} is not among those of {line}", needs=CALLERS),
    Kind("caller ID {text} is not among those of {line}: shown as {text2}", needs=CALLERS),
    Kind("the line's number is never shown", needs=CALLERS),
    Kind("server {server} is not trusted: what it asserts is not believed"),
    # May they.
    Kind("sub {line} is {closed}"),
    Kind("sub {line} is locked: {word}"),
    Kind("level {n} account {account} is {closed}"),
    Kind("level {n} account {account} is in quarantine"),
    Kind("level {n} account {account} is locked: {word}"),
    Kind("level {n} account {account} bars {digits}"),
    Kind("level {n} account {account} bars all"),
    *(
        Kind(f"{holder}: barring level {{barring}} ({{name}}) {said}")
        for holder in ("sub {line}", "level {n} account {account}")
        for said in ("allows only what its rules name", "rule {n2}")
    ),
    *(
        Kind(f"{holder} blocks calls {way} {{text}}")
        for holder in ("sub {line}", "level {n} account {account}")
        for way in ("to", "from")
    ),
    Kind(f"barring level {{barring}}: {TOO_MANY}"),
    Kind("time set {times}: time zone {zone} is unknown here, UTC counts"),
    # Where to, as far as it is ours.
    Kind("number {called} reaches nobody", needs=CALLERS),
    Kind("number {digits} reaches sub {line}"),
    Kind("number {digits}: sub {line} is suspended"),
    Kind("number {digits}: sub {line} is locked: {word}"),
    Kind("number {digits}: level {n} account {account} is suspended"),
    Kind("number {digits}: level {n} account {account} is locked: {word}"),
    Kind("no carrier takes {called}", needs=CALLERS),
    *map(Kind, led.TEMPLATES),
    # What it costs.
    Kind(  # whoever came from another parent is not asked there what he paid before
        PAYS,
        masked="level {n} account {account} pays {price}/min by prefix {digits}{exchange}{changes}",
        stricter=(("account", MYSELF),),
    ),
    Kind("level {n} account {account} has no prices at this time in tariff {tariff}"),
    Kind("level {n} account {account} has no rate for {called} in tariff {tariff}"),
    Kind("level {n} account {account} may not call it by tariff {tariff} prefix {digits}"),
    Kind("level {n} account {account} takes no calls to {digits} by tariff {tariff} prefix {digits2}"),
    Kind("level {n} account {account} has {currency}, tariff {tariff} is in {currency2}: no exchange rate"),
    Kind("tariff {tariff}: time zone {zone} is unknown here, UTC counts"),
    Kind("account {myself} ({name}) sells at {price} what it buys at {price2} for {n} s{allowed}"),
    Kind("account {myself} ({name}) earns {currency} and pays {price}: no exchange rate, it might sell at a loss"),
    # May the store hold it.
    Kind("hold refused by the store: {word}"),
    Kind("hold refused by level {n} account {account}: {word}"),
    Kind("hold refused by a line's or user's limit of account {account}: {word}"),
    Kind("account {account} has its {n} calls without a hold on this node"),
    # Carriers: the reader's own in full, others by their name where that may be seen.
    Kind(
        "candidate {n}: server {server} ({named}/{name}) by rule {route}, costs {price} for {n2} s",
        masked="candidate {n}: carrier {named}",
        needs=CALLERS,
        stricter=(("server", NAMED),),  # by its id, as anybody may call a group by that name
    ),
    *(
        Kind(f"group {{carrier}} ({{name}}) not eligible: {fault}")
        for fault in (
            "it is disabled",
            "it is in quarantine",
            "its {word} cap is reached",
            "it has no enabled server",
            "no rate for {called} in its deck",
            "rule {route} is disabled",
            "rule {route} is not valid yet",
            "rule {route} is not valid any more",
            "callee pattern of rule {route} does not match",
            "caller pattern of rule {route} does not match",
            "time set {times} of rule {route} does not hold now",
        )
    ),
    *(
        Kind(f"server {{server}} ({{name}}) skipped: {why}")
        for why in (
            "it is disabled",
            "it is in quarantine",
            "its name is not resolved",
            "the call came from it",
            "failed lately",
            "dearer than level {n} pays{allowed}",
            "dearer than level {n} pays, less what account {myself} pays itself{allowed}",
        )
    ),
    Kind("block rule {route} holds nothing: group {carrier} ({name}) is disabled"),
    Kind(f"peering rules of account {{myself}}: {TOO_MANY}"),
    Kind(f"inbound rules of group {{carrier}}: {TOO_MANY}"),
    Kind("group {carrier} passed over: disabled"),
    Kind("server {server} passed over: its name is not resolved"),
)
"""What may be read, in the order of a decision."""

_FIELD: Final = re.compile(r"\{([a-z]+)([0-9]?)\}")
_REWRITING: Final = re.compile(rf"(?:server (?P<server>{ID}): )?rule {ID}(?:: .* → .*| passed over: .*)", re.DOTALL)
_LEAP: Final = re.compile(rf"leap [0-9]+ of account (?P<account>{ID}): (?P<rest>.*)", re.DOTALL)
_RULE: Final = re.compile(rf"\brule ({ID})")


class _Ready(NamedTuple):
    """A kind, compiled. fields: name of a group -> of what it is a claim."""

    pattern: re.Pattern[str]
    fields: tuple[tuple[str, str], ...]
    kind: Kind


def claims_of(sentences: Iterable[str]) -> frozenset[Claim]:
    """Return all that these sentences tell of, as far as they are of a known kind: what the database is asked."""
    return frozenset(claim for sentence in sentences for claims, _ in _readings(sentence) for claim in claims)


def redacted(sentences: Iterable[str], seen: Seen) -> list[str]:
    """Return the sentences that the reader may read, some of them masked, in their order."""
    told = (redacted_sentence(sentence, seen) for sentence in sentences)
    return [sentence for sentence in told if sentence]


def redacted_sentence(sentence: str, seen: Seen) -> str:
    """Return what the reader may read of a sentence, "" = nothing."""
    readings = _readings(sentence)
    return next((text for claims, text in readings if all(map(seen.holds, claims))), "")


def is_known(sentence: str) -> bool:
    """Tell whether somebody has thought of this kind of sentence."""
    sentence = _LEAP.sub(r"\g<rest>", sentence)
    return bool(_readings(sentence)) or any(re.fullmatch(pattern, sentence) for pattern in WITHHELD)


@lru_cache(maxsize=SENTENCES_KEPT)
def _readings(sentence: str) -> tuple[tuple[tuple[Claim, ...], str], ...]:
    """Return each way to read a sentence: what it tells of, and the text that may be shown to who sees all of that."""
    forward = _LEAP.fullmatch(sentence)
    if forward is not None:
        return tuple(_of_forward(forward))
    rewriting = _REWRITING.fullmatch(sentence)
    if rewriting is not None:
        rules = tuple(Claim(REWRITE, rule_id) for rule_id in _RULE.findall(sentence))
        server = (Claim(SERVER, rewriting["server"]),) if rewriting["server"] else ()
        return (((Claim(CALLER, ""), *rules, *server), sentence),)
    return tuple(chain.from_iterable(_as_kind(ready, sentence) for ready in _kinds()))


def _of_forward(forward: re.Match[str]) -> Iterator[tuple[tuple[Claim, ...], str]]:
    """Yield the readings of what is said of a forward: it is for who sees the forwarder, who is its caller."""
    for claims, text in _readings(forward["rest"]):
        others = tuple(claim for claim in claims if claim.what not in (CALLER, CALLED))
        yield (Claim(ACCOUNT, forward["account"]), *others), forward[0].removesuffix(forward["rest"]) + text


def _as_kind(ready: _Ready, sentence: str) -> Iterator[tuple[tuple[Claim, ...], str]]:
    found = ready.pattern.fullmatch(sentence)
    if found is None:
        return
    needs = tuple(Claim(what, "") for what in ready.kind.needs)
    yield (*needs, *(Claim(what, found[group]) for group, what in ready.fields)), sentence
    if ready.kind.masked:
        shown = {group for group, _ in ready.fields if f"{{{group}}}" in ready.kind.masked}
        stricter = dict(ready.kind.stricter)
        claims = (
            Claim(stricter.get(group, what), found[group])
            for group, what in ready.fields
            if group in shown | stricter.keys()
        )
        yield (*needs, *claims), ready.kind.masked.format_map(found.groupdict())


@cache
def _kinds() -> tuple[_Ready, ...]:
    return tuple(map(_compiled, SHOWN))


def _compiled(kind: Kind) -> _Ready:
    pattern, at, fields = "", 0, []
    for field in _FIELD.finditer(kind.template):
        form, what = FIELDS[field[1]]
        group = field[1] + field[2]
        pattern += re.escape(kind.template[at : field.start()]) + f"(?P<{group}>{form})"
        at = field.end()
        if what:
            fields.append((group, what))
    return _Ready(re.compile(pattern + re.escape(kind.template[at:])), tuple(fields), kind)
