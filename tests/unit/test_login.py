"""Digest answers of ours."""

from __future__ import annotations

import pytest

from kemi.core.digest import parse_credentials, verify
from kemi.core.login import answer, granted_s, number
from kemi.records import Login
from tests.sip import md5

HA1 = md5("tandem:acme.example:secret")
LOGIN = Login("tandem", "acme.example", HA1)
URI = "sip:acme.example"


def ask(realm: str = "acme.example", **more: str) -> str:
    return "Digest " + ", ".join(f'{name}="{value}"' for name, value in {"realm": realm, "nonce": "n", **more}.items())


def test_our_own_check_takes_the_answer() -> None:
    found = parse_credentials(answer([ask(qop="auth-int,auth", opaque="o")], LOGIN, "REGISTER", URI, "c0"))

    assert found is not None
    assert verify(found, "REGISTER", HA1, "")
    assert not verify(found, "INVITE", HA1, "")


def test_without_qop_the_answer_is_the_old_one() -> None:
    """RFC 2069: MD5(HA1:nonce:HA2)."""
    given = answer([ask()], LOGIN, "REGISTER", URI, "c0")

    wanted = md5(f"{HA1}:n:{md5(f'REGISTER:{URI}')}")
    assert f'response="{wanted}"' in given
    assert "cnonce" not in given


def test_of_several_challenges_the_one_that_we_can_answer_counts() -> None:
    several = ["Basic realm=x", ask(algorithm="SHA-256"), ask("other.example"), ask(qop="auth", algorithm="md5")]

    assert answer(several, LOGIN, "REGISTER", URI, "c0")


@pytest.mark.parametrize(
    "challenge",
    [
        *("", "Digest", "Digest realm=", 'Digest realm="acme.example"', "nonsense"),
        *(ask("ACME.example"), ask(algorithm="SHA-256"), ask(algorithm="MD5-sess"), ask(qop="auth-int")),
        *(ask(nonce='a\\"b'), ask(opaque='a\\"b')),
    ],
)
def test_a_challenge_that_we_cannot_or_may_not_answer_gets_nothing(challenge: str) -> None:
    assert answer([challenge], LOGIN, "REGISTER", URI, "c0") == ""


@pytest.mark.parametrize("ha1", ["", "x" * 32, HA1.upper(), HA1 + "0", HA1 + "\n"])
def test_a_hash_that_is_none_is_not_used(ha1: str) -> None:
    assert answer([ask()], LOGIN._replace(ha1=ha1), "REGISTER", URI, "c0") == ""


def test_a_name_cannot_end_its_quotes() -> None:
    assert answer([ask()], LOGIN._replace(username='x", nonce="y'), "REGISTER", URI, "c0") == ""


@pytest.mark.parametrize(
    ("header", "seconds"), [("60", 60), (" 60 ", 60), ("60;x", 60), ("", -1), ("x", -1), ("-1", -1)]
)
def test_seconds_are_read(header: str, seconds: int) -> None:
    assert number(header) == seconds


def test_more_than_a_day_is_a_day() -> None:
    assert granted_s((), "999999", "sip:a@192.0.2.1", 60) == 86_400
