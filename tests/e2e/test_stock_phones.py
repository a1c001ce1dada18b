"""Phones that nobody here has made: two of Debian's baresip register, talk and hang up over the whole stack."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.baresip import SOON_S, Baresip, running_baresip
from tests.wait import until
from tools.noc_ask import ask
from tools.scenario.observe import Watch
from tools.scenario.run import SYNC_DEADLINE_S, Endpoint
from tools.stack import plan
from tools.stack.stack import Stack

DIRECT, RELAYED, NEWEST = "direct.phones.example", "relayed.phones.example", "newest.phones.example"
NUMBERS: Final = {DIRECT: "887090000002", RELAYED: "887090000004", NEWEST: "887090000006"}
HOSTS: Final = ("127.1.209.1", "127.1.209.2")
RELAY: Final = "127.0.0.1"
TONES_HZ: Final = (440, 1_000)
FRAMES: Final = 50  # a second of sound
REGISTER_S: Final = 30  # the shortest that a line is granted
REGISTERED: Final = "200 OK () [1 binding]"

CUSTOMER: Final = """
select world.customer('phones-{name}', 'phones-reseller', 'retail', 10);
select world.domain('{name}.phones.example', 'phones-{name}');
select world.subscriber('alice@{name}.phones.example', 'phones-{name}', 'demo-secret', null);
select world.subscriber('bob@{name}.phones.example', 'phones-{name}', 'demo-secret', '{number}');
select world.did('{number}', 'bob@{name}.phones.example');
"""
WORLD: Final = f"""
select world.tariff('Tandem', 'phones', 'EUR', '88709', '0.03');
select world.reseller('phones-reseller', 'Tandem', 'phones', 50);
select world.tariff('phones-reseller', 'retail', 'EUR', '88709', '0.05');
{"".join(CUSTOMER.format(name=domain.partition(".")[0], number=number) for domain, number in NUMBERS.items())}
select world.domain_option('{DIRECT}', 'digest', 'md5');
select world.domain_option('{RELAYED}', 'digest', 'md5');
select world.domain_option('{NEWEST}', 'digest', 'sha256');
select world.account_option('phones-relayed', 'media', 'relay');
"""


@pytest.fixture(autouse=True)
def world(watch: Watch) -> None:
    """Load the world of the phones."""
    watch.load_world("phones-", WORLD)
    until(lambda: watch.unsynced() == 0, SYNC_DEADLINE_S, "sync to carry the world to Redis")


@pytest.mark.parametrize("hangs_up", ["caller", "called"])
def test_two_stock_phones_talk_and_either_hangs_up(endpoint: Endpoint, tmp_path: Path, hangs_up: str) -> None:
    """Each hears the other's tone, frame by frame, from where the other is."""
    with registered(endpoint, tmp_path, DIRECT) as (alice, bob):
        talk(alice, bob, DIRECT, hangs_up)
        assert [told_to_send_to(phone) for phone in (alice, bob)] == [{HOSTS[1]}, {HOSTS[0]}]


def test_their_sound_goes_through_the_relay_where_the_account_asks(
    endpoint: Endpoint, stack: Stack, tmp_path: Path
) -> None:
    """Both are told to send to the relay, and each hears the other all the same."""
    control = plan.environment(stack.layout)["TANDEM_CTL"]
    before = ask(control, "counters")["relayed"]
    with registered(endpoint, tmp_path, RELAYED) as (alice, bob):
        talk(alice, bob, RELAYED, "caller")
        assert [told_to_send_to(phone) for phone in (alice, bob)] == [{RELAY}, {RELAY}]
    assert ask(control, "counters")["relayed"] == before + 1


def test_a_stock_phone_registers_again_by_itself_and_is_called_again(endpoint: Endpoint, tmp_path: Path) -> None:
    """Before its registration ends it is renewed, and the phone is reached as before."""
    with registered(endpoint, tmp_path, DIRECT) as (alice, bob):
        talk(alice, bob, DIRECT, "called")
        bob.wait_told("REGISTER_OK", 1 + len(bob.told("REGISTER_OK")), REGISTER_S + SOON_S)
        talk(alice, bob, DIRECT, "caller")


def test_a_phone_that_knows_md5_only_gives_up_where_sha_256_is_asked_for(endpoint: Endpoint, tmp_path: Path) -> None:
    """Of the challenges baresip 1.0.0 reads MD5 only, so such a phone's line or domain has to ask for that."""
    with running_baresip(tmp_path / "alice", HOSTS[0], account("alice", NEWEST, endpoint.proxy), TONES_HZ[0]) as alice:
        until(lambda: "Register: Function not implemented" in alice.log, SOON_S, "the phone to give up")


@contextmanager
def registered(endpoint: Endpoint, folder: Path, domain: str) -> Iterator[tuple[Baresip, Baresip]]:
    """Run Alice's and Bob's phones."""
    with ExitStack() as running:
        alice, bob = (
            running.enter_context(running_baresip(folder / user, host, account(user, domain, endpoint.proxy), tone_hz))
            for user, host, tone_hz in zip(("alice", "bob"), HOSTS, TONES_HZ, strict=True)
        )
        for phone in (alice, bob):
            until(lambda phone=phone: REGISTERED in phone.log, SOON_S, f"the phone to register: {phone.log}")  # type: ignore[misc]
        yield alice, bob


def account(user: str, domain: str, proxy: str) -> str:
    """Return a phone's account."""
    return f'<sip:{user}@{domain}>;auth_user={user};auth_pass=demo-secret;outbound="sip:{proxy}";regint={REGISTER_S}'


def talk(alice: Baresip, bob: Baresip, domain: str, hangs_up: str) -> None:
    """Let Alice call Bob's number, and both hear a second of each other's tone."""
    calls = len(alice.packets())
    alice.do("dial", f"sip:{NUMBERS[domain]}@{domain}")
    bob.wait_told("CALL_INCOMING", calls + 1)
    bob.do("accept")
    for phone in (alice, bob):
        phone.wait_told("CALL_ESTABLISHED", calls + 1)
    until(lambda: min(alice.frames(), bob.frames()) >= FRAMES, 2 * SOON_S, "a second of sound on both sides")
    (alice if hangs_up == "caller" else bob).do("hangup")
    until(lambda: len(alice.packets()) == len(bob.packets()) == calls + 1, SOON_S, "the phones' count of packets")
    (sent, received), (other_sent, other_received) = alice.packets()[-1], bob.packets()[-1]
    assert FRAMES <= received <= other_sent
    assert FRAMES <= other_received <= sent
    assert (alice.heard().loudest(TONES_HZ), bob.heard().loudest(TONES_HZ)) == (TONES_HZ[1], TONES_HZ[0])


def told_to_send_to(phone: Baresip) -> set[str]:
    """Return the hosts that the phone was told to send its sound to."""
    return set(re.findall(r"starting RTCP with remote ([\d.]+):", phone.log))
