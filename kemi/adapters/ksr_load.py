"""Shedding in Kamailio's terms: what the agent says of the load in shared memory, and what a worker refuses by it.

Rule 1: while nothing is shed, a new call pays one look into a table; what is shed is answered without a transaction.
Rule 2: what is refused is new: calls and registrations that nobody has begun. Emergency numbers pass, as does all that
belongs to a call, and a phone that is registered here may stay so; from one address so often and no more.
Rule 3: an agent that has died sheds nothing: its word is forgotten by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from random import random
from time import time_ns
from typing import Final

from kemi.adapters.ksr_api import Ksr
from kemi.adapters.ksr_read import source_ip, text
from kemi.core.digest import nonce_state, parse_credentials
from kemi.core.overload import PASSED_MAX, is_shed
from kemi.core.refusals import REFUSALS
from kemi.settings import Settings

LOAD: Final = "load"  # table
ADMITTED: Final = "admitted"
PASSED: Final = "passed"  # table; its rows live as long as core.overload.PASSED_S says
NS_PER_MS: Final = 1_000_000
SAID_S: Final = 3  # the agent says it again all the time
SHED: Final = "shed"  # statistic, and word in the table of refusals
_SHED_SUM: Final = "$stat(shed)"
_LOCATION: Final = "location"


def publish(ksr: Ksr, admitted: float | None) -> None:
    """Tell all workers which share of the new calls is let in; None = all."""
    if admitted is None:
        ksr.htable.sht_rm(LOAD, ADMITTED)
    else:
        ksr.htable.sht_setxs(LOAD, ADMITTED, f"{admitted:.4f}", SAID_S)


def shed_so_far(ksr: Ksr) -> int:
    """Return how many requests this node has shed since it began."""
    return ksr.pv.geti(_SHED_SUM)


def shed(ksr: Ksr, method: str, settings: Settings, is_emergency: Callable[[str], bool]) -> bool:
    """Refuse a new INVITE or REGISTER where this node is asked too much; return whether it is done with.

    is_emergency: whether somebody may call for help by what is dialled.
    """
    said = ksr.htable.sht_get(LOAD, ADMITTED)
    if not isinstance(said, str):
        return False
    admitted, draw = float(said), random()  # noqa: S311  nothing to guess here
    if not is_shed(admitted, draw, is_known=False):
        return False
    if not is_shed(admitted, draw, is_known=True) and _is_known(ksr, method, settings):
        return False
    if _must_pass(ksr, method, is_emergency) and _is_bearable(ksr, method):
        return False
    ksr.statistics.update_stat(SHED, 1)
    refusal = REFUSALS[SHED]
    ksr.hdr.append_to_reply(f"Retry-After: {refusal.retry_after_s}\r\n")
    ksr.sl.send_reply(refusal.status, refusal.phrase)
    return True


def _is_known(ksr: Ksr, method: str, settings: Settings) -> bool:
    """Tell whether a request answers a challenge that this cell gave to its network; any header could look like it."""
    header = "Proxy-Authorization" if method == "INVITE" else "Authorization"
    credentials = parse_credentials(text(lambda: ksr.hdr.gete(header)))
    if credentials is None:
        return False
    now_ms, expire_s = time_ns() // NS_PER_MS, settings.limits.nonce_expire_s
    return nonce_state(settings.secret, credentials.nonce, now_ms, expire_s, source_ip(ksr)) == "ok"


def _is_bearable(ksr: Ksr, method: str) -> bool:
    """Count what passes although it would be shed; tell whether its address has not had too many of them."""
    return ksr.htable.sht_inc(PASSED, f"{method}:{source_ip(ksr)}") <= PASSED_MAX


def _must_pass(ksr: Ksr, method: str, is_emergency: Callable[[str], bool]) -> bool:
    """Tell whether a request may not be shed: a call for help, or a phone's that would be unreachable then."""
    if method == "INVITE":
        return is_emergency(text(lambda: ksr.pv.gete("$rU")))
    to_uri = text(lambda: ksr.pv.gete("$tu"))  # `registered` looks for the R-URI, which names no phone here
    return bool(to_uri) and ksr.registrar.registered_uri(_LOCATION, to_uri) > 0
