"""A small DNS server on a UDP port of its own: what names of servers are looked up at in tests."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

POLL_S = 0.1


class Responder:
    """Answers from `zone`: (name, type) -> (TTL, texts). A name with no entry at all does not exist.

    is_silent: it takes questions and says nothing. failing: names that it cannot say anything of. asked: how often
    each name was asked for.
    """

    def __init__(self) -> None:
        self.zone: dict[tuple[str, str], tuple[int, list[str]]] = {}
        self.failing: set[str] = set()
        self.is_silent = False
        self.asked: Counter[str] = Counter()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(POLL_S)
        self._stop = Event()
        self._thread = Thread(target=self._serve)
        self._thread.start()

    @property
    def place(self) -> str:
        """Return where it listens, as TANDEM_RESOLVER says it."""
        return f"127.0.0.1:{self._socket.getsockname()[1]}"

    def has(self, name: str, kind: str, *texts: str, ttl_s: int = 60) -> None:
        """Let a name have these records of a type."""
        self.zone[name, kind] = (ttl_s, list(texts))

    def close(self) -> None:
        """Stop listening."""
        self._stop.set()
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while not self._stop.is_set():
            try:
                packet, sender = self._socket.recvfrom(4096)
            except TimeoutError:
                continue
            question = dns.message.from_wire(packet)
            self.asked[question.question[0].name.to_text(omit_final_dot=True)] += 1
            if not self.is_silent:
                self._socket.sendto(self._answer(question).to_wire(), sender)

    def _answer(self, question: dns.message.Message) -> dns.message.Message:
        asked = question.question[0]
        name, kind = asked.name.to_text(omit_final_dot=True), dns.rdatatype.to_text(asked.rdtype)
        reply = dns.message.make_response(question)
        reply.flags |= dns.flags.RA
        if name in self.failing:
            reply.set_rcode(dns.rcode.SERVFAIL)
        elif not any(known == name for known, _ in self.zone):
            reply.set_rcode(dns.rcode.NXDOMAIN)
        while (name, "CNAME") in self.zone:
            ttl_s, (target,) = self.zone[name, "CNAME"]
            reply.answer.append(dns.rrset.from_text(f"{name}.", ttl_s, "IN", "CNAME", f"{target}."))
            name = target
        ttl_s, texts = self.zone.get((name, kind), (0, []))
        if texts:
            reply.answer.append(dns.rrset.from_text(f"{name}.", ttl_s, "IN", kind, *texts))
        return reply


@contextmanager
def responder() -> Iterator[Responder]:
    """Run one."""
    made = Responder()
    try:
        yield made
    finally:
        made.close()
