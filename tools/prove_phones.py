"""Proves that no phone is lost: they register and refresh at a steady rate while everything is killed.

    python -m tools.prove_phones --phones 10000 --rate 100

A stack of its own. All phones register; then each refreshes once, and when half of them have, Kamailio and Redis are
killed at once, with `kill -9`. Each phone must be in Kamailio's memory and in Redis right after the restart, before the
other half has refreshed, and at the end; by name, not by number.
"""

from __future__ import annotations

import hashlib
import json
import re
import select
import socket
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import typer

from kemi import keys
from kemi.adapters.redis_client import RedisClient
from tools.errors import OperatorError
from tools.prove_calls import free_address, kill_tree
from tools.scenario.observe import Watch
from tools.stack import plan
from tools.stack.layout import Layout
from tools.stack.stack import Stack
from tools.wait import DeadlineError, until

HOST: Final = "127.3.0.1"
DOMAIN: Final = "many.example"
PASSWORD: Final = "demo-secret"  # noqa: S105  of lines that live for this run
EXPIRES_S: Final = 3_600
AGAIN_S: Final = 0.5  # a REGISTER that is not answered is sent again: RFC 3261 §17.1.2.2
GIVE_UP_S: Final = 60.0
AT_ONCE: Final = 200
BACK_S: Final = 120.0
SYNCED_S: Final = 900.0  # many small changes, on a machine that has other things to do
REDIS_TIMEOUT_MS: Final = 5_000
LOOK_S: Final = 30.0
SETTINGS: Final = {"TANDEM_REDIS_TIMEOUT_MS": "500", "TANDEM_SHED_DELAY_MS": "0"}
_CHALLENGE: Final = re.compile(r'nonce="([^"]+)"')
_CALL_ID: Final = re.compile(r"(?im)^call-id:\s*p(\d+)-")
_LINE: Final = re.compile(rf"(?m)^\s*AoR: (u\d+@{re.escape(DOMAIN)})$")

# Analyzed, for sync reads these lines at once, and Postgres does not know yet that they are many.
WORLD: Final = """
select world.tariff('Tandem', 'many', 'EUR', '88690', '0.009 60/60');
select world.customer('many-customer', 'Tandem', 'many', 10);
select world.domain('{domain}', 'many-customer');
insert into tandem.subscriber(account_id, sip_domain_id, username, ha1_md5, ha1_sha256)
select world.account_id('many-customer'), world.domain_id('{domain}'), 'u' || n, md5(secret),
       encode(sha256(convert_to(secret, 'UTF8')), 'hex')
  from generate_series(1, {count}) n, lateral (select 'u' || n || ':{domain}:{password}') h(secret);
analyze tandem.subscriber;
"""


class Proof(NamedTuple):
    """What came of it, in phones.

    unanswered: got no 200 in time. lost: not known after the kill, in memory or in Redis. missing: nor at the end.
    """

    phones: int
    refreshed: int
    unanswered: int
    lost: int
    missing: int


class Phones:
    """Many phones on one socket; each has a Call-ID of its own."""

    def __init__(self, server: tuple[str, int], count: int) -> None:
        self._server = server
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._socket.bind((HOST, 0))
        self._cseq = [0] * (count + 1)
        self._waiting: dict[int, tuple[float, float, str]] = {}
        self.count = count
        self.answered = 0

    def close(self) -> None:
        """Let the socket go."""
        self._socket.close()

    def register(self, rate: float, in_the_middle: Callable[[], None] = lambda: None) -> int:
        """Let each phone register, `rate` begin in a second; return how many got no 200 in time."""
        left, lost, began = deque(range(1, self.count + 1)), 0, time.monotonic()
        while left or self._waiting:
            now = time.monotonic()
            while left and len(self._waiting) < AT_ONCE and self.count - len(left) <= (now - began) * rate:
                if len(left) == self.count // 2:
                    in_the_middle()
                self._ask(left.popleft(), now, "")
            lost += self._repeat(now)
            self._listen(0.002)
        return lost

    def _ask(self, phone: int, began: float, credentials: str) -> None:
        self._cseq[phone] += 1
        host, port = self._socket.getsockname()[:2]
        who = f"<sip:{line_of(phone)}>"
        lines = (
            f"REGISTER sip:{DOMAIN} SIP/2.0",
            f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bKp{phone}x{self._cseq[phone]}",
            "Max-Forwards: 70",
            f"From: {who};tag=p{phone}",
            f"To: {who}",
            f"Call-ID: p{phone}-{port}",
            f"CSeq: {self._cseq[phone]} REGISTER",
            f"Contact: <sip:u{phone}@{host}:{port}>",
            f"Expires: {EXPIRES_S}",
            *((f"Authorization: {credentials}",) if credentials else ()),
            "Content-Length: 0",
        )
        self._send(phone, began, "\r\n".join((*lines, "", "")))

    def _send(self, phone: int, began: float, text: str) -> None:
        self._waiting[phone] = (began, time.monotonic() + AGAIN_S, text)
        self._socket.sendto(text.encode(), self._server)

    def _repeat(self, now: float) -> int:
        given_up = [phone for phone, (began, _, _) in self._waiting.items() if now - began > GIVE_UP_S]
        for phone in given_up:
            del self._waiting[phone]
        for phone, (began, again, text) in list(self._waiting.items()):
            if now >= again:
                self._send(phone, began, text)
        return len(given_up)

    def _listen(self, seconds: float) -> None:
        while select.select([self._socket], [], [], seconds)[0]:
            self._hear(self._socket.recv(65_535).decode("latin-1"))
            seconds = 0

    def _hear(self, answer: str) -> None:
        found = _CALL_ID.search(answer)
        phone = int(found[1]) if found else 0
        if phone not in self._waiting or f"\nCSeq: {self._cseq[phone]} " not in answer:
            return
        status = answer[8:11]
        began, _, text = self._waiting[phone]
        if status == "401":
            self._ask(phone, began, _credentials(answer, phone))
        elif status == "200":
            del self._waiting[phone]
            self.answered += 1
        elif status.startswith("5"):  # the node has just begun: once more, a little later, as a new request
            self._waiting[phone] = (began, time.monotonic() + AGAIN_S, text)
        else:
            raise OperatorError(f"phone {phone} was refused: {answer.splitlines()[0]}")


def prove(phones: int, rate: float, say: Callable[[str], None]) -> Proof:
    """Do all of it on a stack of its own. Raises OperatorError when it cannot be run."""
    with tempfile.TemporaryDirectory(prefix="tdm-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        stack = Stack(Layout(Path(folder) / "run", free_address()), SETTINGS)
        stack.start(tied=True)
        try:
            return on(stack, phones, rate, say)
        finally:
            stack.stop()


def on(stack: Stack, count: int, rate: float, say: Callable[[str], None], known_s: float = BACK_S) -> Proof:
    """Do it on a stack that runs. known_s: so long after the restart phones that are not known yet are waited for."""
    values = plan.environment(stack.layout)
    lines = frozenset(line_of(phone) for phone in range(1, count + 1))
    with closing(Watch(values["DATABASE_URL"], values["REDIS_URL"])) as watch:
        watch.load_world("many-", WORLD.format(domain=DOMAIN, password=PASSWORD, count=count))
        until(lambda: watch.unsynced() == 0, SYNCED_S, "sync to carry the lines to Redis")
    say(f"{count} lines are in Redis")
    node = stack.layout.nodes[0]
    with _phones(tuple(node.address), count) as phones:
        unanswered = phones.register(max(rate, 200.0))
        say(f"{phones.answered} of {count} phones are registered")
        lost: set[str] = set()

        def kill() -> None:
            for part in (node.part, "redis"):
                kill_tree(stack, part)
            stack.wait_ready(BACK_S)
            with suppress(DeadlineError):  # those that are still not known are counted
                until(lambda: _known(values, lines) == lines, known_s, "the phones to be known again")
            lost.update(lines - _known(values, lines))
            say(f"Kamailio and Redis were killed; {count - len(lost)} phones are known again")

        unanswered += phones.register(rate, kill)
        refreshed = phones.answered - count
    return Proof(count, refreshed, unanswered, len(lost), len(lines - _known(values, lines)))


def main(
    phones: Annotated[int, typer.Option(min=2, max=100_000, help="how many")] = 10_000,
    rate: Annotated[float, typer.Option(min=1, max=2_000, help="refreshes a second")] = 100.0,
) -> None:
    """Register phones, refresh them with a kill in the middle; exit 1 unless none is lost."""
    try:
        proof = prove(phones, rate, typer.echo)
    except (OperatorError, DeadlineError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo(json.dumps(proof._asdict()))
    raise typer.Exit(1 if proof.unanswered or proof.lost or proof.missing else 0)


@contextmanager
def _phones(server: tuple[Any, ...], count: int) -> Iterator[Phones]:
    with closing(Phones((str(server[0]), int(server[1])), count)) as phones:
        yield phones


def line_of(phone: int) -> str:
    """Return the address of record of a phone's line."""
    return f"u{phone}@{DOMAIN}"


def _known(values: Mapping[str, str], lines: frozenset[str]) -> frozenset[str]:
    """Return those lines that have a phone both in Kamailio's memory and in Redis."""
    asked = "".join(f"ul.lookup location {line}\n" for line in lines)  # one by one: a dump of so many has no answer
    told = subprocess.run(
        ["kamcmd", "-s", values["TANDEM_CTL"]], input=asked, check=False, capture_output=True, text=True, timeout=LOOK_S
    )
    with closing(RedisClient(values["REDIS_URL"], REDIS_TIMEOUT_MS)) as client:
        return frozenset(line for line in _LINE.findall(told.stdout) if client.execute("EXISTS", keys.location(line)))


def _credentials(challenge: str, phone: int) -> str:
    found = _CHALLENGE.search(challenge)
    nonce = found[1] if found else ""
    user, uri = f"u{phone}", f"sip:{DOMAIN}"
    ha1, ha2 = _md5(f"{user}:{DOMAIN}:{PASSWORD}"), _md5(f"REGISTER:{uri}")
    response = _md5(f"{ha1}:{nonce}:00000001:c:auth:{ha2}")
    return (
        f'Digest username="{user}", realm="{DOMAIN}", nonce="{nonce}", uri="{uri}", response="{response}",'
        f' algorithm=MD5, qop=auth, nc=00000001, cnonce="c"'
    )


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


if __name__ == "__main__":
    typer.run(main)
