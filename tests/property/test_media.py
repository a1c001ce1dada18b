"""Whatever a description says, sound goes to where its message came from, or to one other machine's own port."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kemi.core.media import AS_TOLD, NOWHERE, TO_SOURCE, Own, own, way

OURS = own(("udp:198.51.100.1:5070 tcp:[2001:DB8::1]:5062", '"udp:127.0.0.1:2223"'))
SOURCE = "192.0.2.7"
HEAD = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\n"
BAD = ("127.0.0.1", "0.1.2.3", "224.0.0.9", "169.254.1.1", "255.255.255.255", "198.51.100.1", "::1", "::ffff:127.0.0.1")
NONE = str(IPv4Address(0))
BAD6 = ("fe80::1", "ff02::1", "2001:db8:0::1")
ICE = "a=ice-ufrag:x\r\n"
CANDIDATE = "a=candidate:1 1 UDP 9 10.0.0.9 6000 typ host\r\n"
pieces = st.sampled_from(
    (
        *("m=audio ", "c=IN IP4 ", "c=IN IP6 ", "a=rtcp:", "a=ice-ufrag:x", "a=candidate:1 1 UDP 1 ", " typ host", " "),
        *("\r\n", "\n", "\r", "\n\r", "/", "/2", "0", "70", "6000", "5060", "5059", " RTP/AVP 8", "\x00", " IN IP4 "),
        *(SOURCE, "203.0.113.5", "host.example", NONE, *BAD, *BAD6),
    )
)
texts = st.lists(st.one_of(pieces, st.text(max_size=3)), max_size=30).map("".join)


def _sdp(host: str = "203.0.113.5", port: int | str = 6000, more: str = "") -> str:
    kind = "IP6" if ":" in host else "IP4"
    return f"{HEAD}c=IN {kind} {host}\r\nt=0 0\r\nm=audio {port} RTP/AVP 8\r\n{more}"


def _as_the_relay_reads(sdp: str) -> list[str]:
    """Return its lines: a line feed alone ends one, and returns before one are passed over."""
    return [line.lstrip("\r") for line in sdp.split("\n")]


@given(sdp=st.one_of(texts, texts.map(lambda more: _sdp(more=more))), is_peer=st.booleans())
@example(sdp=_sdp(more="\n\rm=audio 5060 RTP/AVP 8"), is_peer=False)
def test_no_garbage_leads_elsewhere(sdp: str, is_peer: bool) -> None:
    found = way(sdp, SOURCE, OURS, is_peer=is_peer)
    assert found in {NOWHERE, TO_SOURCE, AS_TOLD}
    if found == NOWHERE:
        return
    lines = _as_the_relay_reads(sdp)
    ports = [line.split(" ")[1].partition("/")[0] for line in lines if line.startswith("m=")]
    assert ports
    assert all(port == "0" or int(port) >= 1024 for port in map(str.strip, ports))
    assert not {int(port) for port in ports} & {5059, 5060, 5061, 5062, 5069, 5070, 2222, 2223}
    if found == AS_TOLD:
        hosts = {line.split()[2] for line in lines if line.startswith("c=")}
        assert hosts
        assert not hosts & {*BAD, *BAD6}
        assert is_peer or {str(ip_address(host)) for host in hosts} == {SOURCE}


@given(port=st.integers(0, 70_000), is_peer=st.booleans())
def test_ports_of_sip_of_ours_and_of_the_system_are_nobodys(port: int, is_peer: bool) -> None:
    taken = {5060, 5061, 5062, 5070, 2223}
    is_good = port == 0 or (1024 <= port < 65_535 and not {port, port + 1} & taken)
    assert (way(_sdp(port=port), SOURCE, OURS, is_peer=is_peer) != NOWHERE) is is_good


@pytest.mark.parametrize("host", [*BAD, *BAD6])
def test_a_carrier_names_one_other_machine(host: str) -> None:
    assert way(_sdp(host), SOURCE, OURS, is_peer=True) == NOWHERE
    assert way(_sdp(host), SOURCE, OURS, is_peer=False) == TO_SOURCE
    assert way(_sdp(host), host, OURS, is_peer=True) == AS_TOLD  # it is there itself
    assert way(_sdp(more=f"c=IN IP4 {host}\r\n"), SOURCE, OURS, is_peer=True) == NOWHERE
    assert way(_sdp(more=f"a=rtcp:6001 IN IP4 {host}\r\n"), SOURCE, OURS, is_peer=True) == NOWHERE


@pytest.mark.parametrize(
    ("sdp", "of_peer", "of_phone"),
    [
        (_sdp(), AS_TOLD, TO_SOURCE),
        (_sdp("2001:db8::7"), AS_TOLD, TO_SOURCE),
        (_sdp("10.1.1.1"), AS_TOLD, TO_SOURCE),  # a carrier in a network of its own
        (_sdp(NONE), TO_SOURCE, TO_SOURCE),  # on hold, as RFC 2543 had it
        (_sdp(more="m=video 0 RTP/AVP 96\r\n"), AS_TOLD, TO_SOURCE),
        (_sdp(more="m=video 6002/2 RTP/AVP 96\r\nc=IN IP4 203.0.113.6\r\n"), AS_TOLD, TO_SOURCE),
        (_sdp(more="m=video 5056/3 RTP/AVP 96\r\n"), NOWHERE, NOWHERE),
        (_sdp(more="m=video 6002/11 RTP/AVP 96\r\n"), NOWHERE, NOWHERE),
        (_sdp(more="m=video 6002/0 RTP/AVP 96\r\n"), NOWHERE, NOWHERE),
        (_sdp(more="a=rtcp:5060\r\n"), NOWHERE, NOWHERE),
        (_sdp(more="a=rtcp:6001\r\n"), AS_TOLD, TO_SOURCE),
        (_sdp("host.example"), NOWHERE, NOWHERE),
        (_sdp("224.2.1.1/127"), NOWHERE, NOWHERE),
        (_sdp(port="+5060"), NOWHERE, NOWHERE),
        (HEAD + "m=audio 6000 RTP/AVP 8\r\n", NOWHERE, TO_SOURCE),
        (HEAD + "m=audio 6000 RTP/AVP 8\r\nm=audio 6002 RTP/AVP 8\r\nc=IN IP4 203.0.113.5\r\n", NOWHERE, TO_SOURCE),
        (HEAD + "m=audio 6000 RTP/AVP 8\r\nc=IN IP4 203.0.113.5\r\n", AS_TOLD, TO_SOURCE),
        (_sdp(more="a=ice-ufrag:x\r\n"), AS_TOLD, NOWHERE),  # the relay would believe the phone
        (_sdp(SOURCE, more="a=ice-ufrag:x\r\n"), AS_TOLD, AS_TOLD),
        (_sdp(NONE, more="a=ice-ufrag:x\r\n"), NOWHERE, NOWHERE),
        (_sdp(SOURCE, more=f"a=ice-ufrag:x\r\na=candidate:1 1 UDP 9 {SOURCE} 6000 typ host\r\n"), AS_TOLD, AS_TOLD),
        (_sdp(SOURCE, more=f"{ICE}a=candidate:1 1 UDP 9 10.0.0.9 6000 typ host\r\n"), AS_TOLD, AS_TOLD),
        (_sdp(SOURCE, more=f"{ICE}a=candidate:1 1 UDP 9 2001:db8::9 6000 typ host\r\n"), AS_TOLD, AS_TOLD),
        (_sdp("10.0.0.9", more=f"{ICE}a=candidate:1 1 UDP 9 {SOURCE} 6000 typ srflx\r\n"), AS_TOLD, NOWHERE),
        (_sdp(SOURCE, more=f"{ICE}a=candidate:1 1 UDP 9 10.0.0.9 5060 typ host\r\n"), NOWHERE, NOWHERE),
        (_sdp(SOURCE, more=f"{ICE}a=candidate:1 1 UDP 9 198.51.100.1 6000 typ host\r\n"), NOWHERE, NOWHERE),  # ours
        (_sdp(SOURCE, more=f"{ICE}a=candidate:1 1 tcp 9 10.0.0.9 9 typ host tcptype active\r\n"), AS_TOLD, AS_TOLD),
        (_sdp(SOURCE, more=ICE + CANDIDATE * 40), AS_TOLD, AS_TOLD),
        (_sdp(SOURCE, more=ICE + CANDIDATE * 41), NOWHERE, NOWHERE),
        (_sdp(SOURCE, more="a=ice-ufrag:x\r\na=candidate:1 1 UDP 9 127.0.0.1 2223 typ host\r\n"), NOWHERE, NOWHERE),
        (_sdp(SOURCE, more="a=candidate:1 1 UDP 9 10.0.0.9 9 typ host\r\n"), AS_TOLD, TO_SOURCE),  # nobody's
        ("", NOWHERE, NOWHERE),
        (HEAD, NOWHERE, NOWHERE),
    ],
)
def test_what_a_description_means(sdp: str, of_peer: str, of_phone: str) -> None:
    assert way(sdp, SOURCE, OURS, is_peer=True) == of_peer
    assert way(sdp, SOURCE, OURS, is_peer=False) == of_phone


def test_our_sockets_are_read_as_kamailio_is_given_them() -> None:
    assert Own(frozenset({"198.51.100.1", "2001:db8::1", "127.0.0.1"}), frozenset({5070, 5062, 2223})) == OURS
    assert own(("", "none")) == Own()
