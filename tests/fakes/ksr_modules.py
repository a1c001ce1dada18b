"""The modules of the fake Kamailio; see tests/fakes/ksr.py."""

# ruff: noqa: D101, D102  what each class and function stands for is said in kemi/adapters/ksr_api.py

from __future__ import annotations

import functools
import inspect
import json
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar, get_type_hints

if TYPE_CHECKING:
    from tests.fakes.ksr import FakeKsr

Xval = int | str | None
F = TypeVar("F", bound=Callable[..., Any])
INT_MAX: Final = 2**31 - 1
YES, NO = 1, -1


def strict(function: F) -> F:
    """Check arguments as the C code does, and record the call."""
    hints = [hint for name, hint in get_type_hints(function).items() if name != "return"]
    names = [p for p in inspect.signature(function).parameters if p != "self"]

    @functools.wraps(function)
    def checked(self: Any, *arguments: Any) -> Any:
        name = f"{self.module}{function.__name__}"
        if len(arguments) != len(names) or not all(map(_fits, arguments, hints)):
            raise SystemError(f"{name}{arguments}: wrong arguments")
        self.fake.calls.append((name, *arguments))
        planned = self.fake.results.get(name)
        return function(self, *arguments) if planned is None else planned

    return checked  # type: ignore[return-value]


def _fits(value: object, kind: object) -> bool:
    if kind is int:
        return type(value) is int and -INT_MAX <= value <= INT_MAX
    return type(value) is str and "\0" not in value


class Module:
    module = ""

    def __init__(self, fake: FakeKsr) -> None:
        self.fake = fake


class Pv(Module):
    module = "pv."

    @strict
    def gete(self, name: str, /) -> Xval:
        value = self.fake.pv_value(name)
        return "" if value is None else value

    @strict
    def geti(self, name: str, /) -> int:
        value = self.fake.pv_value(name)
        return value if isinstance(value, int) else 0

    @strict
    def sets(self, name: str, value: str, /) -> bool:
        self.fake.pvs[name] = value
        return True

    @strict
    def unset(self, name: str, /) -> bool:
        self.fake.pvs.pop(name, None)
        return True


class Pvx(Module):
    module = "pvx."

    @strict
    def avp_gete(self, name: str, /) -> Xval:
        values = self.fake.avps.get(name)
        return values[-1] if values else ""

    @strict
    def avp_sets(self, name: str, value: str, /) -> int:
        self.fake.avps.setdefault(name, []).append(value)
        return YES

    @strict
    def avp_rm(self, name: str, /) -> int:
        values = self.fake.avps.get(name)
        if not values:
            return NO
        values.pop()
        return YES


class Kx(Module):
    module = "kx."

    @strict
    def get_method(self) -> Xval:
        return self.fake.method

    @strict
    def get_callid(self) -> Xval:
        return self.fake.pv_value("$ci")

    @strict
    def get_srcip(self) -> Xval:
        return self.fake.pv_value("$si")

    @strict
    def get_msgbuf(self) -> Xval:
        return self.fake.whole_message().decode()


class Hdr(Module):
    module = "hdr."

    @strict
    def gete(self, name: str, /) -> Xval:
        values = self._all(name)
        return values[0] if values else ""

    @strict
    def get_idx(self, name: str, index: int, /) -> Xval:
        values = self._all(name)
        return values[index] if index < len(values) else None

    def _all(self, name: str) -> list[str]:
        value = self.fake.headers.get(name, [])
        return value if isinstance(value, list) else [value.decode() if isinstance(value, bytes) else value]

    @strict
    def append(self, line: str, /) -> int:
        return YES if line.endswith("\r\n") else NO

    @strict
    def remove(self, name: str, /) -> int:
        return YES if name else NO

    @strict
    def append_to_reply(self, line: str, /) -> int:
        self.fake.reply_headers.append(line)
        return YES


class Tm(Module):
    module = "tm."

    @strict
    def t_newtran(self) -> int:
        return YES

    @strict
    def t_relay(self) -> int:
        return YES

    @strict
    def t_check_trans(self) -> int:
        return NO

    @strict
    def t_reply(self, code: int, phrase: str, /) -> int:
        self.fake.sent.append((code, phrase))
        return YES

    @strict
    def t_on_branch(self, callback: str, /) -> int:
        return YES if callback else NO

    @strict
    def t_on_failure(self, callback: str, /) -> int:
        return YES if callback else NO

    @strict
    def t_on_reply(self, callback: str, /) -> int:
        return YES if callback else NO

    @strict
    def t_on_branch_failure(self, callback: str, /) -> int:
        return YES if callback else NO

    @strict
    def t_is_canceled(self) -> int:
        return NO

    @strict
    def t_get_status_code(self) -> int:
        return 0

    @strict
    def t_set_fr(self, invite_ms: int, ms: int, /) -> int:
        return YES if invite_ms > 0 and ms >= 0 else NO

    @strict
    def t_uac_send(self, method: str, ruri: str, next_hop: str, socket: str, headers: str, body: str, /) -> int:
        self.fake.requests.append((method, ruri, next_hop, socket, headers, body))
        return YES


class Tmx(Module):
    module = "tmx."

    @strict
    def t_precheck_trans(self) -> int:
        return NO

    @strict
    def t_reply_callid(self, call_id: str, cseq: str, code: int, phrase: str, /) -> int:
        return YES if call_id and cseq.isdecimal() and code and phrase else NO


class Sl(Module):
    module = "sl."

    @strict
    def send_reply(self, code: int, phrase: str, /) -> int:
        self.fake.sent.append((code, phrase))
        return YES


class Dialog(Module):
    module = "dialog."

    @strict
    def dlg_manage(self) -> int:
        return YES

    @strict
    def dlg_get(self, call_id: str, from_tag: str, to_tag: str, /) -> int:
        return YES if call_id and from_tag and to_tag else NO

    @strict
    def dlg_set_timeout(self, seconds: int, /) -> int:
        return YES if seconds > 0 else NO

    @strict
    def dlg_set_timeout_id(self, seconds: int, entry: int, number: int, /) -> int:
        return YES if seconds > 0 and (entry, number) != (0, 0) else NO


class Rr(Module):
    module = "rr."

    @strict
    def record_route(self) -> int:
        return YES

    @strict
    def add_rr_param(self, parameter: str, /) -> int:
        return YES if parameter.startswith(";") else NO

    @strict
    def loose_route(self) -> int:
        return YES


class Maxfwd(Module):
    module = "maxfwd."

    @strict
    def process_maxfwd(self, maximum: int, /) -> int:
        return YES if maximum > 0 else NO


class Sanity(Module):
    module = "sanity."

    @strict
    def sanity_check(self, message_checks: int, uri_checks: int, /) -> int:
        return YES if message_checks and uri_checks else NO


class Siputils(Module):
    module = "siputils."

    @strict
    def has_totag(self) -> int:
        return NO


class Textops(Module):
    module = "textops."

    @strict
    def remove_hf_re(self, pattern: str, /) -> int:
        return YES if pattern else NO


class Uac(Module):
    module = "uac."

    @strict
    def uac_replace_from(self, display: str, uri: str, /) -> int:
        return YES if display or uri else NO

    @strict
    def uac_replace_to(self, display: str, uri: str, /) -> int:
        return YES if display or uri else NO

    @strict
    def uac_auth_mode(self, mode: int, /) -> int:
        return YES if mode == 1 and self.fake.avps.get("login_ha1") else NO


class Registrar(Module):
    module = "registrar."

    @strict
    def save(self, table: str, flags: int, /) -> int:
        return YES if table and flags in (2, 2 | 16) else NO

    @strict
    def save_uri(self, table: str, flags: int, uri: str, /) -> int:
        return YES if table and flags in (2, 2 | 16) and uri else NO

    @strict
    def reg_send_reply(self) -> int:
        return YES

    @strict
    def reg_fetch_contacts(self, table: str, uri: str, profile: str, /) -> int:
        return YES if table and uri and profile and self.fake.pvs.get("$(ulc(locs=>count)[0])") else NO

    @strict
    def reg_free_contacts(self, profile: str, /) -> int:
        return YES if profile else NO

    @strict
    def unregister_ruid(self, table: str, uri: str, ruid: str, /) -> int:
        return YES if table and uri and ruid else NO

    @strict
    def registered_uri(self, table: str, uri: str, /) -> int:
        return YES if table and uri and self.fake.results.get(f"registrar.registered_uri {uri}", NO) > 0 else NO

    @strict
    def lookup(self, table: str, /) -> int:
        return YES if table else NO

    @strict
    def lookup_to_dset(self, table: str, uri: str, /) -> int:
        return YES if table and uri else NO


class Nathelper(Module):
    module = "nathelper."

    @strict
    def fix_nated_register(self) -> int:
        return YES


class Tcpops(Module):
    module = "tcpops."

    @strict
    def tcp_set_connection_lifetime_cid(self, number: int, seconds: int, /) -> int:
        return YES if number > 0 and seconds > 0 else NO

    @strict
    def tcp_close_connection_id(self, number: int, /) -> int:
        return YES if number > 0 else NO


class Textopsx(Module):
    module = "textopsx."

    @strict
    def msg_apply_changes(self) -> int:
        return YES


class Htable(Module):
    """Tables that count begin at 0, the others have no initial value: −255 when counted, as in C."""

    module = "htable."
    COUNTED = ("earlies", "failing", "nonce", "loops", "channels", "cps", "offline", "turns", "passed")
    NOT_A_NUMBER = -255

    @strict
    def sht_get(self, table: str, key: str, /) -> Xval:
        return self._table(table).get(key)

    @strict
    def sht_sets(self, table: str, key: str, value: str, /) -> int:
        self._table(table)[key] = value
        return YES

    @strict
    def sht_setxs(self, table: str, key: str, value: str, seconds: int, /) -> int:
        self._table(table)[key] = value
        return 0 if seconds > 0 else NO

    @strict
    def sht_setex(self, table: str, key: str, seconds: int, /) -> int:
        return YES if seconds > 0 and key in self._table(table) else NO

    @strict
    def sht_inc(self, table: str, key: str, /) -> int:
        before = self._table(table).get(key, 0 if table in self.COUNTED else None)
        if not isinstance(before, int):
            return self.NOT_A_NUMBER
        self._table(table)[key] = before + 1
        return before + 1

    @strict
    def sht_dec(self, table: str, key: str, /) -> int:
        before = self._table(table).get(key, 0 if table in self.COUNTED else None)
        if not isinstance(before, int):
            return self.NOT_A_NUMBER
        self._table(table)[key] = before - 1
        return before - 1

    @strict
    def sht_rm(self, table: str, key: str, /) -> int:
        self._table(table).pop(key, None)
        return YES

    @strict
    def sht_iterator_start(self, iterator: str, table: str, /) -> int:
        self.fake.iterators[iterator] = deque(self._table(table))
        return YES

    @strict
    def sht_iterator_next(self, iterator: str, /) -> int:
        left = self.fake.iterators[iterator]
        if not left:
            return NO
        self.fake.pvs[f"$shtitkey({iterator})"] = left.popleft()
        return YES

    @strict
    def sht_iterator_end(self, iterator: str, /) -> int:
        del self.fake.iterators[iterator]
        return YES

    def _table(self, name: str) -> dict[str, Xval]:
        return self.fake.tables[name]  # an unknown table is an error of ours


class Mqueue(Module):
    module = "mqueue."
    QUEUES = ("agent", "locations")

    @strict
    def mq_add(self, queue: str, key: str, value: str, /) -> int:
        if queue not in self.QUEUES or len(self.fake.queue) >= self.fake.queue_max:
            return NO
        self.fake.queue.append((key, value))
        return YES

    @strict
    def mq_fetch(self, queue: str, /) -> int:
        if queue not in self.QUEUES or not self.fake.queue:
            return -2
        self.fake.taken = self.fake.queue.popleft()
        return YES

    @strict
    def mqk_get(self, queue: str, /) -> Xval:
        return self.fake.taken[0] if queue else None

    @strict
    def mqv_get(self, queue: str, /) -> Xval:
        return self.fake.taken[1] if queue else None

    @strict
    def mq_size(self, queue: str, /) -> int:
        return len(self.fake.queue) if queue else NO


class Statistics(Module):
    module = "statistics."

    @strict
    def update_stat(self, name: str, change: int, /) -> int:
        self.fake.statistics_sum[name] = self.fake.statistics_sum.get(name, 0) + change
        return YES


class Jsonrpcs(Module):
    module = "jsonrpcs."

    @strict
    def exec(self, command: str, /) -> int:
        """Obey the one command that Tandem gives."""
        asked = json.loads(command)
        assert (asked["method"], asked["params"][:2]) == ("cfg.set_now_int", ["core", "debug"])
        self.fake.debug = asked["params"][2]
        return YES
