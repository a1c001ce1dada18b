"""A call as it is held, ends and is told to settlement."""

from __future__ import annotations

from typing import NamedTuple

from kemi.records.prices import Band, Rate


class PinnedLeg(NamedTuple):
    """One payment of a call, with everything needed to price it later whatever changes meanwhile.

    payer_id pays payee_id. fund: "<account id>:<currency>" that Redis holds for it, "" where it is posted
    in Postgres only (what we owe a carrier). level: 1 = the payer nearest to the caller.
    currency: of the tariff, so of the rate and of what the payee earns. exchange_nanos: what the fund pays for 10^9 of
    it; 0 = the fund is in the same currency. rounding, round_to_micros: as in Tariff. bands: where the price changes
    during the longest possible call, rising; () = rate holds all the time. forward: it is paid only where the call was
    answered behind this forward of the call, counted from 1; 0 = always.
    """

    level: int
    payer_id: int
    payee_id: int
    currency: str
    fund: str
    tariff_id: int
    rate_set_id: int
    prefix: str
    rate: Rate
    bands: tuple[Band, ...] = ()
    rounding: str = "up"
    round_to_micros: int = 1
    exchange_nanos: int = 0
    forward: int = 0


class PinnedTarget(NamedTuple):
    """A candidate of the call as chosen: where it goes and what it would cost the owner of the carrier.

    forwards: those of the call over which it comes there, as in PinnedLeg. joins: funds of its line and user, which
    count the call from its answer on, whatever their limits; one that the call holds anyway counts it once. leads:
    funds of all lines and users that led it there over a number, which the call holds: those that did not lead to who
    has answered count it no more.
    """

    group_id: int
    server_id: int
    name: str
    cost: PinnedLeg | None = None
    forwards: tuple[int, ...] = ()
    joins: tuple[str, ...] = ()
    leads: tuple[str, ...] = ()


class Choice(NamedTuple):
    """A server, or a rule of a group without one, that was weighed for a call. why: it was left out, "" = it was not.

    name: "group/server". cost_micros, currency: what a call of expected_s seconds would cost the carrier's owner.
    """

    rule_id: int
    group_id: int
    server_id: int
    name: str
    prefix: str
    cost_micros: int = 0
    currency: str = ""
    expected_s: int = 0
    why: str = ""


class PinnedCall(NamedTuple):
    """What a reservation pins at the hold: enough to extend, settle, explain and adopt the call.

    started_ms: Unix time of the INVITE. source: address of record or "peer:<group name>".
    direction: "out", "in" or "internal". max_s: hard maximum duration. part_at_ms: rising, when a day of one of the
    payers ends during the longest possible call: what is talked before has to be charged by then. routing: the number
    by which carriers were chosen, where that is not the callee. hidden: the caller does not want his number to be seen:
    whatever shows a called tenant this call must not show it. left_out: the carriers that were weighed and are none of
    the targets, each with the reason. offline_s: how long it may go on beyond what is held while the store is down, 0 =
    not at all. offline_id: the account by whose word it went without any hold, 0 = it has one, or is an emergency call.
    """

    rid: str
    call_id: str
    from_tag: str
    node: str
    started_ms: int
    direction: str
    source: str
    account_id: int
    caller: str
    callee: str
    max_s: int
    legs: tuple[PinnedLeg, ...]
    targets: tuple[PinnedTarget, ...]
    trace: tuple[str, ...]
    config_pass: int = 0
    emergency: bool = False
    part_at_ms: tuple[int, ...] = ()
    routing: str = ""
    hidden: bool = False
    left_out: tuple[Choice, ...] = ()
    offline_s: int = 0
    offline_id: int = 0


class Attempt(NamedTuple):
    """One try of the hunt: which server, and the SIP status that it gave (0 = cancelled while trying).

    asked_ms, ended_ms: Unix time of our INVITE and of that answer, 0 = not known. pdd_ms: until it first rang or
    answered, -1 = it did neither. why: a word where the status does not say it: "channels", "cps" (it was not asked:
    it has enough calls), "pdd" (it said nothing in time), "ring" (it rang too long), "redirect", "unreachable".
    place: of the target among those of the call, -1 = not known.
    """

    server_id: int
    status: int
    asked_ms: int = 0
    ended_ms: int = 0
    pdd_ms: int = -1
    why: str = ""
    place: int = -1


class CallEnd(NamedTuple):
    """How a call ended. `outcome`: answered, cancelled, failed, refused, estimated, unknown_end.

    answered_ms: Unix time of the 200, 0 if never. talk_ms: measured; billed_s: min(real, granted), whole
    seconds, rounded up. ended_by: caller, callee, maximum, noc, sweeper; money: more was refused; store_down: Redis
    could not be asked for more; node_lost: nobody asked in time; lost_hold: Redis did not know the hold; silent:
    neither side answers any more; "": none.
    account_id: the level that refused it, 0 = none did. Outcome "talking": of an event of kind "part". place: of the
    target that answered, as in Attempt.
    """

    outcome: str
    ended_ms: int
    answered_ms: int
    talk_ms: int
    billed_s: int
    status: int
    reason: str
    q850: int
    ended_by: str
    server_id: int = 0
    attempts: tuple[Attempt, ...] = ()
    trace: tuple[str, ...] = ()
    account_id: int = 0
    place: int = -1


class FundPosting(NamedTuple):
    """What one event did to one fund. n: the fund's event number, gapless; charged_micros: `chg` afterwards."""

    fund: str
    amount_micros: int
    n: int
    charged_micros: int


class CallEvent(NamedTuple):
    """One entry of the event stream, written by the function that moved the money.

    kind: "settle", "release", "refused" (no hold was made), "late" (the end came when nothing was held any more: what
    is missing is posted in Postgres), "part" (a call that goes on paid what it has talked). Unique by (rid, seq).
    postings say what this event charged: the price of end.billed_s less that of billed_before_s, which earlier parts of
    the same call have charged.
    """

    kind: str
    epoch: int
    rid: str
    seq: int
    postings: tuple[FundPosting, ...]
    call: PinnedCall
    end: CallEnd
    billed_before_s: int = 0


class Window(NamedTuple):
    """A day or month of an account's time zone. id: 20261122 or 202611, rising. end_ms: Unix time of its end."""

    id: int
    end_ms: int


class Opening(NamedTuple):
    """What the windows of a fund with caps on spend begin with. version: rises with each opening of any fund.

    Made when the fund gets a cap that it had not, and when the account's time zone changes. day_id, month_id: the
    windows of that moment; day_micros, month_micros: what was posted in them by then.
    """

    version: int
    day_id: int
    day_micros: int
    month_id: int
    month_micros: int
