"""Expected against observed, as sentences. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from tools.scenario.observe import Record
from tools.scenario.sipp import call_id
from tools.scenario.spec import Expected, Party, Scenario


def differences(scenario: Scenario, record: Record | None, got: Mapping[tuple[str, str], tuple[str, ...]]) -> list[str]:
    """Return what differs from the scenario's expectations, a sentence each; empty when all is as expected.

    got: (party name, method or status) -> the messages of that kind that the party received.
    """
    found = [line for party in scenario.parties for line in _party(party, got)]
    if not scenario.call.cdr:
        return [*found, f"a record was kept: {record.outcome} {record.status}"] if record else found
    if record is None:
        return [*found, "no call detail record arrived"]
    return found + list(_record(scenario.call, record)) + list(_money(scenario, record))


def _party(party: Party, got: Mapping[tuple[str, str], tuple[str, ...]]) -> Iterator[str]:
    if party.role != "caller":
        calls = {call_id(message) for message in got.get((party.name, "INVITE"), ())}
        if len(calls) != party.calls:
            yield f"{party.name}: {len(calls)} calls reached it, expected {party.calls}"
    for rule in party.received:
        seen = got.get((party.name, rule.what), ())
        if not seen:
            yield f"{party.name}: no {rule.what} received"
        yield from (
            f"{party.name}: no {rule.what} has /{pattern}/"
            for pattern in rule.some
            if not any(re.search(pattern, message, re.MULTILINE) for message in seen)
        )
        for message in seen:
            yield from (
                f"{party.name}: {rule.what} lacks /{pattern}/"
                for pattern in rule.has
                if not re.search(pattern, message, re.MULTILINE)
            )
            yield from (
                f"{party.name}: {rule.what} must not have /{pattern}/"
                for pattern in rule.lacks
                if re.search(pattern, message, re.MULTILINE)
            )


def _record(expected: Expected, record: Record) -> Iterator[str]:
    pairs = (
        ("outcome", expected.outcome, record.outcome),
        ("status", expected.status, record.status),
        ("reason", expected.reason, record.reason),
        ("carrier", expected.carrier, record.carrier),
        ("ended by", expected.ended_by, record.ended_by),
    )
    for name, wanted, real in pairs:
        if wanted != real:
            yield f"{name} is {real!r}, expected {wanted!r}"
    low, high = expected.billed_s
    if not low <= record.billed_s <= high:
        yield f"billed {record.billed_s} s, expected {low}…{high} s"
    if expected.attempts is not None and expected.attempts != record.attempts:
        yield f"tried {list(record.attempts)}, expected {list(expected.attempts)}"
    whole = "\n".join(record.trace)
    yield from (f"the trace does not say /{text}/" for text in expected.trace_has if not re.search(text, whole))
    yield from (f"the trace says /{text}/" for text in expected.trace_lacks if re.search(text, whole))


def _money(scenario: Scenario, record: Record) -> Iterator[str]:
    wanted = {tuple(leg) for leg in scenario.legs}
    real = set(record.legs)
    yield from (f"payment missing: {_payment(leg)}" for leg in sorted(wanted - real))
    yield from (f"payment not expected: {_payment(leg)}" for leg in sorted(real - wanted))
    yield from (f"ledger of the call does not sum to 0: {micros} {currency}" for currency, micros in record.unbalanced)
    if record.leased:
        yield "a lease of the call is left"


def _payment(leg: tuple[object, ...]) -> str:
    level, payer, payee, price, currency, charged, charged_in = leg
    exchanged = f", charged {charged} micros {charged_in}" if (charged, charged_in) != (price, currency) else ""
    return f"level {level} {payer} pays {payee} {price} micros {currency}{exchanged}"
