"""Passwords: judged, hashed as RFC 2617 and RFC 7616 say, never repeated."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest

from kemi.core.digest import verify
from kemi.core.request import Credentials
from tools.errors import OperatorError
from tools.tenant import passwords

GOOD = "Circle of Life"  # RFC 7616 §3.9.1


class Terminal(io.StringIO):
    """Standard input that is a terminal."""

    def isatty(self) -> bool:
        """Whether it is one."""
        return True


def test_hashes_are_those_of_the_standard() -> None:
    """RFC 7616 §3.9.1: the responses that its example gives for both algorithms."""
    found = passwords.hashes("Mufasa", "http-auth@example.org", GOOD)
    asked = Credentials(
        username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html", algorithm="MD5",
        nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", nc="00000001",
        cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", qop="auth",
        response="8ca523f5e9506fed4657c9700eebdbec",
    )  # fmt: skip
    response = "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"
    assert verify(asked, "GET", found.md5, found.sha256)
    assert verify(asked._replace(algorithm="SHA-256", response=response), "GET", found.md5, found.sha256)


def test_a_good_password_is_taken_as_it_is() -> None:
    assert passwords.checked(GOOD, "mufasa") == GOOD
    assert passwords.checked("eva likes long ones", "eva") == "eva likes long ones"


@pytest.mark.parametrize(
    ("password", "sentence"),
    [
        ("", "password: has 0 characters; it has to have 12 to 128"),
        ("elevenchars", "password: has 11 characters; it has to have 12 to 128"),
        ("ab" * 65, "password: has 130 characters; it has to have 12 to 128"),
        (
            "passwörter-sind-lang",
            "password: has a character that is no printable ASCII; phones send others differently",
        ),
        ("tabs\tare no good", "password: has a character that is no printable ASCII; phones send others differently"),
        ("alice-secret1", "password: holds the user name; besides it, it has to have 12 characters"),
        ("abababababab", "password: has 2 different characters; it has to have 6"),
    ],
)
def test_a_weak_password_is_refused_and_not_repeated(password: str, sentence: str) -> None:
    with pytest.raises(OperatorError) as refusal:
        passwords.checked(password, "Alice")
    assert str(refusal.value) == sentence


def test_a_pipe_gives_its_first_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{GOOD}\r\nmore\n"))
    assert passwords.asked("eva@a.example") == GOOD


def test_a_terminal_asks_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = _type(monkeypatch, GOOD, GOOD)
    assert passwords.asked("eva@a.example") == GOOD
    assert list(asked) == ["Password of eva@a.example: ", "Once more: "]


def test_two_that_differ_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    _type(monkeypatch, GOOD, "Circle of Strife")
    with pytest.raises(OperatorError, match=r"^password: the two that were typed differ; nothing is changed$"):
        passwords.asked("eva@a.example")


def _type(monkeypatch: pytest.MonkeyPatch, *texts: str) -> list[str]:
    """Type at a terminal; return the prompts as they come."""
    prompts: list[str] = []
    typed: Iterator[str] = iter(texts)

    def getpass(prompt: str) -> str:
        prompts.append(prompt)
        return next(typed)

    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr(passwords, "getpass", getpass)
    return prompts
