"""What a load run reads out of SIPp's traces, and the figures that it makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.load.calls import Call, Calls, Trace, parsed
from tools.load.figures import Second, quantiles, seconds, sums
from tools.load.run import Progress
from tools.load.show import line
from tools.load.spec import named

START = 1_795_371_460.0
PARTY = named("digest").callers[0]


def trace(*messages: str, call_id: str = "l02-x-callers-1@tandem") -> str:
    """Return a trace: "<seconds> S|R <CSeq> <first line>" each."""
    rows = []
    for message in messages:
        at, direction, number, method, first = message.split(" ", 4)
        head = f"2026-11-22\t18:17:40\t{START + float(at):.6f}\t{direction}\t{call_id}"
        rows.append(f"{head}\tCSeq:{number} {method}\t{first}\n")
    return "".join(rows)


def seen(*messages: str) -> Call:
    calls = Calls()
    calls.see(PARTY.name, [found for text in trace(*messages).splitlines() if (found := parsed(text))])
    (call,) = calls.known.values()
    return call


ASK = "0 S 1 INVITE INVITE sip:885@127.0.0.1:5060 SIP/2.0"
CHALLENGED = (ASK, "0.001 R 1 INVITE SIP/2.0 100 Trying", "0.002 R 1 INVITE SIP/2.0 407 Proxy Authentication Required")
AGAIN = "0.003 S 2 INVITE INVITE sip:885@127.0.0.1:5060 SIP/2.0"
RINGS = "0.010 R 2 INVITE SIP/2.0 180 Ringing"
ANSWERED = (*CHALLENGED, "0.002 S 1 ACK ACK sip:885@x SIP/2.0", AGAIN, RINGS, "0.210 R 2 INVITE SIP/2.0 200 OK")
BYE = "1.210 S 3 BYE BYE sip:127.4.2.1:5080 SIP/2.0"


@pytest.mark.parametrize(
    ("messages", "status", "setup_ms", "repeats", "closed"),
    [
        ((ASK,), 0, 0.0, 0, False),
        ((ASK, ASK.replace("0 S", "0.5 S")), 0, 0.0, 1, False),
        (CHALLENGED, 407, 2.0, 0, True),
        ((*CHALLENGED, AGAIN), 0, 0.0, 0, False),
        ((*CHALLENGED, AGAIN, "0.008 R 2 INVITE SIP/2.0 402 Payment Required"), 402, 8.0, 0, True),
        (ANSWERED, 200, 10.0, 0, False),
        ((*ANSWERED, BYE), 200, 10.0, 0, False),
        ((*ANSWERED, BYE, "1.3 R 3 BYE SIP/2.0 200 OK"), 200, 10.0, 0, True),
        ((*ANSWERED, "1.2 R 9 BYE BYE sip:u1@127.4.2.9 SIP/2.0"), 200, 10.0, 0, True),
        ((*ANSWERED, "0.3 S 3 INVITE INVITE sip:x SIP/2.0", "0.4 R 3 INVITE SIP/2.0 491 Pending"), 200, 10.0, 0, False),
        ((ASK, RINGS, "0.3 S 1 CANCEL CANCEL sip:x SIP/2.0", "0.4 R 1 CANCEL SIP/2.0 200 OK"), 0, 10.0, 0, False),
        ((ASK, "0.004 R 1 INVITE SIP/2.0 503 Service Unavailable"), 503, 4.0, 0, True),
    ],
    ids=[
        "nothing came", "asked twice", "wrong password", "asked again", "refused", "talks", "hangs up", "over",
        "the other side hangs up", "asked inside the call", "given up", "refused at once",
    ],
)  # fmt: skip
def test_a_call_is_what_its_messages_say(
    messages: tuple[str, ...], status: int, setup_ms: float, repeats: int, *, closed: bool
) -> None:
    call = seen(*messages)
    assert (call.status, round(call.setup_ms, 3), call.repeats, call.closed) == (status, setup_ms, repeats, closed)


def test_a_registration_is_over_with_its_200() -> None:
    call = seen(
        "0 S 1 REGISTER REGISTER sip:l01.example SIP/2.0",
        "0.002 R 1 REGISTER SIP/2.0 401 Unauthorized",
        "0.003 S 2 REGISTER REGISTER sip:l01.example SIP/2.0",
        "0.007 R 2 REGISTER SIP/2.0 200 OK",
    )
    assert (call.status, call.closed, call.is_answered, round(call.setup_ms, 3)) == (200, True, False, 7.0)


def test_a_trace_is_read_while_it_grows(tmp_path: Path) -> None:
    """Half a line waits for its other half; a file that is not there yet has nothing."""
    whole = trace(ASK, RINGS).encode()
    growing = Trace(tmp_path / "x.short")
    assert list(growing.more()) == []
    growing.path.write_bytes(whole[: len(whole) - 20])
    assert [found.method for found in growing.more()] == ["INVITE"]
    growing.path.write_bytes(whole)
    assert [found.status for found in growing.more()] == [180]
    assert parsed("no line of a trace") is None


def test_messages_of_earlier_calls_are_left_out() -> None:
    calls = Calls()
    calls.see("callers", [found for text in trace("0 R 1 BYE SIP/2.0 200 OK").splitlines() if (found := parsed(text))])
    assert len(calls) == 0


def test_quantiles_are_values_that_were_measured() -> None:
    assert quantiles(range(1, 101)) == {"p50": 50, "p95": 95, "p99": 99, "max": 100}
    assert quantiles([7.0]) == {"p50": 7.0, "p95": 7.0, "p99": 7.0, "max": 7.0}
    assert quantiles([]) == {"p50": 0, "p95": 0, "p99": 0, "max": 0}


def made(began: float, status: int, *, heard_ms: float = 0.0, closed: bool = True) -> Call:
    call = Call(PARTY.name, "INVITE", START + began)
    call.status, call.closed, call.repeats = status, closed, 0
    call.heard = call.began + heard_ms / 1e3 if heard_ms else 0.0
    call.answered = call.heard if status == 200 else 0.0
    return call


def test_a_sum_counts_what_went_well_and_what_did_not() -> None:
    """Answered without an end is not well; the rate is that of the calls' beginnings."""
    calls = [made(0, 200, heard_ms=5), made(1, 200, heard_ms=15, closed=False), made(2, 503, heard_ms=2), made(4, 0)]
    (told,) = sums(calls, [PARTY])
    assert (told.calls, told.well, told.answered, told.refused, told.unanswered) == (4, 1, 2, {503: 1}, 1)
    assert (told.reached_cps, told.answered_cps, told.success) == (0.75, 0.38, 0.25)
    assert told.setup_ms["max"] == pytest.approx(15)
    assert told.as_dict()["refused"] == {"503": 1}
    assert [each.party for each in sums(calls, [PARTY, PARTY._replace(name="other")])] == ["callers", "other", "all"]


def test_each_second_has_its_figures() -> None:
    calls = [made(0.2, 200, heard_ms=4), made(0.7, 402, heard_ms=8), made(2.5, 0)]
    assert seconds(calls) == [Second(0, 2, 1, 1, 4.0, 8.0), Second(1, 0, 0, 0, 0.0, 0.0), Second(2, 1, 0, 0, 0.0, 0.0)]
    assert seconds([]) == []


def test_the_progress_tells_of_the_last_five_seconds() -> None:
    calls = {str(n): made(n, 200 if n else 503, heard_ms=10 + n) for n in range(10)}
    assert line(Progress(20, calls, 10.0), START + 10) == "1 cps, 9 answered, 1 refused, 0 open, p95 19 ms"
