"""The SIP endpoint of tests over TCP: takes connections and makes them; what it sends goes where it last heard from."""

from __future__ import annotations

import select
import socket
import time

from tests.sip import Endpoint, Message, parse

BREAK = b"\r\n\r\n"


class TcpEndpoint(Endpoint):
    """Listens on a port of its own. To the server it makes a connection, unless the server has made one."""

    transport = "TCP"

    def __init__(self, server: tuple[str, int], host: str = "127.0.0.1") -> None:
        self.server = server
        self._socket = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.host, self.port = self._socket.getsockname()[:2]
        self._open: dict[socket.socket, bytes] = {}
        self._current: socket.socket | None = None

    def __exit__(self, *_: object) -> None:
        for each in (*self._open, self._socket):
            each.close()

    @property
    def connections(self) -> tuple[socket.socket, ...]:
        """Those that are open, oldest first."""
        return tuple(self._open)

    def send(self, text: str | bytes, to: tuple[str, int] | None = None) -> None:
        """Send over the connection last heard from, else over a new one."""
        if self._current is None or to is not None:
            self._current = socket.create_connection(to or self.server, source_address=(self.host, 0))
            self._open[self._current] = b""
        self._current.sendall(text if isinstance(text, bytes) else text.encode())

    def receive(self, deadline_s: float = 15.0) -> Message:
        """Return the next message. Raises TimeoutError when none comes in time."""
        until_s = time.monotonic() + deadline_s
        while (message := self._whole()) is None:
            left_s = until_s - time.monotonic()
            ready = select.select([self._socket, *self._open], [], [], max(0.0, left_s))[0] if left_s > 0 else []
            if not ready:
                raise TimeoutError
            for each in ready:
                self._read(each)
        return message

    def _read(self, ready: socket.socket) -> None:
        if ready is self._socket:
            self._open[self._socket.accept()[0]] = b""
            return
        data = ready.recv(65_535)
        self._open[ready] += data
        if not data:
            ready.close()
            del self._open[ready]

    def _whole(self) -> Message | None:
        """Return a message that has arrived in full."""
        for each, data in self._open.items():
            head, found, rest = data.lstrip(b"\r\n").partition(BREAK)
            length = int(parse(head).get("Content-Length") or 0) if found else 0
            if found and len(rest) >= length:
                self._open[each], self._current = rest[length:], each
                return parse(head + BREAK + rest[:length])
        return None
