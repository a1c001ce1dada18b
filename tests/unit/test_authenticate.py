"""Digest authentication of calls and registrations."""

from __future__ import annotations

import pytest

from kemi.core.decide import decide
from kemi.core.digest import DUMMY_HA1
from kemi.core.outcome import Challenge, Need, Register, Reject, Route
from kemi.core.request import SipUri
from kemi.records import Lock
from tests.fakes.world import ALICE, NOW_MS, Answer, World, credentials, invite, register, request, uri

ELSEWHERE = "198.51.100.77"


def challenge(world: World, caller: str = ALICE, answer: Answer | None = None, **fields: int) -> Challenge:
    call = request(caller=caller)
    call = call._replace(credentials=credentials(call, answer)) if answer else call
    decision = world.decide(call, **fields)
    assert isinstance(decision, Challenge), decision
    return decision


def test_a_right_answer_identifies() -> None:
    """Both algorithms prove the password; no scheme of ours is preferred over a client's."""
    world = World()
    call = request()
    for algorithm in ("MD5", "SHA-256"):
        route = world.route(call._replace(credentials=credentials(call, Answer(algorithm=algorithm))))
        assert route.call.source == ALICE


def test_unknown_wrong_and_disabled_are_told_alike() -> None:
    """An outsider learns nothing about who exists: the challenges are equal, byte for byte."""
    world = World()
    world.change("sub:bob@a.example", status=1)
    wrong = challenge(world, ALICE, Answer(password="guess"))
    disabled = challenge(world, "bob@a.example", Answer())
    unknown = challenge(world, "mallory@a.example", Answer(password="guess"))
    assert wrong[:3] == disabled[:3] == unknown[:3]
    assert [decision.trace[-1].partition(": ")[2] for decision in (wrong, disabled, unknown)] == [
        "wrong password",
        "subscriber is not active",
        "no such subscriber",
    ]


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (Answer(username="bob"), "credentials are of another user than the From"),
        (Answer(realm="b.example"), "credentials are for another realm"),
        (Answer(uri="sip:44123@sip.example"), "digest uri is not the R-URI"),
        (Answer(nonce="f" * 32), "nonce is not ours"),
        (Answer(password="guess"), "wrong password"),
        (Answer(password="guess", made_ms=NOW_MS - 400_000), "wrong password"),
        (Answer(password="guess", asked_from=ELSEWHERE), "wrong password"),
    ],
)
def test_a_wrong_answer_is_challenged_afresh(answer: Answer, fault: str) -> None:
    """Each part of the answer is checked, and no fault lets the client believe that its password was right."""
    decision = challenge(World(), answer=answer)
    assert decision.trace == (f"digest of {ALICE}: {fault}",)
    assert decision.status == 407
    assert decision.header == "Proxy-Authenticate"
    assert all("stale" not in value for value in decision.values)


def test_no_credentials_are_challenged() -> None:
    """MD5 comes first; the realm is the domain of the From."""
    decision = challenge(World())
    assert [value.split("algorithm=")[1].split(",")[0] for value in decision.values] == ["MD5", "SHA-256"]
    assert all('realm="a.example"' in value for value in decision.values)


@pytest.mark.parametrize(("made_ms", "uses"), [(NOW_MS - 400_000, 1), (NOW_MS - 1000, 2), (NOW_MS - 1000, 0)])
def test_a_right_password_on_an_old_or_used_nonce_is_stale(made_ms: int, uses: int) -> None:
    """The client may answer again by itself; a replayed request gets no further than that."""
    decision = challenge(World(), answer=Answer(made_ms=made_ms), nonce_uses=uses)
    assert all("stale=true" in value for value in decision.values)


def test_what_another_network_was_asked_proves_nothing_here() -> None:
    """Nobody registers or calls with an address at which he hears nothing; who has moved answers once more."""
    world = World()
    decision = challenge(world, answer=Answer(asked_from=ELSEWHERE))
    assert all("stale=true" in value for value in decision.values)
    asked = register()._replace(credentials=credentials(register(), Answer(asked_from=ELSEWHERE)))
    assert isinstance(world.decide(asked), Challenge)


@pytest.mark.parametrize(
    ("ha1_md5", "ha1_sha256", "offered"), [("0" * 31 + "1", "", ["MD5"]), ("", "f" * 64, ["SHA-256"])]
)
def test_a_line_with_one_algorithm_is_offered_that_one(ha1_md5: str, ha1_sha256: str, offered: list[str]) -> None:
    """Else a client would answer with the other one and never get in."""
    world = World()
    world.change("sub:alice@a.example", ha1_md5=ha1_md5, ha1_sha256=ha1_sha256)
    assert [value.split("algorithm=")[1].split(",")[0] for value in challenge(world).values] == offered


def test_the_hash_of_nobody_opens_nothing() -> None:
    """A record without any hash, or with the one that stands for nobody, cannot log in."""
    world = World()
    for ha1_md5 in ("", DUMMY_HA1):
        world.change("sub:alice@a.example", ha1_md5=ha1_md5)
        assert isinstance(world.decide(invite()), Challenge)


@pytest.mark.parametrize("enabled", [None, False])
def test_a_domain_that_is_not_ours_is_refused(enabled: bool | None) -> None:
    """No challenge: there is no password to ask for. A disabled domain is told like an unknown one."""
    world = World()
    if enabled is None:
        del world.records["dom:a.example"]
    else:
        world.change("dom:a.example", enabled=enabled)
    refusal = world.refusal(invite())
    assert (refusal.reason, refusal.status) == ("relaying_denied", 403)
    assert refusal.call is not None
    assert (refusal.call.source, refusal.call.account_id) == ("", 0)


@pytest.mark.parametrize("user", ["", "x" * 65])
def test_a_name_that_cannot_exist_is_not_looked_up(user: str) -> None:
    """It is challenged like any unknown user, and fills no cache."""
    call = request(from_uri=uri(f"{user}@a.example"))
    assert isinstance(World().decide(call), Challenge)
    need = decide(call, World().facts(records={"masks": None, "emergency": None}))
    assert isinstance(need, Need)
    assert need.keys == ("dom:a.example",)


def test_a_registration_binds_the_own_address() -> None:
    """To must be the authenticated user; the challenge of a REGISTER is 401."""
    world = World()
    assert world.decide(register()) == Register(ALICE, (f"digest proves sub {ALICE}",), contacts_max=10)
    decision = world.decide(register()._replace(credentials=None))
    assert isinstance(decision, Challenge)
    assert (decision.status, decision.header) == (401, "WWW-Authenticate")
    refusal = world.decide(register(to_uri=SipUri("sip", "bob", "a.example")))
    assert isinstance(refusal, Reject)
    assert (refusal.reason, refusal.status, refusal.call) == ("foreign_registration", 403, None)


def test_a_registration_outlives_a_suspended_account() -> None:
    """The phone of a suspended customer stays registered, so that it rings again when the account is active."""
    world = World()
    world.change("acct:5", status=1)
    assert isinstance(world.decide(register()), Register)
    assert not isinstance(world.decide(invite()), Route)


@pytest.mark.parametrize("name", ["acct:5", "acct:2", "acct:1"])
def test_who_is_locked_for_everything_does_not_register(name: str) -> None:
    """Any level may be; it is told like a disabled line, with a right password on a fresh nonce or a used one."""
    world = World()
    wrong = world.decide(register()._replace(credentials=credentials(register(), Answer(password="guess"))))
    world.change(name, lock=Lock.GLOBAL)
    for uses in (1, 2):
        locked = world.decide(register(), nonce_uses=uses)
        assert isinstance(locked, Challenge)
        assert locked[:3] == wrong[:3]
        assert locked.trace[-1].endswith(f"account {name.removeprefix('acct:')} is locked: global")
    world.change(name, lock=Lock.ALL)
    assert isinstance(world.decide(register()), Register)


def test_a_line_that_is_locked_for_everything_does_not_register() -> None:
    """By its own lock, as by those of the accounts above it, and told alike."""
    world = World()
    wrong = world.decide(register()._replace(credentials=credentials(register(), Answer(password="guess"))))
    world.change(f"sub:{ALICE}", lock=Lock.GLOBAL)
    locked = world.decide(register())
    assert isinstance(locked, Challenge)
    assert locked[:3] == wrong[:3]
    assert locked.trace[-1].endswith("the line is locked: global")
    world.change(f"sub:{ALICE}", lock=Lock.ALL)
    assert isinstance(world.decide(register()), Register)


def test_the_password_of_a_suspended_line_counts_for_an_emergency_number_only() -> None:
    """And that of a closed one for nothing. Whatever fails is told alike, byte for byte."""
    world = World()
    wrong = challenge(world, ALICE, Answer(password="guess"))
    world.change(f"sub:{ALICE}", status=1)
    assert world.route(invite(callee="112")).emergency
    assert challenge(world, ALICE, Answer())[:3] == wrong[:3]
    assert isinstance(world.decide(register()), Challenge)
    urgent = invite(callee="112")
    for call in (
        urgent._replace(credentials=None),
        urgent._replace(credentials=credentials(urgent, Answer(nonce="f" * 32))),
    ):
        assert isinstance(world.decide(call), Challenge)
    guessed = urgent._replace(credentials=credentials(urgent, Answer(password="guess")))
    told, told_active = world.decide(guessed), World().decide(guessed)
    assert isinstance(told, Challenge)
    assert isinstance(told_active, Challenge)
    assert told[:3] == told_active[:3]
    world.change(f"sub:{ALICE}", status=2)
    assert isinstance(world.decide(urgent), Challenge)


def test_a_trusted_address_does_not_register() -> None:
    """Who is known by address still has to prove a registration."""
    decision = World().decide(register(source_ip="198.51.100.9")._replace(credentials=None))
    assert isinstance(decision, Challenge)
