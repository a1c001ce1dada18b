"""Several phones that ring together: one transaction with a branch for each contact of each target.

Rule 1: a branch is known by its contact's own id, a server's by where it goes: when one cannot be sent at all, the
numbers of those behind it are others than they were in the set.
Rule 2: what each branch said is noted with the call, and told as one attempt a target, by its most telling branch.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from kemi.adapters import ksr_dlg_var, ksr_plan, ksr_shared
from kemi.adapters.ksr_api import Ksr
from kemi.adapters.ksr_plan import Asked, Here, Plan
from kemi.adapters.ksr_read import text
from kemi.adapters.ksr_sides import BRANCHES_MAX
from kemi.core.outcome import Target
from kemi.core.refusals import REFUSALS
from kemi.records import Attempt

REPLY: Final = "ksr_fork_reply"
LOCATION: Final = "location"
CALLED_BACK: Final = 6  # flag of a branch: it goes to where the phone's REGISTER came from, over that connection
COUNT: Final = "$branch(count)"  # of the set; the R-URI is one more
NEW: Final = "$br"
RURI_RUID: Final = "$ruid"
URI: Final = tuple(f"$(branch(uri)[{at}])" for at in range(BRANCHES_MAX))
RUID: Final = tuple(f"$(branch(ruid)[{at}])" for at in range(BRANCHES_MAX))
NEXT_HOP: Final = tuple(f"$(branch(dst_uri)[{at}])" for at in range(BRANCHES_MAX))
SOCKET: Final = tuple(f"$(branch(send_socket)[{at}])" for at in range(BRANCHES_MAX))
FINAL: Final = 300
REQUEST_TERMINATED: Final = 487
DECLINED: Final = 600
BUSY: Final = 486
NO_ANSWER: Final = 408
CANNOT: Final = 503
OFFLINE: Final = REFUSALS["offline"].status
SHOWN: Final = (("_uac_funew", "_uac_fu"), ("_uac_tonew", "_uac_to"))  # of the uac module: as sent, as it came
NO_ROOM: Final = "branches"
SPARED: Final = 3  # branches that one target leaves to each after it, as far as there are enough
LOST: Final = "unreachable"


class Gathered(NamedTuple):
    """Who can ring. forks: as in Plan. missing: the other places of the stage, each with its status and word."""

    forks: tuple[tuple[str, int], ...]
    missing: tuple[tuple[int, int, str], ...]


def gather(ksr: Ksr, plan: Plan, here: Here) -> Gathered:
    """Make R-URI and branches of the request under our hands those of the stage's targets.

    There are thirty branches in all, and each stage that may follow is worth one, up to half of what is left. A target
    leaves to each that comes after it a few of the rest, within equal shares. Contacts beyond are left out.
    """
    free = BRANCHES_MAX - ksr_plan.branches(ksr)
    room = max(0, free - min(len(plan.stages) - plan.stage - 1, free // 2))
    forks: list[tuple[str, int]] = []
    missing: list[tuple[int, int, str]] = []
    for after, place in zip(range(len(plan.places) - 1, -1, -1), plan.places, strict=True):
        target, so_far = plan.targets[place], len(forks)
        if so_far >= room:
            missing.append((place, CANNOT, NO_ROOM))
            continue
        names = _phones(ksr, target, so_far) if target.kind == "local" else _server(ksr, target, so_far, here)
        if not names:
            missing.append((place, OFFLINE, "") if target.kind == "local" else (place, CANNOT, LOST))
        left = room - so_far
        most = max(1, left - after * min(SPARED, left // (after + 1)))
        for at in range(so_far + len(names) - 1, so_far + most - 1, -1):
            ksr.pv.unset(URI[at - 1])
        forks += [(name, place) for name in names[:most]]
    return Gathered(tuple(forks), tuple(missing))


def place_of(ksr: Ksr, plan: Plan) -> int:
    """Return the place of the target whose branch is under our hands, -1 where nobody has put it there."""
    places = dict(plan.forks)
    server = _name(_read(ksr, "$ru"), _read(ksr, "$du"))
    return places.get(server, places.get(_read(ksr, RURI_RUID), -1))


def heard(ksr: Ksr) -> None:
    """Note with which final status a branch has ended."""
    status, branch = ksr.pv.geti("$rs"), ksr.pv.geti("$T_branch_idx")
    is_final = status >= FINAL and status != REQUEST_TERMINATED  # our own CANCEL, whatever it was for
    asked = ksr_plan.asked_in(ksr, branch) if is_final else None
    if asked is not None and not asked.status:
        ksr_plan.note(ksr, branch, asked._replace(status=status))


def ended(ksr: Ksr, plan: Plan, unix_ms: int) -> Plan:
    """Return the plan after all branches of its attempt have ended, without an answer."""
    asked = ksr_plan.asked_since(ksr, plan.asked_ns)
    is_declined = any(each.status >= DECLINED for each in asked)
    by_place = _by_place(asked)
    for place in sorted({place for _, place in plan.forks}):
        of_place = by_place.get(place, [])
        plan = plan.failed(*_most_telling(of_place, is_declined=is_declined), unix_ms, _pdd_ms(of_place), place)
    return plan


def cancelled(ksr: Ksr, plan: Plan, unix_ms: int) -> Plan:
    """Return the plan after the caller's CANCEL."""
    by_place = _by_place(ksr_plan.asked_since(ksr, plan.asked_ns))
    for place in sorted({place for _, place in plan.forks}):
        plan = plan.failed(_said(by_place.get(place, [])), "", unix_ms, _pdd_ms(by_place.get(place, [])), place)
    return plan


def beside(ksr: Ksr, answered: Asked, unix_ms: int) -> tuple[Attempt, ...]:
    """Return the attempts at other targets that rang beside the one that has answered."""
    by_place = _by_place(ksr_plan.asked_since(ksr, answered.asked_ns))
    return tuple(
        Attempt(each[0].server_id, _said(each), each[0].asked_ms, unix_ms, _pdd_ms(each), "", place)
        for place, each in sorted(by_place.items())
        if place != answered.place
    )


def show_as_told(ksr: Ksr, answered: Asked) -> None:
    """Let requests inside the call show the From and To that the one who answered has been told.

    The uac module keeps one pair a call: that of the branch which was made last.
    """
    for uri, (new, old) in zip(answered.told, SHOWN, strict=True):
        shown = uri or ksr_dlg_var.get(ksr, old)
        if shown and ksr_dlg_var.get(ksr, new):
            ksr_dlg_var.put(ksr, new, shown)


def _by_place(asked: list[Asked]) -> dict[int, list[Asked]]:
    found: dict[int, list[Asked]] = {}
    for each in asked:
        found.setdefault(each.place, []).append(each)
    return found


def _phones(ksr: Ksr, target: Target, so_far: int) -> tuple[str, ...]:
    """Add the contacts of an address of record; return the ids of those that were added."""
    uri = f"sip:{target.address_of_record}"
    if so_far:
        before = so_far - 1
        if ksr.registrar.lookup_to_dset(LOCATION, uri) < 0:
            return ()
        return tuple([_read(ksr, name) for name in RUID[before : ksr.pv.geti(COUNT)]])
    ksr_shared.send_from(ksr, "")
    ksr.seturi(uri)
    if ksr.registrar.lookup(LOCATION) < 0:
        return ()
    return tuple([_read(ksr, name) for name in (RURI_RUID, *RUID[: ksr.pv.geti(COUNT)])])


def _server(ksr: Ksr, target: Target, so_far: int, here: Here) -> tuple[str, ...]:
    """Add a server; return what its branch is known by, () where it cannot be added."""
    socket = target.limits.socket or here.socket_to(target.next_hop)
    if not so_far:
        if not ksr_shared.send_from(ksr, target.limits.socket, socket):
            return ()
        ksr.seturi(target.ruri)
        ksr.setdsturi(target.next_hop)
        return (_name(target.ruri, target.next_hop),)
    if not ksr.pv.sets(NEW, target.ruri) or ksr.pv.geti(COUNT) != so_far:
        return ()
    ksr.pv.sets(NEXT_HOP[so_far - 1], target.next_hop)
    if socket:
        ksr.pv.sets(SOCKET[so_far - 1], socket)
    return (_name(target.ruri, target.next_hop),)


def _read(ksr: Ksr, name: str) -> str:
    return text(lambda: ksr.pv.gete(name))


def _name(ruri: str, next_hop: str) -> str:
    return f"{ruri} {next_hop}"


def _pdd_ms(asked: list[Asked]) -> int:
    return min((each.pdd_ms() for each in asked if each.rang_ns), default=-1)


def _said(asked: list[Asked]) -> int:
    """Return the status that a target gave before the call was answered or cancelled, 0 = it gave none."""
    return min((each.status for each in asked if each.status), default=0)


def _most_telling(asked: list[Asked], *, is_declined: bool) -> tuple[int, str]:
    """Return status and word of a target: what is final for the person, that it rang its time, busy, the rest.

    A branch without a final status has run out of time, or was cancelled where somebody has declined for all.
    """
    statuses = {each.status for each in asked if each.status}
    if any(status >= DECLINED for status in statuses):
        return max(statuses), ""
    if is_declined:
        return min(statuses, default=0), ""
    if any(each.rang_ns and not each.status for each in asked):
        return OFFLINE, "ring"
    return BUSY if BUSY in statuses else min(statuses, default=NO_ANSWER), ""
