"""The Kamailios of the stack; how one is started is documented at the head of kamailio.cfg."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Mapping
from contextlib import suppress
from functools import partial

from tools.stack.checks import program
from tools.stack.layout import PROJECT, Address, Node
from tools.stack.parts import Part

SHARED_MB = "512"
"""Shared memory of a node; see kamailio.cfg."""
_PROBE_TIMEOUT_S = 0.3
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  where a socket on all addresses answers us


def part(node: Node, env: Mapping[str, str], secret: str, worker_redis_url: str, relay: Address | None = None) -> Part:
    """Return one node's server. relay: where a relay of sound takes commands, None = there is none."""
    own = {
        "TANDEM_NODE": node.name,
        "TANDEM_SECRET": secret,
        "TANDEM_SPOOL": str(node.spool),
        "TANDEM_LISTEN": str(node.address),
        "TANDEM_LISTEN6": str(node.address6 or ""),
        "REDIS_URL": worker_redis_url,
    }
    argv = (
        *(program("kamailio", env), "-DD", "-E", "-x", "tlsf", "-X", "tlsf", "-m", SHARED_MB),
        *("-f", str(PROJECT / "kamailio.cfg"), "-w", str(PROJECT), "-Y", str(node.home), "-P", str(node.pid_file)),
        *("-A", f"LISTEN_UDP=udp:{node.address}", "-A", f"LISTEN_TCP=tcp:{node.address}"),
        *_beside(node.address6),
        *("-A", f'CTL="unix:{node.ctl}"'),
        *(("-A", f'RTPENGINE="udp:{relay}"') if relay else ()),
        *(("-A", f"METRICS={node.metrics.port}") if node.metrics else ()),
    )
    return Part(
        node.part,
        argv,
        {**env, **own},
        ready=partial(answers_options, node.address),
        prepare=partial(_prepare, node),
    )


def heard_at(address: Address) -> str:
    """Return the host at which a socket of this address hears us."""
    return _ANYWHERE.get(address.host, address.host)


def _beside(address: Address | None) -> tuple[str, ...]:
    return ("-A", f"LISTEN_UDP6=udp:{address}", "-A", f"LISTEN_TCP6=tcp:{address}") if address else ()


def answers_options(address: Address) -> bool:
    """Whether an OPTIONS request over UDP gets a 200 within 0.3 s."""
    host = heard_at(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.settimeout(_PROBE_TIMEOUT_S)
        probe.connect((host, address.port))
        own = Address(*probe.getsockname()[:2])
        probe.send(_options(Address(host, address.port), own))
        return probe.recv(4096).startswith(b"SIP/2.0 200 ")
    return False


def _options(to: Address, own: Address) -> bytes:
    token = secrets.token_hex(8)
    lines = (
        f"OPTIONS sip:{to} SIP/2.0",
        f"Via: SIP/2.0/UDP {own};rport;branch=z9hG4bK{token}",
        "Max-Forwards: 10",
        f"From: <sip:stack@{own}>;tag={token}",
        f"To: <sip:{to}>",
        f"Call-ID: {token}",
        "CSeq: 1 OPTIONS",
        "Content-Length: 0",
    )
    return "\r\n".join((*lines, "", "")).encode()


def _prepare(node: Node) -> None:
    """Make the node's directories; remove the pid file and the socket of a killed one, which stop a start."""
    node.spool.mkdir(parents=True, exist_ok=True)
    node.home.chmod(0o700)
    node.pid_file.unlink(missing_ok=True)
    node.ctl.unlink(missing_ok=True)
