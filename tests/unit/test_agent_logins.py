"""Our registrations: what is sent when, what each answer changes, and that no hash is shown."""

from __future__ import annotations

import pytest

from kemi.adapters.ksr_ask import Ask
from kemi.adapters.ksr_queue import LoginAnswered
from kemi.agent_logins import AGAIN_S, WAIT_S, Account, Logins
from kemi.agent_watch import NS, call_id_of
from kemi.core.digest import parse_credentials
from kemi.records import Login
from tests.unit.test_agent_watch import HOST, PLACE

NOW_MS = 1_770_000_000_000
LOGIN = Login("tandem", "acme.example", "0123456789abcdef" * 2, register_s=600, contact_user="t7")
ACCOUNT = Account(PLACE, LOGIN, "sip:tandem@acme.example", "sip:t7@198.51.100.1:5060")
CALL = call_id_of("token", 31, "register")
ASKS = ('Digest realm="acme.example", nonce="n1", qop="auth"',)


def asked() -> tuple[Logins, Ask]:
    """Return registrations of which the one has been sent."""
    logins = Logins()
    logins.follow((ACCOUNT,), "token", 0)
    (ask,) = logins.due(0)
    return logins, ask


def heard(logins: Logins, status: int, at_s: int = 0, **more: object) -> list[Ask]:
    cseq = next(kept.cseq for kept in logins._registrations.values())
    answer = LoginAnswered(CALL, status, ip=HOST, cseq=cseq)._replace(**more)  # type: ignore[arg-type]
    return logins.answered(answer, "c0ffee", at_s * NS, NOW_MS)


def state(logins: Logins) -> tuple[object, object]:
    (row,) = logins.rows(NOW_MS)
    return row["state"], row["status"]


def test_a_registration_names_the_account_and_where_we_are() -> None:
    _, ask = asked()

    assert (ask.method, ask.ruri, ask.uri) == ("REGISTER", "sip:acme.example", "sip:tandem@acme.example")
    assert ask.extra == ("Contact: <sip:t7@198.51.100.1:5060>", "Expires: 600")


@pytest.mark.parametrize(
    ("contacts", "expires", "again_s"),
    [
        ((), "", 300),
        ((), "120", 60),
        (("<sip:t7@198.51.100.1>;expires=40",), "120", 20),
        (('<sip:x@192.0.2.9>;expires=2, <sip:t7@198.51.100.1:5060>;q=1;EXPIRES="90"',), "", 45),
        (("<sip:x@192.0.2.9>;expires=2",), "", 300),
        ((), "0", 5),
        ((), "what", 300),
    ],
)
def test_it_is_refreshed_at_half_of_what_was_granted(contacts: tuple[str, ...], expires: str, again_s: int) -> None:
    logins, _ = asked()

    heard(logins, 200, contacts=contacts, expires=expires)

    assert logins.due((again_s - 1) * NS) == []
    (again,) = logins.due(again_s * NS)
    assert again.cseq == 2


def test_a_challenge_is_answered_once() -> None:
    logins, _ = asked()

    (again,) = heard(logins, 407, challenges=ASKS)
    assert heard(logins, 407, 1, challenges=ASKS) == []

    name, _, value = again.extra[-1].partition(": ")
    found = parse_credentials(value)
    assert found is not None
    assert (name, found.username, found.realm, found.nonce, found.nc) == (
        "Proxy-Authorization",
        "tandem",
        "acme.example",
        "n1",
        "00000001",
    )
    assert state(logins) == ("not registered", 407)
    assert logins.due(AGAIN_S * NS) == []
    assert len(logins.due((AGAIN_S + 1) * NS)) == 1


def test_a_refresh_may_be_challenged_again() -> None:
    logins, _ = asked()
    heard(logins, 401, challenges=ASKS)
    heard(logins, 200)
    logins.due(300 * NS)

    assert len(heard(logins, 401, 300, challenges=ASKS)) == 1


@pytest.mark.parametrize("status", [403, 404, 500, 302])
def test_a_refusal_is_shown_and_tried_again_in_a_minute(status: int) -> None:
    logins, _ = asked()

    assert heard(logins, status) == []

    assert state(logins) == ("not registered", status)
    assert logins.due((AGAIN_S - 1) * NS) == []
    assert len(logins.due(AGAIN_S * NS)) == 1


def test_a_refusal_of_a_refresh_does_not_end_what_is_granted() -> None:
    logins, _ = asked()
    heard(logins, 200)
    logins.due(300 * NS)

    heard(logins, 500, 300)

    assert state(logins) == ("registered", 500)


def test_no_answer_is_tried_again_in_a_minute() -> None:
    logins, _ = asked()

    assert logins.due(WAIT_S * NS) == []
    assert state(logins) == ("not registered", 0)
    assert logins.due((AGAIN_S - 1) * NS) == []
    assert len(logins.due(AGAIN_S * NS)) == 1


def test_too_brief_is_mended_unless_it_makes_no_sense() -> None:
    logins, _ = asked()

    (again,) = heard(logins, 423, min_expires="900")
    assert "Expires: 900" in again.extra
    assert heard(logins, 423, min_expires="60") == []


def test_an_answer_to_nobodys_question_changes_nothing() -> None:
    logins, _ = asked()
    heard(logins, 200)

    assert heard(logins, 500) == []
    assert logins.answered(LoginAnswered("other", 401, ASKS), "c", 0, NOW_MS) == []
    assert state(logins) == ("registered", 200)


def test_nothing_that_is_shown_or_sent_holds_the_hash() -> None:
    logins, ask = asked()
    (again,) = heard(logins, 401, challenges=ASKS)

    assert LOGIN.ha1 not in str(logins.rows(NOW_MS)) + str(ask) + str(again)


@pytest.mark.parametrize("wrong", [{"ip": "192.0.2.77"}, {"cseq": 7}, {"call_id": "another"}])
def test_what_somebody_else_says_of_a_registration_does_not_count(wrong: dict[str, object]) -> None:
    logins, _ = asked()

    assert heard(logins, 200, expires="86400", **wrong) == []  # type: ignore[arg-type]

    assert state(logins) == ("not registered", 0)


def test_many_registrations_do_not_leave_at_once() -> None:
    logins = Logins()
    accounts = [ACCOUNT._replace(place=PLACE._replace(server_id=number)) for number in range(1, 101)]
    logins.follow(accounts, "token", 0)

    assert len(logins.due(0)) == 2
    assert len(logins.due(NS)) == 20
