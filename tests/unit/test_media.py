"""Whose sound is relayed, and what the relay is told of a call."""

from __future__ import annotations

from itertools import count

import pytest

from kemi import keys
from kemi.adapters import ksr_media, ksr_plan, ksr_sides
from kemi.core.media import peer_of, phone_of
from kemi.core.outcome import Route
from kemi.core.sides import CALLEE, CALLER, Side
from kemi.records import PeeringGroup
from tests.fakes.ksr import FakeKsr
from tests.fakes.world import ABROAD, BOB_NUMBER, CAROL, CUSTOMER, DEALER, OWN, RESELLER, World, from_peer, invite

RID = "0123456789abcdef0123456789abcdef"
FLAGS = "replace-origin replace-session-connection ICE=remove"
HERE = "192.0.2.1"
TO_SOURCE = "SIP-source-address"
STRICT = "strict-source endpoint-learning-heuristic"
SDP = "v=0\r\no=- 1 1 IN IP4 192.0.2.77\r\ns=-\r\nc=IN IP4 192.0.2.77\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n"


class Relay:
    """Stands for Kamailio's module; says yes unless it is dead."""

    def __init__(self, *, is_dead: bool = False) -> None:
        self.asked: list[tuple[str, str]] = []
        self._answer = -1 if is_dead else 1

    def rtpengine_offer(self, flags: str, /) -> int:
        """Note it; here and below."""
        self.asked.append(("offer", flags))
        return self._answer

    def rtpengine_answer(self, flags: str, /) -> int:
        """As above."""
        self.asked.append(("answer", flags))
        return self._answer

    def rtpengine_delete(self, flags: str, /) -> int:
        """As above."""
        self.asked.append(("delete", flags))
        return self._answer


class RelayingKsr(FakeKsr):
    """A Kamailio with the module, in an INVITE with a description of sound, or without."""

    def __init__(self, *, is_dead: bool = False, has_sdp: bool = True) -> None:
        super().__init__()
        self.rtpengine = Relay(is_dead=is_dead)
        self.pvs |= {"$cT": "application/sdp" if has_sdp else "", "$tt": "b1", "$rb": SDP}

    def receives(self, method: str, *, has_sdp: bool) -> None:
        """Let a request inside the call be under the worker's hands."""
        self.method = method
        self.pvs["$cT"] = "Application/SDP" if has_sdp else ""


@pytest.mark.parametrize(
    ("asks", "is_relayed"),
    [
        ({}, False),
        ({CUSTOMER: "relay"}, True),
        ({RESELLER: "relay"}, True),  # inherited
        ({RESELLER: "relay", DEALER: "direct"}, False),  # the nearest that says anything
        ({RESELLER: "direct", CUSTOMER: "relay"}, True),
    ],
)
def test_the_nearest_account_that_says_anything_decides(asks: dict[int, str], is_relayed: bool) -> None:
    world = World()
    for account, media in asks.items():
        world.change(keys.account(account), media=media)
    for call in (invite(), invite(CAROL, BOB_NUMBER), from_peer()):  # out; to its line from elsewhere; from a carrier
        decision = world.decide(call)
        assert isinstance(decision, Route), decision
        expected = is_relayed or (call.from_uri.user == "carol" and asks.get(RESELLER) == "relay")
        assert decision.media is expected
        assert ("its sound goes through the relay" in decision.trace) is expected


def test_a_neighbour_that_asks_is_no_matter_of_a_call_it_has_no_part_in() -> None:
    world = World()
    world.change(keys.account(CUSTOMER), media="relay")
    decision = world.decide(invite(CAROL, ABROAD))
    assert isinstance(decision, Route)
    assert not decision.media


def test_a_call_is_offered_branch_by_branch_and_forgotten_by_its_own_id() -> None:
    ksr = RelayingKsr()
    assert ksr_media.begin(ksr, RID, is_urgent=False)
    assert ksr_media.offer(ksr)
    ksr_media.end(ksr, RID)
    ksr_media.end(ksr, RID)  # nothing more
    assert ksr.rtpengine.asked == [
        ("offer", f"call-id={RID} via-branch=extra {FLAGS} {STRICT} SIP-source-address"),
        ("delete", f"call-id={RID} from-tag=tag-1 delete-delay=0 {FLAGS}"),
    ]
    assert ksr.tables["media"] == {}


@pytest.mark.parametrize(
    ("calling", "called", "is_believed"),
    [((), (), False), ((HERE, "192.0.2.9"), (), True), ((), (HERE,), False)],
)
def test_only_of_a_carrier_that_calls_the_address_in_the_description_is_believed(
    calling: tuple[str, ...],
    called: tuple[str, ...],
    is_believed: bool,
) -> None:
    """Not of a phone that forges the address of the carrier which it calls."""
    ksr = RelayingKsr()
    ksr_media.begin(ksr, RID, is_urgent=False, calling=calling, called=called)
    assert ksr_media.offer(ksr)
    ksr.receives("INVITE", has_sdp=True)
    assert ksr_media.pass_on(ksr, RID, "route", CALLER)
    assert [TO_SOURCE in flags for _, flags in ksr.rtpengine.asked] == [not is_believed] * 2


@pytest.mark.parametrize(("server_id", "is_believed"), [(7, True), (0, False)])
def test_only_of_a_branch_to_a_carrier_the_address_in_the_description_is_believed(
    server_id: int, is_believed: bool
) -> None:
    """Not of a phone that forges the address of a carrier which rings beside it or after it; nor once it talks."""
    ksr = RelayingKsr()
    ksr_media.begin(ksr, RID, is_urgent=False, called=(HERE,))
    ksr_plan.note(ksr, 0, ksr_plan.Asked(server_id, 0, 0, 0, 20, 20_000, sent_to=HERE))
    for status in (183, 200):
        ksr.pvs["$rs"] = status
        if status == 200:
            ksr_sides.put(ksr, RID, CALLEE, Side("b1", "sip:b@x", HERE, "sip:192.0.2.1"))
        ksr_media.heard(ksr)
    ksr.receives("INVITE", has_sdp=True)
    assert ksr_media.pass_on(ksr, RID, "route", CALLEE)
    assert [TO_SOURCE in flags for _, flags in ksr.rtpengine.asked] == [not is_believed] * 3


OTHER = "192.0.2.9"


@pytest.mark.parametrize(
    ("calling", "sdp", "is_believed"),
    [
        (peer_of(HERE), SDP, True),
        (peer_of(HERE, ("192.0.2.77",)), SDP, True),  # a host of its group
        (peer_of(HERE, ()), SDP.replace("192.0.2.77", HERE), True),  # its own address
        (peer_of(HERE, (HERE, OTHER)), SDP, False),
        (peer_of(HERE, (HERE, "192.0.2.77")), f"{SDP}c=IN IP4 192.0.2.78\r\n", False),  # not all of them are
        (phone_of(HERE), SDP, False),
    ],
)
def test_a_tenants_carrier_names_hosts_of_its_own_group_or_is_taken_for_a_phone(
    calling: str, sdp: str, is_believed: bool
) -> None:
    ksr = RelayingKsr()
    ksr.pvs["$rb"] = sdp
    ksr_media.begin(ksr, RID, is_urgent=False, calling=(calling,))
    assert ksr_media.offer(ksr)
    assert [TO_SOURCE in flags for _, flags in ksr.rtpengine.asked] == [not is_believed]


@pytest.mark.parametrize("who", [phone_of(OTHER), peer_of(OTHER, (OTHER, HERE))])
@pytest.mark.parametrize("side", [CALLER, CALLEE])
def test_who_speaks_from_elsewhere_inside_a_call_names_no_place_at_all(who: str, side: str) -> None:
    """Neither a phone nor a tenant's carrier: the source may be another carrier's address, forged."""
    ksr = RelayingKsr()
    ksr_media.begin(ksr, RID, is_urgent=False, calling=(who,), called=(who,))
    ksr.receives("INVITE", has_sdp=True)
    assert not ksr_media.pass_on(ksr, RID, "route", side)
    assert ksr.rtpengine.asked == []


@pytest.mark.parametrize(("source", "is_heard"), [(HERE, True), (OTHER, False)])
@pytest.mark.parametrize("du", ["sip:192.0.2.1:5060;transport=udp", ""])
def test_a_phone_is_heard_from_where_its_branch_was_sent(source: str, is_heard: bool, du: str) -> None:
    """To where its REGISTER came from, which is no matter of its R-URI; and so for the rest of the call."""
    ksr = RelayingKsr(has_sdp=False)
    ksr.pvs |= {
        "$du": du,
        "$ru": "sip:bob@10.0.0.9:5060" if du else "sip:bob@192.0.2.1:5060",
        "$rs": 183,
        "$si": source,
    }
    ksr_media.begin(ksr, RID, is_urgent=False, called=(OTHER, phone_of("")))  # where a carrier may come after it
    ksr_plan.note(ksr, 0, ksr_plan.Asked(0, 0, 0, 0, 20, 20_000))
    assert ksr_media.offer(ksr)
    ksr.pvs["$cT"] = "application/sdp"
    ksr_media.heard(ksr)
    ksr_sides.put(ksr, RID, CALLEE, Side("b1", "sip:b@x", HERE, "sip:192.0.2.1"))
    ksr.pvs["$rs"] = 200
    ksr_media.heard(ksr)
    ksr.receives("INVITE", has_sdp=True)
    assert ksr_media.pass_on(ksr, RID, "route", CALLEE) is is_heard
    assert [TO_SOURCE in flags for _, flags in ksr.rtpengine.asked] == [True] * (3 if is_heard else 0)


def test_a_call_of_a_tenants_carrier_tells_where_its_servers_are() -> None:
    """Only where its sound is relayed; the platform's carriers may have gateways that nobody has written down."""
    world = World()
    world.change(keys.account(RESELLER), carriers="own_first")
    assert _routed(world).gateways == ()
    world.change(keys.account(RESELLER), carriers="own_first", media="relay")
    group = world.records[keys.peering_group(OWN)]
    assert isinstance(group, PeeringGroup)
    hosts = tuple(server.address for server in group.servers)
    assert _routed(world).gateways == ((OWN, hosts),)


def _routed(world: World) -> Route:
    decision = world.decide(invite())
    assert isinstance(decision, Route), decision
    return decision


@pytest.mark.parametrize(("sender_is", "is_believed"), [(CALLER, True), (CALLEE, False)])
def test_a_reply_inside_a_call_is_of_the_other_side(sender_is: str, is_believed: bool) -> None:
    ksr = RelayingKsr()
    ksr_media.begin(ksr, RID, is_urgent=False, called=(HERE,))
    ksr.receives("INVITE", has_sdp=False)
    assert ksr_media.pass_on(ksr, RID, "route", sender_is)
    ksr.pvs |= {"$rs": 200, "$cT": "application/sdp"}
    ksr_media.heard_within(ksr)
    assert [TO_SOURCE in flags for _, flags in ksr.rtpengine.asked] == [not is_believed]


@pytest.mark.parametrize("port", [22, 5060, 5070, 2223, 2222])  # 5070: ours; beside 2222 is the relay's
def test_a_description_that_names_a_port_of_ours_is_never_shown_to_the_relay(port: int) -> None:
    ksr = RelayingKsr()
    ksr.pvs |= {"$def(RTPENGINE)": '"udp:127.0.0.1:2223"', "$def(LISTEN_MORE)": "udp:192.0.2.9:5060 udp:192.0.2.9:5070"}
    ksr.pvs["$rb"] = SDP.replace("4000", str(port))
    ksr_media.begin(ksr, RID, is_urgent=False)
    assert not ksr_media.offer(ksr)
    assert ksr_media.is_lost(ksr)
    assert ksr.rtpengine.asked == []


def test_a_tag_that_is_no_token_is_never_written_into_what_the_module_reads() -> None:
    ksr = RelayingKsr()
    ksr.pvs["$ft"] = "x call-id=other"
    ksr_media.begin(ksr, RID, is_urgent=False)
    ksr_media.end(ksr, RID)
    assert ksr.rtpengine.asked == []


@pytest.mark.parametrize(("is_urgent", "goes"), [(False, False), (True, True)])
def test_only_an_urgent_call_goes_without_a_relay_that_says_nothing(is_urgent: bool, goes: bool) -> None:
    ksr = RelayingKsr(is_dead=True)
    assert ksr_media.begin(ksr, RID, is_urgent=is_urgent)
    assert ksr_media.offer(ksr) is goes
    assert ksr_media.is_lost(ksr) is not goes
    assert ksr.statistics_sum["media_lost"] == 1


def test_who_waits_in_vain_does_so_for_the_whole_node(monkeypatch: pytest.MonkeyPatch) -> None:
    """A relay that refuses at once, as a description that it cannot read, is asked again for the next call."""
    ksr = RelayingKsr(is_dead=True)
    ksr_media.begin(ksr, RID, is_urgent=False)
    assert not ksr_media.offer(ksr)
    clock = count(0, ksr_media.VAIN_NS)
    monkeypatch.setattr(ksr_media, "monotonic_ns", lambda: next(clock))
    assert not ksr_media.offer(ksr)
    assert not ksr_media.offer(ksr)
    ksr_media.end(ksr, RID)
    assert len(ksr.rtpengine.asked) == 2
    assert ksr.tables["media"] == {ksr_media.SILENT: "1"}


def test_a_node_without_the_module_has_no_relay() -> None:
    ksr = FakeKsr()
    assert not ksr_media.begin(ksr, RID, is_urgent=False)
    assert ksr_media.offer(ksr)
    assert ksr_media.pass_on(ksr, RID, "route", CALLER)
    ksr_media.end(ksr, RID)
    assert ksr.statistics_sum == {"media_lost": 1}


@pytest.mark.parametrize(
    ("method", "has_sdp", "is_late", "is_answered", "asked"),
    [
        ("INVITE", True, False, True, ["offer"]),
        ("INVITE", False, False, True, []),
        ("UPDATE", True, False, False, ["offer"]),
        ("PRACK", True, False, False, ["offer"]),
        ("PRACK", True, True, False, ["answer"]),  # the offer came with who rings
        ("PRACK", False, True, False, []),
        ("ACK", True, True, True, ["answer"]),
        ("ACK", False, False, True, []),
        ("INFO", True, False, True, []),
        ("BYE", True, False, True, []),
    ],
)
def test_what_is_said_inside_a_call_is_an_offer_or_an_answer(
    method: str,
    has_sdp: bool,
    is_late: bool,
    is_answered: bool,
    asked: list[str],
) -> None:
    ksr = RelayingKsr(has_sdp=not is_late)
    ksr_media.begin(ksr, RID, is_urgent=False)
    for which in (CALLER, CALLEE) if is_answered else (CALLER,):
        ksr_sides.put(ksr, RID, which, Side("b1", "sip:b@x", "192.0.2.1", "sip:192.0.2.1"))
    ksr.receives(method, has_sdp=has_sdp)
    assert ksr_media.pass_on(ksr, RID, "route", CALLER)
    assert [operation for operation, _ in ksr.rtpengine.asked] == asked


@pytest.mark.parametrize(("method", "goes"), [("INVITE", False), ("UPDATE", False), ("ACK", True)])
def test_without_the_relay_a_new_offer_is_refused_and_an_answer_passes(method: str, goes: bool) -> None:
    ksr = RelayingKsr(is_dead=True)
    ksr_media.begin(ksr, RID, is_urgent=False)
    ksr.receives(method, has_sdp=True)
    assert ksr_media.pass_on(ksr, RID, "route", CALLER) is goes
