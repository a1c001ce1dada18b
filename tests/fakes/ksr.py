"""Kamailio as the worker sees it, without Kamailio: as strict as 5.6.3 about names, types and None.

A wrong type, None, a wrong number of arguments or a NUL character raises SystemError, an unknown name AttributeError,
as in the real module. tests/contract/test_ksr.py proves that these signatures are those of the generated stub.
What a test sets: `pvs`, `headers` (a list where there are several of one name), `message`, `results` (what a function
returns, by "module.name"). What it asserts on: `calls`, `sent` (replies), `tables`, `queue`.
"""

# ruff: noqa: D102  what each function stands for is said in kemi/adapters/ksr_api.py

from __future__ import annotations

from collections import deque

from tests.fakes.ksr_modules import (
    Dialog,
    Hdr,
    Htable,
    Jsonrpcs,
    Kx,
    Maxfwd,
    Module,
    Mqueue,
    Nathelper,
    Pv,
    Pvx,
    Registrar,
    Rr,
    Sanity,
    Siputils,
    Sl,
    Statistics,
    Tcpops,
    Textops,
    Textopsx,
    Tm,
    Tmx,
    Uac,
    Xval,
    strict,
)


class FakeKsr(Module):
    """Satisfies kemi.adapters.ksr_api.Ksr. A new one is an INVITE without credentials from a phone."""

    def __init__(self) -> None:
        super().__init__(self)
        self.method = "INVITE"
        self.pvs: dict[str, Xval | bytes] = {
            "$ci": "call-1",
            "$ft": "tag-1",
            "$cs": "1",
            "$si": "192.0.2.1",
            "$sp": 5060,
            "$proto": "udp",
            "$ru": "sip:33140000000@a.example",
            "$fu": "sip:alice@a.example",
            "$tu": "sip:33140000000@a.example",
        }
        self.headers: dict[str, str | bytes | list[str]] = {}
        self.message = b"INVITE sip:33140000000@a.example SIP/2.0\r\nCall-ID: call-1\r\n\r\n"
        self.results: dict[str, int] = {}
        self.avps: dict[str, list[str]] = {}
        self.tables: dict[str, dict[str, Xval]] = {
            name: {}
            for name in (
                *("calls", "noc", "sides", "failing", "health", "proven", "nonce", "loops"),
                *(
                    "busy",
                    "channels",
                    "cps",
                    "earlies",
                    "store",
                    "unheld",
                    "offline",
                    "turns",
                    "media",
                    "connections",
                    "load",
                    "passed",
                ),
            )
        }
        self.iterators: dict[str, deque[str]] = {}
        self.queue: deque[tuple[str, str]] = deque()
        self.queue_max = 1000
        self.flags: set[int] = set()
        self.taken = ("", "")
        self.calls: list[tuple[object, ...]] = []
        self.is_dropped = False
        self.sent: list[tuple[int, str]] = []
        self.requests: list[tuple[str, ...]] = []
        self.reply_headers: list[str] = []
        self.statistics_sum: dict[str, int] = {}
        self.log: list[str] = []
        self.pv, self.pvx, self.kx, self.hdr = Pv(self), Pvx(self), Kx(self), Hdr(self)
        self.tm, self.tmx, self.sl, self.dialog = Tm(self), Tmx(self), Sl(self), Dialog(self)
        self.rr, self.maxfwd, self.sanity = Rr(self), Maxfwd(self), Sanity(self)
        self.siputils, self.textops, self.uac = Siputils(self), Textops(self), Uac(self)
        self.registrar, self.htable, self.mqueue = Registrar(self), Htable(self), Mqueue(self)
        self.statistics, self.nathelper = Statistics(self), Nathelper(self)
        self.tcpops, self.textopsx = Tcpops(self), Textopsx(self)
        self.jsonrpcs, self.debug = Jsonrpcs(self), 1

    def pv_value(self, name: str) -> Xval:
        """Return a pseudo-variable; bytes that are not UTF-8 raise, as in the real module."""
        value = self.pvs.get(name)
        return value.decode() if isinstance(value, bytes) else value

    def whole_message(self) -> bytes:
        """Return the message, with the method of now, and with those of `headers` in it that it does not have."""
        first, end, rest = self.message.replace(b"INVITE", self.method.encode(), 1).partition(b"\r\n")
        lines = b""
        for name, value in self.headers.items():
            plain = name.encode()
            if b"\n" + plain.lower() + b":" not in self.message.lower():
                for each in value if isinstance(value, list) else [value]:
                    lines += plain + b": " + (each if isinstance(each, bytes) else each.encode()) + b"\r\n"
        return first + end + lines + rest

    def did(self, name: str) -> list[tuple[object, ...]]:
        """Return the arguments of each call of a function, e.g. "tm.t_relay"."""
        return [call[1:] for call in self.calls if call[0] == name]

    @strict
    def info(self, text: str, /) -> int:
        self.log.append(text)
        return 0

    @strict
    def notice(self, text: str, /) -> int:
        self.log.append(text)
        return 0

    @strict
    def err(self, text: str, /) -> int:
        self.log.append(text)
        return 0

    @strict
    def get_debug(self) -> int:
        return self.debug

    @strict
    def is_ACK(self) -> bool:  # noqa: N802  Kamailio's name, here and below
        return self.method == "ACK"

    @strict
    def is_BYE(self) -> bool:  # noqa: N802
        return self.method == "BYE"

    @strict
    def is_CANCEL(self) -> bool:  # noqa: N802
        return self.method == "CANCEL"

    @strict
    def is_myself(self, uri: str, /) -> bool:
        return uri.startswith("sip:127.0.0.1:5060")

    @strict
    def setbflag(self, flag: int, /) -> bool:
        self.flags.add(flag)
        return True

    @strict
    def isbflagset(self, flag: int, /) -> bool:
        return flag in self.flags

    @strict
    def set_forward_no_connect(self) -> bool:
        return True

    @strict
    def set_drop(self) -> int:
        self.is_dropped = True
        return 1

    @strict
    def force_rport(self) -> bool:
        return True

    @strict
    def seturi(self, uri: str, /) -> bool:
        return bool(uri)

    @strict
    def setdsturi(self, uri: str, /) -> bool:
        return bool(uri)

    @strict
    def forward(self) -> int:
        return 1

    @strict
    def resetdsturi(self) -> bool:
        return True
