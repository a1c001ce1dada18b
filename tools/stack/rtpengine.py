"""The relay of sound, where the stack is asked for one: Debian's rtpengine, in user space."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from itertools import count
from typing import Final

from tools.stack.checks import program
from tools.stack.kamailio import heard_at
from tools.stack.layout import Address, Layout
from tools.stack.parts import Part

NO_KERNEL_MODULE: Final = "--table=-1"
_PING: Final = b"d7:command4:pinge"  # bencode, behind a word that is another one each time
_PROBE_TIMEOUT_S: Final = 0.3
_serials = count(1)


def parts(layout: Layout, env: Mapping[str, str]) -> tuple[Part, ...]:
    """Return the relay, or nothing where there is none. Sound goes through the addresses of the first node."""
    commands = layout.relay
    if commands is None:
        return ()
    first = layout.nodes[0]
    hosts = [heard_at(address) for address in (first.address, first.address6) if address]
    argv = (
        *(program("rtpengine", env), "--config-file=none", "--foreground", "--log-stderr", "--no-log-timestamps"),
        *(NO_KERNEL_MODULE, f"--listen-ng={commands}", "--log-level=5", "--num-threads=2"),
        *(f"--interface={host}" for host in hosts),
    )
    return (Part("rtpengine", argv, env, ready=partial(_answers, commands)),)


def _answers(commands: Address) -> bool:
    """Whether it says pong within 0.3 s."""
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.settimeout(_PROBE_TIMEOUT_S)
        probe.connect((commands.host, commands.port))
        probe.send(b"%d " % next(_serials) + _PING)
        return b"pong" in probe.recv(4096)
    return False
