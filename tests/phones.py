"""A phone that registers as it is told to, over UDP or TCP, and answers challenges of MD5 and SHA-256 (RFC 8760)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from tests.sip import PASSWORD, Endpoint, Message
from tests.tcp import TcpEndpoint

ALGORITHM: Final = re.compile(r"algorithm=([\w-]+)")


class Phone:
    """One line's phone. line: `user@domain`. Its Call-ID stays, its CSeq rises."""

    def __init__(self, server: tuple[str, int], line: str, *, host: str = "127.0.0.1", transport: str = "UDP") -> None:
        self.line = line
        self.user, _, self.domain = line.partition("@")
        self.end = (TcpEndpoint if transport == "TCP" else Endpoint)(server, host)
        self._cseq = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end.__exit__(kind, value, trace)

    @property
    def call_id(self) -> str:
        """Its registrations' Call-ID."""
        return f"{self.user}-{self.end.port}@phone"

    def text(
        self, contact: str | None = None, expires: str = "60", extra: tuple[str, ...] = (), wanted: str = "REGISTER"
    ) -> str:
        """Return the next REGISTER. contact: header value, "" = none, None = where it listens. extra: whole lines."""
        self._cseq += 1
        who = f"sip:{self.line}"
        lines = (*((f"Expires: {expires}",) if expires else ()), *extra)
        text = self.end.request(
            wanted, f"sip:{self.domain}", caller=who, callee=who, call_id=self.call_id, cseq=self._cseq, extra=lines
        )
        own = f"Contact: <{self.end.contact}>\r\n"
        if contact is None:
            return text
        return text.replace(own, f"Contact: {contact}\r\n" if contact else "")

    def register(
        self,
        contact: str | None = None,
        expires: str = "60",
        extra: tuple[str, ...] = (),
        *,
        password: str = PASSWORD,
        algorithm: str = "",
        edit: Callable[[str], str] = str,
    ) -> Message:
        """Return the last answer to a REGISTER with credentials. algorithm: which to choose, "" = the topmost.

        edit: makes of each REGISTER what is sent.
        """
        self.end.send(edit(self.text(contact, expires, extra)))
        challenge = self.end.final()
        if challenge.status != 401:
            return challenge
        offered = challenge.all("WWW-Authenticate")
        chosen = next((each for each in offered if f"algorithm={algorithm}" in each), offered[0])
        answer = answer_to(chosen, self.user, password, f"sip:{self.domain}")
        self.end.send(edit(self.text(contact, expires, (*extra, f"Authorization: {answer}"))))
        return self.end.final()


def answer_to(challenge: str, user: str, password: str, uri: str, method: str = "REGISTER") -> str:
    """Return credentials for a challenge, with the algorithm that it names. Source: RFC 7616 §3.4."""
    fields = dict(re.findall(r'(\w+)="?([^",]+)"?', challenge))
    named = ALGORITHM.search(challenge)
    algorithm = named[1] if named else "MD5"
    ha1 = _hash(algorithm, f"{user}:{fields['realm']}:{password}")
    ha2 = _hash(algorithm, f"{method}:{uri}")
    response = _hash(algorithm, f"{ha1}:{fields['nonce']}:00000001:c1:auth:{ha2}")
    return (
        f'Digest username="{user}", realm="{fields["realm"]}", nonce="{fields["nonce"]}", uri="{uri}", '
        f'response="{response}", algorithm={algorithm}, qop=auth, nc=00000001, cnonce="c1"'
    )


def _hash(algorithm: str, text: str) -> str:
    made = hashlib.sha256 if algorithm == "SHA-256" else hashlib.md5
    return made(text.encode()).hexdigest()
