"""Nights of calls, as NOC.md has them: each made on a real node, and gone through by the page's own lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager

import pytest

from kemi import keys
from kemi.records import Peers
from tests.dialogs import CALLER, LONG_S, SHORT, confirm, drained, talking
from tests.edge import SOON_S, Edge, running_edge
from tests.fakes.world import ABROAD, ACME, ACME_1, ALICE, BELL, BELL_1, CUSTOMER
from tests.nights import Night, night
from tests.overloaded import admitted, standing_still
from tests.phones import Phone
from tests.sip import Endpoint, Message, dial
from tests.wait import until

CALLEE = f"{ABROAD}@a.example"
OTHER, SCANNER = "127.0.0.5", "127.0.0.6"
OVERLOAD_S = 60.0
"""Of `noc status` no test asks how it ends: nobody syncs this world, which is an ALARM after a while."""


@pytest.fixture(scope="module")
def shared() -> Iterator[Edge]:
    """Run one node for all nights that it comes through."""
    with running_edge() as running:
        yield running


@pytest.fixture
def edge(shared: Edge) -> Iterator[Edge]:
    """Give it; afterwards nothing is ordered or held, and Python may not have failed."""
    yield shared
    shared.wait_idle()
    assert shared.node.noc("quarantines")["quarantines"] == shared.node.noc("traces")["traces"] == []
    assert shared.node.counter("exceptions") == 0, shared.node.alarms
    for carrier in (shared.acme, shared.bell):
        drained(carrier, 0.05)


def rehearsed(title: str, edge: Edge, **words: object) -> AbstractContextManager[Night]:
    return night(title, {"TANDEM_CTL": f"unix:{edge.node.ctl}", "REDIS_URL": edge.redis.url}, **words)


def outcome(edge: Edge, carrier: Endpoint | None = None, host: str = CALLER, status: int = 486) -> int:
    """Return how a call ends. carrier: who gets it, and answers so; None = nobody."""
    with edge.phone(host) as phone:
        call = dial(phone, CALLEE)
        if carrier is not None:
            invite = carrier.wait_request("INVITE")
            carrier.send(carrier.reply(invite, status, "No"))
            carrier.wait_request("ACK")
        final = call.final()
        phone.ack(call.invite, final)
        return final.status


def until_heard(edge: Edge, *, is_ordered: bool) -> None:
    """Wait until the workers know that something is ordered, or that nothing is any more."""

    def is_heard() -> bool:
        told = edge.node.kamcmd("htable.get", "noc", "configuration").partition("value: ")[2].splitlines()[0]
        return (" " in told.strip()) == is_ordered

    until(is_heard, SOON_S, "the workers to hear of it")


def test_a_carrier_is_down() -> None:
    """Three OPTIONS get no answer; calls go to the next carrier, and back when it answers."""
    with running_edge(SHORT) as edge, rehearsed("A carrier is down", edge) as bad:
        edge.writer.write({keys.PEERS: Peers((ACME, BELL))})
        edge.change(ACME_1, probe=True)
        until(lambda: edge.node.noc("status")["down_servers"], LONG_S * 4, "three times no answer")

        bad.shows("noc peers", f"{ACME_1} acme/one down")
        bad.shows("noc status", f"servers passed over {ACME_1}", status=None)
        assert outcome(edge, edge.bell) == 486, "the next one has the calls"

        drained(edge.acme)
        edge.acme.send(edge.acme.reply(edge.acme.wait_request("OPTIONS"), 200, "OK"))
        bad.shows("noc status", "servers passed over none", status=None)
        bad.shows("noc peers", f"{ACME_1} acme/one up")
        assert outcome(edge, edge.acme) == 486


def test_a_carrier_answers_badly(edge: Edge) -> None:
    """It refuses what the next one takes."""
    with rehearsed("A carrier answers badly", edge, server=ACME_1, line=ALICE, number=ABROAD) as bad:
        with edge.phone(CALLER) as phone:
            call = dial(phone, CALLEE)
            edge.acme.send(edge.acme.reply(edge.acme.wait_request("INVITE"), 500, "No"))
            edge.acme.wait_request("ACK")
            edge.bell.send(edge.bell.reply(edge.bell.wait_request("INVITE"), 200, "OK"))
            final = call.final()
            edge.bell.wait_request("ACK")
            bad.shows("noc carriers", "500 1", f"{BELL_1} 1 1 100.0 %")

            assert bad.run("noc quarantine").startswith(f"server {ACME_1}: until 2")
            until_heard(edge, is_ordered=True)
            told = json.loads(bad.run("noc explain"))
            assert [each["server_id"] for each in told["targets"]] == [BELL_1]
            assert any("quarantine" in sentence for sentence in told["trace"])
            phone.send(phone.within("BYE", final, cseq=50))
            confirm(edge.bell)
        assert outcome(edge, edge.bell) == 486, "and so do calls"

        assert bad.run("noc release") == f"server {ACME_1}: ended\n"
        until_heard(edge, is_ordered=False)
        until(lambda: edge.node.noc("status")["down_servers"] == [], OVERLOAD_S, "the node to try it again")
        assert outcome(edge, edge.acme) == 486


def test_fraud(edge: Edge) -> None:
    """One account has a call it should not have; it is ended, and no new one comes, until the customer has spoken."""
    with rehearsed("Fraud", edge, account=CUSTOMER) as bad, edge.phone(CALLER) as phone:
        _, final = talking(edge, phone)
        bad.shows("noc tenants", f"\n{CUSTOMER} ")
        bad.run("kamcmd -s $TANDEM_CTL evrexec.run")
        assert '"why": "calls to islands"' in bad.run("kamcmd -s $TANDEM_CTL htable.get")
        bad.shows("noc calls", "1 call", ALICE, ABROAD, f"> {CUSTOMER}")

        assert bad.run("noc quarantine").startswith(f"account {CUSTOMER}: until 2")
        until_heard(edge, is_ordered=True)
        assert outcome(edge) == 403
        assert json.loads(bad.run("noc end"))["ending"] == 1
        for side in (phone, edge.acme):
            confirm(side)
        assert edge.event(final.get("Call-ID")).end.ended_by == "noc"
        bad.shows("noc calls", "0 calls")

        assert bad.run("noc release") == f"account {CUSTOMER}: ended\n"
        until_heard(edge, is_ordered=False)
        assert outcome(edge, edge.acme) == 486


def strange(edge: Edge, host: str) -> int:
    """Return what a call for nobody of ours gets."""
    with edge.phone(host) as phone:
        text = phone.request("INVITE", "sip:100@else.example", caller="sip:100@else.example")
        phone.send(text)
        final = phone.final()
        phone.ack(text, final)
        return final.status


def test_a_scanner(edge: Edge) -> None:
    """Many are refused from one address; then all from there are, and nobody else."""
    with rehearsed("A scanner", edge, address=SCANNER) as bad:
        assert {strange(edge, SCANNER) for _ in range(12)} == {403}
        bad.shows("noc refusals", f"\n{SCANNER} ")

        assert bad.run("noc quarantine source").startswith(f"source {SCANNER}")
        until_heard(edge, is_ordered=True)
        bad.shows("noc quarantines", f"source {SCANNER}", "scanner")
        assert outcome_at_once(edge, SCANNER).start == "SIP/2.0 403 Quarantined"
        assert outcome(edge, edge.acme, OTHER) == 486

        assert bad.run("noc release").endswith(": ended\n")
        until_heard(edge, is_ordered=False)
        assert outcome_at_once(edge, SCANNER).status == 407


def outcome_at_once(edge: Edge, host: str) -> Message:
    """Return the first final answer to an INVITE of ours."""
    with edge.phone(host) as phone:
        text = phone.request("INVITE", f"sip:{CALLEE}")
        phone.send(text)
        final = phone.final()
        phone.ack(text, final)
        return final


def count(page: str, name: str) -> int:
    """Return the number that stands behind a name."""
    (found,) = [line.split()[-1] for line in page.splitlines() if line.split()[:1] in ([name], [f"usrloc:{name}"])]
    return int(found)


def test_a_storm_of_registrations(edge: Edge) -> None:
    """Phones come back, and somebody guesses: counters tell them apart; the guesser is kept out, phones are not."""
    with rehearsed("A storm of registrations", edge, address=SCANNER) as bad, Phone(edge.node.address, ALICE) as phone:
        before = bad.shows("noc counters", "challenged")
        assert [phone.register().status for _ in range(6)] == [200] * 6
        with Phone(edge.node.address, ALICE, host=SCANNER) as guesser:
            assert {guesser.register(password="a guess").status for _ in range(6)} == {401}
            after = bad.shows("noc counters", "challenged")
            rise = [count(after, name) - count(before, name) for name in ("registered", "challenged")]
            assert rise[0] == 6 < rise[1]
            bad.shows("noc refusals", SCANNER, "register:challenged")
            assert count(bad.shows("kamcmd", "registered_users"), "registered_users") >= 1

            assert bad.run("noc quarantine").startswith(f"source {SCANNER}")
            until_heard(edge, is_ordered=True)
            assert guesser.register(password="a guess").status == 403
            assert phone.register().status == 200
            calm = count(bad.shows("noc counters"), "challenged")
            guesser.register(password="a guess")
            assert count(bad.shows("noc counters"), "challenged") == calm
        assert bad.run("noc release").endswith(": ended\n")
        until_heard(edge, is_ordered=False)
        assert phone.register(expires="0").status == 200


def told(bad: Night, name: str) -> int:
    """Return a number that the status has."""
    return count(bad.shows("noc status", name, status=None), name)


def test_overload() -> None:
    """Workers stand still while datagrams wait: new calls are shed, until nothing waits any more."""
    with running_edge({"TANDEM_SHED_DELAY_MS": "150"}) as edge, rehearsed("Overload", edge) as bad:
        with standing_still(edge):
            until(lambda: admitted(edge) <= 20, OVERLOAD_S, "the node to shed nearly all")
            until(lambda: told(bad, "admitted_percent") < 100, SOON_S, "the NOC to be told")
            assert told(bad, "sip_wait_ms") > 150
        answers = {outcome_at_once(edge, CALLER).status for _ in range(20)}
        assert 503 in answers
        bad.shows("noc traffic", "shed")
        until(lambda: count(bad.shows("noc traffic", "shed"), "shed") > 0, SOON_S, "the shed calls to be counted")
        bad.shows("noc times", "hold", "read")

        until(lambda: admitted(edge) == 100, OVERLOAD_S, "the end of the overload")
        bad.shows("noc status", "admitted_percent 100", status=None)
        assert outcome_at_once(edge, CALLER).status == 407


def test_a_node_has_to_go(edge: Edge) -> None:
    """It takes no new calls, its last one is ended; then it serves again."""
    with rehearsed("A node has to go", edge, seconds=0) as bad, edge.phone(CALLER) as phone:
        _, final = talking(edge, phone)
        bad.run("noc drain on")
        refused = outcome_at_once(edge, CALLER)
        assert (refused.status, refused.get("Retry-After")) == (503, "5")
        bad.shows("noc calls", "1 call", ALICE)
        bad.run("noc end")
        for side in (phone, edge.acme):
            confirm(side)
        assert edge.event(final.get("Call-ID")).end.ended_by == "noc"
        bad.shows("noc calls", "0 calls")

        bad.run("noc drain off")
        assert outcome_at_once(edge, CALLER).status == 407


def test_my_calls_fail(edge: Edge) -> None:
    """The line blocks the number that its owner dials: both commands say so, and that it is over."""
    key = keys.subscriber(ALICE)
    with rehearsed('"My calls fail"', edge, line=ALICE, number=ABROAD) as bad:
        tell(edge, key, blocked_out=("33*",))
        try:
            told = json.loads(bad.run("noc explain"))
            assert (told["verdict"], told["reason"], told["status"]) == ("refuse", "blocked_out", 403)
            assert bad.run("noc trace").startswith(f"line {ALICE}: until 2")
            until_heard(edge, is_ordered=True)
            assert outcome(edge) == 403
            bad.shows("noc tenants", "blocked_out 1")
            traced = [line.partition("trace {")[2] for line in edge.node.log.splitlines() if "trace {" in line]
            assert json.loads("{" + traced[-1])["reason"] == "blocked_out"
        finally:
            tell(edge, key, blocked_out=())
        assert json.loads(bad.run("noc explain"))["verdict"] == "route"
        assert outcome(edge, edge.acme) == 486
        assert bad.run("noc untrace") == f"line {ALICE}: ended\n"
        until_heard(edge, is_ordered=False)


def tell(edge: Edge, key: str, **fields: object) -> None:
    """Give a record other values, from the next call on."""
    edge.world.change(key, **fields)
    edge.writer.write({key: edge.world.records[key]})
    edge.writer.finish()
