"""What a decision can be. Every outcome is a value and carries its trace.

Rule 1: a refusal is a value with a stable reason; the table reason -> SIP stands in refusals.py.
Rule 2: trace entries are short sentences that name the rule ids; they hold no secret.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from kemi.core.request import SipUri
from kemi.records import (
    Choice,
    HuntRule,
    Login,
    PeeringGroup,
    PeeringRule,
    PeerServer,
    PinnedCall,
    PinnedLeg,
    PinnedTarget,
    ReplyOverride,
)

Trace = tuple[str, ...]

LEFT_OUT_MAX: Final = 32  # carriers not tried that a call's record names; it travels with the hold
BEYOND_MAX: Final = 8  # of them, those that were good enough and came too late


class Need(NamedTuple):
    """The decision cannot be made before these are known: fetch all in one round trip and ask again.

    keys: short names; the fetch follows their links (subscriber -> account -> parents -> tariffs …).
    digits: when not "", the fetch also brings the rate buckets of these digits for every tariff reached.
    nonce_uses: nothing to fetch: the response is right, so now count how often its nonce and count came.
    held: names that the decision stands on as they are known: the fetch brings those again that have changed meanwhile.
    """

    keys: tuple[str, ...]
    digits: str = ""
    nonce_uses: bool = False
    held: tuple[str, ...] = ()


class Challenge(NamedTuple):
    """Ask for digest credentials: 401 for REGISTER, else 407. headers: complete header values to append."""

    status: int
    header: str
    values: tuple[str, ...]
    trace: Trace


class Candidate(NamedTuple):
    """A server that could take the call. cost: what it would cost its owner. rule: by which it was found.

    expected_micros: what a call of the expected length, begun now, costs in the deck's currency. compared_micros: the
    same in the currency that all candidates of the call are compared in. is_first: of carriers that come before all
    others, whatever the profile says.
    """

    rule: PeeringRule
    group: PeeringGroup
    server: PeerServer
    cost: PinnedLeg
    expected_micros: int
    compared_micros: int
    is_first: bool = True


class Weighed(NamedTuple):
    """The carriers that were weighed for a call expected to last call_s seconds: candidates in hunting order, the rest.

    Candidates become choices when somebody asks: `tandem explain` does, a node that routes calls seldom. more: those
    for the numbers that the call may be led to.
    """

    candidates: tuple[Candidate, ...] = ()
    left_out: tuple[Choice, ...] = ()
    call_s: int = 0
    more: tuple[Weighed, ...] = ()

    @property
    def choices(self) -> tuple[Choice, ...]:
        """All of them, the candidates first."""
        own = (*(self._choice(candidate) for candidate in self.candidates), *self.left_out)
        return (*own, *(choice for each in self.more for choice in each.choices)) if self.more else own

    def beside(self, other: Weighed, attempts_max: int) -> Weighed:
        """Return this with what was weighed for a forward, of which no more than attempts_max are tried."""
        beyond = (other._choice(each, f"only {attempts_max} are tried") for each in other.candidates[attempts_max:])
        tried = other._replace(
            candidates=other.candidates[:attempts_max], left_out=(*other.left_out, *list(beyond)[:BEYOND_MAX])
        )
        return self._replace(more=(*self.more, tried))

    def not_tried(self, attempts_max: int) -> tuple[Choice, ...]:
        """Return what a record of the call keeps: those with a reason, then those beyond the last attempt.

        LEFT_OUT_MAX at most, BEYOND_MAX of them beyond the last attempt; and how many more there were.
        """
        left_out = self.left_out
        if self.more:
            left_out = (*left_out, *(choice for each in self.more for choice in each.left_out))
        reasons, beyond = left_out[:LEFT_OUT_MAX], self.candidates[attempts_max:]
        room = min(LEFT_OUT_MAX - len(reasons), BEYOND_MAX)
        why = f"only {attempts_max} are tried"
        kept = (*reasons, *[self._choice(candidate, why) for candidate in beyond[:room]])
        more = len(left_out) + len(beyond) - len(kept)
        return (*kept, Choice(0, 0, 0, "", "", why=f"{more} more were left out")) if more else kept

    def _choice(self, candidate: Candidate, why: str = "") -> Choice:
        rule, group, server, leg, micros, _, _ = candidate
        name = f"{group.name}/{server.name}"
        return Choice(rule.id, group.id, server.id, name, rule.callee_prefix, micros, leg.currency, self.call_s, why)


class Reject(NamedTuple):
    """A final refusal. account_id: the level that refused, 0 = none. call: what a CDR can say about it.

    used: short names decided on, as in Hold; () where no configuration was looked at. min_expires_s: the shortest
    registration that would do, 0 = that was not the matter.
    """

    reason: str
    status: int
    phrase: str
    q850: int
    retry_after_s: int
    account_id: int
    trace: Trace
    call: PinnedCall | None = None
    weighed: Weighed = Weighed()
    used: tuple[str, ...] = ()
    min_expires_s: int = 0

    @property
    def choices(self) -> tuple[Choice, ...]:
        """The carriers that were weighed, in hunting order, and those left out."""
        return self.weighed.choices


class Register(NamedTuple):
    """An authenticated REGISTER: save the contacts under this address of record.

    granted: for each contact of the request how many seconds it is kept, 0 = it is taken away. contacts_max: how many
    phones the line may have registered then. is_called_back: calls go back to where the request came from.
    """

    address_of_record: str
    trace: Trace
    granted: tuple[int, ...] = ()
    contacts_max: int = 0
    is_called_back: bool = False


class Header(NamedTuple):
    """A header that this attempt sends."""

    name: str
    value: str


class ServerLimits(NamedTuple):
    """What an attempt at a server has to obey; as in PeerServer.

    hosts: addresses of the group's enabled servers, to which a redirect may lead.
    """

    socket: str = ""
    channels_max: int = 0
    cps_max: int = 0
    ring_max_s: int = 0
    pdd_max_ms: int = 0
    redirects: bool = False
    hosts: tuple[str, ...] = ()
    hunt: tuple[HuntRule, ...] = ()
    login: Login | None = None


class Target(NamedTuple):
    """One attempt, ready for the branch route: per-carrier edits, computed from the original numbers.

    kind: "server" (send to next_hop) or "local" (look the address of record up among registrations).
    ruri: for a server the R-URI to send. next_hop: `sip:<ip>:<port>;transport=…`. address_of_record: local only.
    from_uri, from_display: what the From shall say, "" = unchanged. remove: header names to strip.
    pinned: the same candidate as pinned with the hold. limits: of a server, as far as they concern an attempt.
    user: local only: what stands in the R-URI instead of the user that the phone has registered, escaped; to_uri: what
    the To shall say; "" = unchanged, both.
    """

    kind: str
    ruri: str
    next_hop: str
    from_uri: str
    from_display: str
    headers: tuple[Header, ...]
    remove: tuple[str, ...]
    pinned: PinnedTarget
    address_of_record: str = ""
    limits: ServerLimits = ServerLimits()
    user: str = ""
    to_uri: str = ""


class Stage(NamedTuple):
    """Targets of a route that belong together: Route.targets[first : first + size]. size 0: busy without being asked.

    together: all ring at once, and the first answer wins; else a hunt through them (core/hunt.py). ring_s: for how
    long, of a hunt each; 0 = the node's time. busy, no_answer, unreachable: place of the stage that follows where this
    one ends so, always a later one; -1 = the caller is told how it ended. Busy: busy or declined, or it takes no calls.
    No answer: it rang its time. Unreachable: all else. status, phrase: of a stage without targets that ends the call
    so; 0 = it is busy. passed: places in Route.targets that are passed over.
    """

    first: int
    size: int
    together: bool = False
    ring_s: int = 0
    busy: int = -1
    no_answer: int = -1
    unreachable: int = -1
    status: int = 0
    phrase: str = ""
    passed: tuple[int, ...] = ()

    @property
    def places(self) -> tuple[int, ...]:
        """The targets that are asked, by their places in Route.targets."""
        return tuple([place for place in range(self.first, self.first + self.size) if place not in self.passed])


class Turn(NamedTuple):
    """A group's stages of a route, first_stage … + size - 1, one member each, whose order the store's answer decides.

    is_circular: they begin with the next member each call, so the hold takes the group's turn. lines: per stage the
    funds that count its member's calls (as in Hold.asks); a member who is in a call is passed over; () = none is. Of a
    group that rings at once there is one stage, with the funds of all. total_s: how long all of them together may ring,
    0 = as long as each does.
    """

    group_id: int
    first_stage: int
    size: int
    is_circular: bool = False
    lines: tuple[tuple[str, ...], ...] = ()
    total_s: int = 0


OUT: Final = 1
IN: Final = 2


class HoldFund(NamedTuple):
    """One fund row of a hold, merged: a shared ancestor stands once. level: nearest level it pays for.

    account_id: for naming the level in a refusal. sides: OUT on the caller's chain, IN on the called number's, their
    sum on both: the call is one channel in all, and one of each side.
    """

    fund: str
    account_id: int
    level: int
    sides: int = OUT


class HoldRow(NamedTuple):
    """One row of a schedule: cumulative price of `talk_s` seconds per fund, in the order of the funds."""

    talk_s: int
    price_micros: tuple[int, ...]


class Hold(NamedTuple):
    """What to hold, all or nothing. funds: ≤ 32. rows: ≤ 16, both columns rising. used: short names decided on.

    Lines and users with limits are funds too, named as keys.line_fund and keys.user_fund say: they pay nothing, and
    have no currency. asks: funds whose calls at this moment are wanted. turns: groups whose next turn is taken.
    """

    funds: tuple[HoldFund, ...]
    rows: tuple[HoldRow, ...]
    used: tuple[str, ...]
    asks: tuple[str, ...] = ()
    turns: tuple[int, ...] = ()


class Route(NamedTuple):
    """The call may go once `hold` is granted. emergency: goes even when the hold cannot be asked or is refused.

    targets: in hunting order, at least one. caller_uri: identity of the caller after rewriting.
    ring_max_s: how long one attempt may ring. replies: the tenants' own answers, should the hold be refused. places: of
    a call that goes without a hold, how many such the account call.offline_id lets in at a time on this node. stages:
    how the targets follow each other, () = one hunt through all of them. turns: groups whose order follows from the
    hold's answer. waits_s: how long it may go unanswered at most, 0 = as its attempts take. media: whether its sound
    goes through our relay; then caller_group: whose call it is, 0 = no carrier's; gateways: of each group of carriers
    that a tenant owns, the addresses of its servers.
    """

    call: PinnedCall
    hold: Hold
    targets: tuple[Target, ...]
    caller_uri: SipUri
    ring_max_s: int
    trace: Trace
    emergency: bool = False
    replies: tuple[ReplyOverride, ...] = ()
    weighed: Weighed = Weighed()
    places: int = 0
    stages: tuple[Stage, ...] = ()
    turns: tuple[Turn, ...] = ()
    waits_s: int = 0
    media: bool = False
    caller_group: int = 0
    gateways: tuple[tuple[int, tuple[str, ...]], ...] = ()

    @property
    def choices(self) -> tuple[Choice, ...]:
        """As of a refusal."""
        return self.weighed.choices


Decision = Challenge | Reject | Register | Route
