"""OPTIONS to carriers' servers: who is up, who is in doubt, who is down, and how often each is asked."""

from __future__ import annotations

import pytest

from kemi.adapters.ksr_queue import ProbeAnswered
from kemi.agent_watch import AGAIN_NS, EVERY_NS, NS, SILENT_MAX, Place, Watch, call_id_of

PLACE = Place(31, "acme/one", "192.0.2.1:5060", "sip:192.0.2.1:5060;transport=udp", "", "sip:198.51.100.1:5060")
HOST = "192.0.2.1"
CALL = call_id_of("token", 31, "probe")


def watching(*places: Place) -> Watch:
    watch = Watch()
    watch.follow(places or (PLACE,), "token", 0)
    return watch


def said(watch: Watch, status: int) -> ProbeAnswered:
    """Return the server's answer to the last question."""
    cseq = next(watched.cseq for watched in watch._watched.values())
    return ProbeAnswered(CALL, "tag", status, HOST, cseq)


def asked_at(watch: Watch, until_s: int) -> list[int]:
    """Return the seconds at which something is asked, without an answer."""
    return [second for second in range(until_s) for _ in watch.due(second * NS)]


def test_a_request_says_who_asks_and_whom() -> None:
    (ask,) = watching().due(0)

    assert (ask.method, ask.ruri, ask.next_hop) == ("OPTIONS", "sip:192.0.2.1:5060", PLACE.next_hop)
    assert (ask.uri, ask.call_id, ask.cseq) == (PLACE.ours, CALL, 1)


@pytest.mark.parametrize("status", [200, 401, 404, 405, 483, 499])
def test_a_server_that_answers_is_asked_every_half_a_minute(status: int) -> None:
    watch = watching()
    watch.due(0)

    watch.answered(said(watch, status), NS)

    assert watch.down() == []
    assert watch.due(EVERY_NS) == []
    (ask,) = watch.due(NS + EVERY_NS)
    assert ask.cseq == 2


def test_three_times_no_answer_is_down_and_one_answer_is_up() -> None:
    watch = watching()

    assert asked_at(watch, 15) == [0, 5, 10]
    assert watch.down() == []
    watch.due(15 * NS)
    assert watch.down() == [31]
    watch.answered(said(watch, 200), 16 * NS)
    assert watch.down() == []


@pytest.mark.parametrize("status", [408, 500, 503, 604])
def test_an_answer_that_says_it_is_ill_counts_as_none(status: int) -> None:
    watch = watching()
    for number in range(SILENT_MAX):
        watch.due(number * AGAIN_NS)
        watch.answered(said(watch, status), number * AGAIN_NS)
        watch.answered(said(watch, status), number * AGAIN_NS)

    assert watch.down() == [31]
    assert [row["unanswered"] for row in watch.rows()] == [SILENT_MAX], "a repeated answer counts once"


def test_two_failures_and_a_success_are_no_three() -> None:
    watch = watching()
    asked_at(watch, 11)

    watch.answered(said(watch, 200), 11 * NS)
    watch.due(41 * NS)
    watch.due(46 * NS)

    assert watch.down() == []


def test_what_is_not_ours_is_not_heard() -> None:
    assert watching().answered(ProbeAnswered("token-32", "tag", 200, HOST), 0) is None


def test_a_server_that_stays_as_it_is_keeps_what_is_known_of_it() -> None:
    watch = watching()
    asked_at(watch, 16)

    assert watch.follow((PLACE,), "other", 16 * NS) == []
    assert watch.down() == [31]
    assert watch.follow((PLACE._replace(host="192.0.2.2"),), "other", 16 * NS) == [31]
    assert watch.down() == []
    assert watch.answered(said(watch, 200), 17 * NS) is None


def test_many_servers_are_not_asked_at_once() -> None:
    watch = watching(*(PLACE._replace(server_id=number) for number in range(1, 101)))

    assert len(watch.due(0)) == 2
    assert len(watch.due(NS)) == 20


def test_no_server_learns_the_call_id_of_another() -> None:
    watch = watching(PLACE, PLACE._replace(server_id=41))

    one, two = (ask.call_id for at in (0, NS) for ask in watch.due(at))

    assert one != two
    assert one[:20] != two[:20]


@pytest.mark.parametrize("wrong", [{"ip": "192.0.2.77"}, {"cseq": 7}, {"call_id": "another"}])
def test_what_somebody_else_says_of_a_server_does_not_count(wrong: dict[str, object]) -> None:
    watch = watching()
    asked_at(watch, 16)

    assert watch.answered(said(watch, 200)._replace(**wrong), 16 * NS) is None  # type: ignore[arg-type]
    assert watch.down() == [31]
