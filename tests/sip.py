"""A SIP endpoint for tests: real UDP on loopback, one message at a time, and every byte open to the test.

Not a stack: it retransmits nothing and answers nothing by itself. Each wait has a deadline.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import socket
from typing import Final, NamedTuple, Self

_SERIAL: Final = itertools.count(1)
_HOST: Final = "127.0.0.1"
PASSWORD: Final = "correct horse"  # of everybody in tests/fakes/world.py
SDP: Final = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 8\r\n"


class Message(NamedTuple):
    """A received message. start: first line; headers in order of arrival, names as sent."""

    start: str
    headers: tuple[tuple[str, str], ...]
    body: str

    @property
    def status(self) -> int:
        """Status of a reply, 0 for a request."""
        return int(self.start.split(" ", 2)[1]) if self.start.startswith("SIP/2.0") else 0

    @property
    def method(self) -> str:
        """Method of a request, or of the request that a reply answers."""
        return self.get("CSeq").split()[-1]

    @property
    def ruri(self) -> str:
        """R-URI of a request."""
        return self.start.split(" ")[1]

    def get(self, name: str) -> str:
        """Return the first value of a header, "" when absent."""
        return next(iter(self.all(name)), "")

    def all(self, name: str) -> list[str]:
        """Return every value of a header, in order."""
        return [value for key, value in self.headers if key.lower() == name.lower()]


def parse(data: bytes) -> Message:
    """Return the message in a datagram; bytes that are not UTF-8 become Latin-1 characters."""
    head, _, body = data.decode("latin-1").partition("\r\n\r\n")
    start, *lines = head.split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return Message(start, tuple((name.strip(), value.strip()) for name, _, value in pairs), body)


def tag(value: str) -> str:
    """Return the tag of a From or To value, "" when it has none."""
    found = re.search(r";tag=([^;>\s]+)", value)
    return found.group(1) if found else ""


def uri(value: str) -> str:
    """Return what stands in the angle brackets of a name-addr."""
    return value.partition("<")[2].partition(">")[0] or value


def digest(challenge: str, *, username: str, password: str, method: str, digest_uri: str, nc: int = 1) -> str:
    """Return credentials for an MD5 challenge with qop=auth. Source: RFC 7616 §3.4."""
    fields = dict(re.findall(r'(\w+)="?([^",]+)"?', challenge))
    count, cnonce = f"{nc:08x}", f"c{next(_SERIAL)}"
    ha1, ha2 = md5(f"{username}:{fields['realm']}:{password}"), md5(f"{method}:{digest_uri}")
    response = md5(f"{ha1}:{fields['nonce']}:{count}:{cnonce}:auth:{ha2}")
    return (
        f'Digest username="{username}", realm="{fields["realm"]}", nonce="{fields["nonce"]}", uri="{digest_uri}", '
        f'response="{response}", algorithm=MD5, qop=auth, nc={count}, cnonce="{cnonce}"'
    )


def md5(text: str) -> str:
    """Return the MD5 of a text, in hex."""
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


class Endpoint:
    """One UDP socket that speaks SIP, e.g. `with Endpoint(server) as phone: …`. host: IPv6 without brackets."""

    transport = "UDP"

    def __init__(self, server: tuple[str, int], host: str = _HOST) -> None:
        self.server = server
        self._socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host, 0))
        self.host, self.port = self._socket.getsockname()[:2]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    @property
    def contact(self) -> str:
        """URI at which this endpoint is reached."""
        return f"sip:ua@{self.at}" + (";transport=tcp" if self.transport == "TCP" else "")

    @property
    def at(self) -> str:
        """Address and port, as a URI has them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def request(  # the parts of a request
        self,
        method: str,
        ruri: str,
        *,
        caller: str = "sip:alice@a.example",
        callee: str = "",
        call_id: str = "",
        from_tag: str = "",
        to_tag: str = "",
        cseq: int = 1,
        extra: tuple[str, ...] = (),
        body: str = "",
        branch: str = "",
    ) -> str:
        """Return the text of a request with the usual headers; `extra` are complete lines."""
        serial = next(_SERIAL)
        lines = [
            f"{method} {ruri} SIP/2.0",
            f"Via: SIP/2.0/{self.transport} {self.at};branch={branch or f'z9hG4bK-{self.port}-{serial}'};rport",
            "Max-Forwards: 70",
            f"From: <{caller}>;tag={from_tag or f'f{serial}'}",
            f"To: <{callee or ruri}>" + (f";tag={to_tag}" if to_tag else ""),
            f"Call-ID: {call_id or f'{self.port}-{serial}@test'}",
            f"CSeq: {cseq} {method}",
            f"Contact: <{self.contact}>",
            *extra,
            *(["Content-Type: application/sdp"] if body else []),
            f"Content-Length: {len(body)}",
        ]
        return "\r\n".join(lines) + "\r\n\r\n" + body

    def reply(  # the parts of a reply
        self,
        request: Message,
        status: int,
        phrase: str,
        *,
        to_tag: str = "",
        via: tuple[str, ...] = (),
        extra: tuple[str, ...] = (),
        body: str = "",
        contact: str = "",
    ) -> str:
        """Return the text of a reply to a received request. via: proxies behind this endpoint, as they record.

        contact: the header's value, "" = this endpoint.
        """
        wanted = ("via", "record-route", "from", "call-id", "cseq")
        routes = [f"Record-Route: {route}" for route in via]
        lines = [f"{name}: {value}" for name, value in request.headers if name.lower() in wanted]
        to = request.get("To")
        with_tag = to if tag(to) or status == 100 else f"{to};tag={to_tag or f't{self.port}'}"
        return "\r\n".join(
            [
                f"SIP/2.0 {status} {phrase}",
                *routes,
                *lines,
                f"To: {with_tag}",
                f"Contact: {contact or f'<{self.contact}>'}",
                *extra,
                *(["Content-Type: application/sdp"] if body else []),
                f"Content-Length: {len(body)}",
                "",
                body,
            ]
        )

    def send(self, text: str | bytes, to: tuple[str, int] | None = None) -> None:
        """Send a datagram to the server, or elsewhere."""
        self._socket.sendto(text if isinstance(text, bytes) else text.encode(), to or self.server)

    def receive(self, deadline_s: float = 30.0) -> Message:
        """Return the next message. Raises TimeoutError when none comes in time."""
        self._socket.settimeout(deadline_s)
        return parse(self._socket.recv(65_535))

    def silent(self, deadline_s: float = 0.3) -> bool:
        """Tell whether nothing comes during this time."""
        try:
            self.receive(deadline_s)
        except TimeoutError:
            return True
        return False

    def final(self, deadline_s: float = 30.0) -> Message:
        """Return the next final reply, passing over provisional ones."""
        while True:
            message = self.receive(deadline_s)
            if message.status >= 200:
                return message

    def wait_request(self, method: str, deadline_s: float = 30.0) -> Message:
        """Return the next request of this method, passing over everything else."""
        while True:
            message = self.receive(deadline_s)
            if not message.status and message.method == method:
                return message

    def ack(self, invite: str, final: Message, body: str = "") -> None:
        """Acknowledge a final reply: hop by hop for a refusal, end to end through the route set for a 200."""
        sent = parse(invite.encode())
        if final.status >= 300:
            lines = [
                ("Via", sent.get("Via")),
                *((n, v) for n, v in final.headers if n.lower() in ("from", "to", "call-id")),
            ]
            cseq = sent.get("CSeq").split()[0]
            text = "\r\n".join([f"ACK {sent.ruri} SIP/2.0", *(f"{n}: {v}" for n, v in lines)])
            self.send(f"{text}\r\nMax-Forwards: 70\r\nCSeq: {cseq} ACK\r\nContent-Length: 0\r\n\r\n")
            return
        self.send(self.within("ACK", final, cseq=int(sent.get("CSeq").split()[0]), body=body))

    def within(self, method: str, answer: Message, *, cseq: int, body: str = "", extra: tuple[str, ...] = ()) -> str:
        """Return a request of the caller inside the dialog that `answer` (its 200) made."""
        routes = [part.strip() for value in answer.all("Record-Route") for part in value.split(",")]
        return self.request(
            method,
            uri(answer.get("Contact")),
            caller=uri(answer.get("From")),
            callee=uri(answer.get("To")),
            call_id=answer.get("Call-ID"),
            from_tag=tag(answer.get("From")),
            to_tag=tag(answer.get("To")),
            cseq=cseq,
            extra=(*(f"Route: {route}" for route in reversed(routes)), *extra),
            body=body,
        )

    def back(
        self, method: str, invite: Message, *, cseq: int, to_tag: str = "", extra: tuple[str, ...] = (), body: str = ""
    ) -> str:
        """Return a request of the callee inside the dialog that began with `invite`."""
        routes = [part.strip() for value in invite.all("Record-Route") for part in value.split(",")]
        return self.request(
            method,
            uri(invite.get("Contact")),
            caller=uri(invite.get("To")),
            callee=uri(invite.get("From")),
            call_id=invite.get("Call-ID"),
            from_tag=to_tag or f"t{self.port}",
            to_tag=tag(invite.get("From")),
            cseq=cseq,
            extra=(*(f"Route: {route}" for route in routes), *extra),
            body=body,
        )


class Call(NamedTuple):
    """A call of an authenticated phone, as far as it got: the INVITE that carries credentials."""

    phone: Endpoint
    invite: str

    def final(self, deadline_s: float = 30.0) -> Message:
        """Return the final answer and acknowledge it."""
        answer = self.phone.final(deadline_s)
        self.phone.ack(self.invite, answer)
        return answer

    def cancel(self) -> None:
        """Hang up while it rings."""
        sent = parse(self.invite.encode())
        branch = sent.get("Via").partition("branch=")[2].partition(";")[0]
        caller, callee = uri(sent.get("From")), uri(sent.get("To"))
        self.phone.send(
            self.phone.request(
                "CANCEL",
                sent.ruri,
                caller=caller,
                callee=callee,
                call_id=sent.get("Call-ID"),
                from_tag=tag(sent.get("From")),
                cseq=int(sent.get("CSeq").split()[0]),
                branch=branch,
            )
        )


def dial(  # what a caller chooses
    phone: Endpoint,
    callee: str,
    *,
    caller: str = "alice@a.example",
    password: str = PASSWORD,
    extra: tuple[str, ...] = (),
    body: str = SDP,
) -> Call:
    """Call `user@host`: INVITE, its challenge, and the INVITE with credentials. Everything after is the test's."""
    ruri, who = f"sip:{callee}", f"sip:{caller}"
    first = phone.request("INVITE", ruri, caller=who, body=body, extra=extra)
    phone.send(first)
    challenge = phone.final()
    assert challenge.status == 407, challenge
    phone.ack(first, challenge)
    answer = digest(
        challenge.get("Proxy-Authenticate"),
        username=caller.partition("@")[0],
        password=password,
        method="INVITE",
        digest_uri=ruri,
    )
    sent = parse(first.encode())
    call_id, from_tag = sent.get("Call-ID"), tag(sent.get("From"))
    credentials = (*extra, f"Proxy-Authorization: {answer}")
    second = phone.request(
        "INVITE", ruri, caller=who, call_id=call_id, from_tag=from_tag, cseq=2, body=body, extra=credentials
    )
    phone.send(second)
    return Call(phone, second)


def register(phone: Endpoint, user: str, *, password: str = PASSWORD, expires_s: int = 60) -> Message:
    """Register `user@host` at this endpoint; return the answer to the REGISTER with credentials."""
    host = user.partition("@")[2]
    who, lifetime = f"sip:{user}", f"Expires: {expires_s}"
    first = phone.request("REGISTER", f"sip:{host}", caller=who, callee=who, extra=(lifetime,))
    phone.send(first)
    challenge = phone.final()
    answer = digest(
        challenge.get("WWW-Authenticate"),
        username=user.partition("@")[0],
        password=password,
        method="REGISTER",
        digest_uri=f"sip:{host}",
    )
    credentials = (lifetime, f"Authorization: {answer}")
    phone.send(phone.request("REGISTER", f"sip:{host}", caller=who, callee=who, cseq=2, extra=credentials))
    return phone.final()
