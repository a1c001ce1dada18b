"""The KSR calls that Tandem uses, and no others.

mypy proves at boot/router.py that Kamailio's module satisfies these; tests/fakes/ksr.py satisfies them too.
Rule 1: `-> int` above 0 means yes or done, below 0 no or failed. Nothing here may ever be given None.
Rule 2: names of pseudo-variables are constants: each distinct one is cached for ever in each process.
"""

from __future__ import annotations

from typing import Protocol

from kemi.adapters.ksr_phones_api import Nathelper, Registrar, Tcpops, Textopsx

Xval = int | str | None


class Pv(Protocol):
    """Pseudo-variables."""

    def gete(self, name: str, /) -> Xval:
        """Return the value, "" when there is none. Raises UnicodeDecodeError on bytes that are not UTF-8."""

    def geti(self, name: str, /) -> int:
        """Return a number; 0 when there is none."""

    def sets(self, name: str, value: str, /) -> bool:
        """Set to text."""

    def unset(self, name: str, /) -> bool:
        """Set to nothing."""


class Pvx(Protocol):
    """AVPs: values that live with the transaction. A set pushes; a get reads the last set."""

    def avp_gete(self, name: str, /) -> Xval:
        """Return the value, "" when there is none."""

    def avp_sets(self, name: str, value: str, /) -> int:
        """Push a value."""

    def avp_rm(self, name: str, /) -> int:
        """Remove the last value."""


class Kx(Protocol):
    """Typed getters, twice as fast as pseudo-variables."""

    def get_method(self) -> Xval:
        """Return the method."""

    def get_callid(self) -> Xval:
        """Return the Call-ID."""

    def get_srcip(self) -> Xval:
        """Return the source address."""

    def get_msgbuf(self) -> Xval:
        """Return the whole message as received."""


class Hdr(Protocol):
    """Headers. Edits become visible only in what is sent."""

    def gete(self, name: str, /) -> Xval:
        """Return the first body of this header, "" when absent."""

    def get_idx(self, name: str, index: int, /) -> Xval:
        """Return the body of the header of this name at `index`, from 0, whatever its form; None behind the last."""

    def append(self, line: str, /) -> int:
        r"""Append `Name: value\r\n`."""

    def remove(self, name: str, /) -> int:
        """Remove all headers of this name."""

    def append_to_reply(self, line: str, /) -> int:
        r"""Append `Name: value\r\n` to the reply that will be sent."""


class Tm(Protocol):
    """Transactions."""

    def t_newtran(self) -> int:
        """Create the transaction; ≤ 0 when this is a retransmission."""

    def t_relay(self) -> int:
        """Forward statefully; 0 = nothing left to do, < 0 = nothing was sent."""

    def t_check_trans(self) -> int:
        """Absorb retransmissions (0) and match CANCEL and ACK (> 0); < 0 for a new request."""

    def t_reply(self, code: int, phrase: str, /) -> int:
        """Answer the transaction."""

    def t_on_branch(self, callback: str, /) -> int:
        """Run this callback for every branch before it leaves. An unknown name is accepted silently."""

    def t_on_failure(self, callback: str, /) -> int:
        """Run this callback when all branches failed. An unknown name is accepted silently."""

    def t_on_reply(self, callback: str, /) -> int:
        """Run this callback for every reply to a branch. An unknown name is accepted silently."""

    def t_on_branch_failure(self, callback: str, /) -> int:
        """Run this callback when one branch failed. An unknown name is accepted silently."""

    def t_is_canceled(self) -> int:
        """Tell whether the caller cancelled."""

    def t_get_status_code(self) -> int:
        """Return the status that would be sent up."""

    def t_set_fr(self, invite_ms: int, ms: int, /) -> int:
        """Set how long to ring, and how long to wait for any answer at all; 0 = as it is.

        For a reply it counts from now on.
        """

    def t_uac_send(self, method: str, ruri: str, next_hop: str, socket: str, headers: str, body: str, /) -> int:
        """Send a request of our own."""


class Tmx(Protocol):
    """More of transactions."""

    def t_precheck_trans(self) -> int:
        """Tell whether another worker has this request's transaction already."""

    def t_reply_callid(self, call_id: str, cseq: str, code: int, phrase: str, /) -> int:
        """Send the final answer of a transaction of any process, and cancel what it has asked."""


class Sl(Protocol):
    """Replies, stateful where a transaction exists."""

    def send_reply(self, code: int, phrase: str, /) -> int:
        """Send a reply."""


class Dialog(Protocol):
    """Kamailio's memory of calls."""

    def dlg_manage(self) -> int:
        """Follow this call from now on."""

    def dlg_get(self, call_id: str, from_tag: str, to_tag: str, /) -> int:
        """Make this call the one that `$dlg(…)` and the variables speak of."""

    def dlg_set_timeout(self, seconds: int, /) -> int:
        """Set the current call's backstop."""

    def dlg_set_timeout_id(self, seconds: int, entry: int, number: int, /) -> int:
        """Set a call's backstop, counted from now; −1 when it is gone."""


class Rr(Protocol):
    """Record-Route and Route."""

    def record_route(self) -> int:
        """Stay in the path of the call."""

    def add_rr_param(self, parameter: str, /) -> int:
        """Add `;name=value` to our Record-Route."""

    def loose_route(self) -> int:
        """Follow the Route headers; > 0 when they named us."""


class Maxfwd(Protocol):
    """Max-Forwards."""

    def process_maxfwd(self, maximum: int, /) -> int:
        """Count one hop; < 0 when there were too many."""


class Sanity(Protocol):
    """Form of the message."""

    def sanity_check(self, message_checks: int, uri_checks: int, /) -> int:
        """Check, and answer what fails; < 0 when it did."""


class Siputils(Protocol):
    """Questions about a message."""

    def has_totag(self) -> int:
        """Tell whether the request belongs to a dialog."""


class Textops(Protocol):
    """Text of a message."""

    def remove_hf_re(self, pattern: str, /) -> int:
        """Remove the headers whose name matches this POSIX expression, in any case; < 0 when none does."""


class Uac(Protocol):
    """The From header, kept straight in both directions by the module; and our own logins."""

    def uac_replace_from(self, display: str, uri: str, /) -> int:
        """Write another From; "" leaves that part as it is."""

    def uac_replace_to(self, display: str, uri: str, /) -> int:
        """Write another To, likewise."""

    def uac_auth_mode(self, mode: int, /) -> int:
        """Answer the challenge that an attempt got, with the credentials in AVPs; < 0 when there are none for it."""


class Htable(Protocol):
    """Tables in shared memory."""

    def sht_get(self, table: str, key: str, /) -> Xval:
        """Return a value, None when absent."""

    def sht_sets(self, table: str, key: str, value: str, /) -> int:
        """Set text."""

    def sht_setxs(self, table: str, key: str, value: str, seconds: int, /) -> int:
        """Set text that expires."""

    def sht_setex(self, table: str, key: str, seconds: int, /) -> int:
        """Set when an item expires."""

    def sht_inc(self, table: str, key: str, /) -> int:
        """Count up, atomically over all processes; return the new value."""

    def sht_dec(self, table: str, key: str, /) -> int:
        """Count down, likewise."""

    def sht_rm(self, table: str, key: str, /) -> int:
        """Remove."""

    def sht_iterator_start(self, iterator: str, table: str, /) -> int:
        """Begin to walk a table; holds the lock of a slot until the end."""

    def sht_iterator_next(self, iterator: str, /) -> int:
        """Go on; < 0 at the end."""

    def sht_iterator_end(self, iterator: str, /) -> int:
        """End the walk. Must follow every start."""


class Mqueue(Protocol):
    """Queues between processes."""

    def mq_add(self, queue: str, key: str, value: str, /) -> int:
        """Append; < 0 when the queue is full."""

    def mq_fetch(self, queue: str, /) -> int:
        """Take the first item; < 0 when empty."""

    def mqk_get(self, queue: str, /) -> Xval:
        """Return the key of the item taken."""

    def mqv_get(self, queue: str, /) -> Xval:
        """Return the value of the item taken."""

    def mq_size(self, queue: str, /) -> int:
        """Return how many items wait."""


class Statistics(Protocol):
    """Counters that `kamcmd stats.fetch script:` shows."""

    def update_stat(self, name: str, change: int, /) -> int:
        """Add to a counter declared in kamailio.cfg."""


class Jsonrpcs(Protocol):
    """Kamailio's own commands, as kamcmd gives them."""

    def exec(self, command: str, /) -> int:
        """Run a command in JSON-RPC 2.0."""


class Ksr(Protocol):
    """Kamailio, as Tandem sees it."""

    @property
    def pv(self) -> Pv: ...  # noqa: D102  the class says it, here and below
    @property
    def pvx(self) -> Pvx: ...  # noqa: D102
    @property
    def kx(self) -> Kx: ...  # noqa: D102
    @property
    def hdr(self) -> Hdr: ...  # noqa: D102
    @property
    def tm(self) -> Tm: ...  # noqa: D102
    @property
    def tmx(self) -> Tmx: ...  # noqa: D102
    @property
    def sl(self) -> Sl: ...  # noqa: D102
    @property
    def dialog(self) -> Dialog: ...  # noqa: D102
    @property
    def rr(self) -> Rr: ...  # noqa: D102
    @property
    def maxfwd(self) -> Maxfwd: ...  # noqa: D102
    @property
    def sanity(self) -> Sanity: ...  # noqa: D102
    @property
    def siputils(self) -> Siputils: ...  # noqa: D102
    @property
    def textops(self) -> Textops: ...  # noqa: D102
    @property
    def uac(self) -> Uac: ...  # noqa: D102
    @property
    def registrar(self) -> Registrar: ...  # noqa: D102
    @property
    def nathelper(self) -> Nathelper: ...  # noqa: D102
    @property
    def tcpops(self) -> Tcpops: ...  # noqa: D102
    @property
    def textopsx(self) -> Textopsx: ...  # noqa: D102
    @property
    def htable(self) -> Htable: ...  # noqa: D102
    @property
    def mqueue(self) -> Mqueue: ...  # noqa: D102
    @property
    def statistics(self) -> Statistics: ...  # noqa: D102
    @property
    def jsonrpcs(self) -> Jsonrpcs: ...  # noqa: D102

    def info(self, text: str, /) -> int:
        """Log literally; the text ends with a newline. Here and below."""

    def notice(self, text: str, /) -> int:
        """Log what somebody did."""

    def err(self, text: str, /) -> int:
        """Log an error."""

    def get_debug(self) -> int:
        """Return the level of the log, 1 = notices and worse."""

    def is_ACK(self) -> bool:  # noqa: N802  Kamailio's name, here and below
        """Tell the method."""

    def is_BYE(self) -> bool:  # noqa: N802
        """Tell the method."""

    def is_CANCEL(self) -> bool:  # noqa: N802
        """Tell the method."""

    def is_myself(self, uri: str, /) -> bool:
        """Tell whether this node listens at the host and port of a URI."""

    def setbflag(self, flag: int, /) -> bool:
        """Set a flag of the branch."""

    def isbflagset(self, flag: int, /) -> bool:
        """Tell whether a flag of the branch is set."""

    def set_forward_no_connect(self) -> bool:
        """Send what leaves next only over a connection that is there."""

    def set_drop(self) -> int:
        """Let the reply under our hands go no further."""

    def force_rport(self) -> bool:
        """Answer to the port that the request came from."""

    def seturi(self, uri: str, /) -> bool:
        """Set the R-URI of what will be sent."""

    def setdsturi(self, uri: str, /) -> bool:
        """Set the next hop of what will be sent."""

    def forward(self) -> int:
        """Send on without a transaction."""

    def resetdsturi(self) -> bool:
        """Send to where the R-URI says."""
