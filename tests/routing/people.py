"""Users, groups, callflows, forwards, extensions and media servers of a world in text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kemi import keys
from kemi.records import (
    Callflow,
    Extension,
    Forward,
    MediaServer,
    Member,
    RingGroup,
    Step,
    TrunkPlace,
    User,
)
from tests.routing.entities import Entity, TextError
from tests.routing.parts import status

if TYPE_CHECKING:
    from tests.routing.building import Records

KINDS = {"user": keys.user, "group": keys.ring_group, "flow": keys.callflow}


def destination(records: Records, text: str) -> tuple[str, str]:
    """Return what a word leads to: `eva`, `bob@a.example`, `+3314…`, `ivr/box1`, or a destination as it is stored."""
    if text.startswith("+"):
        return keys.number(text[1:]), ""
    if "@" in text:
        return keys.subscriber(text), ""
    name, slash, box = text.partition("/")
    if slash:
        return keys.media_server(records.id_of("media", name)), box
    for kind, key in KINDS.items():
        if (kind, text) in records.entities:
            return key(records.id_of(kind, text)), ""
    if ":" in text:
        return text, ""
    raise TextError(f"{text} leads nowhere")


def of_line(records: Records, it: Entity) -> dict[str, Any]:
    """Return what a line has besides itself."""
    user_id = next(
        (records.id_of("user", user.name) for user in records.all("user") if it.name in user.items("lines")), 0
    )
    is_member = [group for group in records.all("group") if group.yes("skip_busy")]
    names = {member.partition("/")[0] for group in is_member for member in group.items("members")}
    counted = it.yes("counted") or it.name in names
    user = next((user for user in records.all("user") if it.name in user.items("lines")), None)
    is_user_counted = user is not None and (user.yes("counted") or user.name in names)
    return {
        "kind": it.text("kind", "line"),
        "user_id": user_id,
        "dnd": it.yes("dnd"),
        "forwards": forwards(records, it.name),
        "ring_s": it.number("ring"),
        "did_in": it.text("did", "ruri"),
        "places": tuple(_place(number, text) for number, text in enumerate(it.items("places"), 1)),
        "counted": tuple(
            fund
            for fund, is_there in (
                (keys.line_fund(records.id_of("line", it.name)), counted),
                (keys.user_fund(user_id), is_user_counted),
            )
            if is_there
        ),
    }


def forwards(records: Records, name: str) -> tuple[Forward, ...]:
    """Return the forwards of a line or a user, in the order of the text."""
    return tuple(_forward(records, it) for it in records.all("forward") if it.text("of") == name)


def fund_of(records: Records, name: str) -> str:
    """Return the fund that counts the calls of a line or a user."""
    if ("user", name) in records.entities:
        return keys.user_fund(records.id_of("user", name))
    return keys.line_fund(records.id_of("line", name))


def add(records: Records) -> None:
    """Put the records of people into a world."""
    for it in records.all("user"):
        user_id = records.id_of("user", it.name)
        records.records[keys.user(user_id)] = User(
            user_id,
            records.id_of("account", it.text("of")),
            it.name,
            status(it),
            it.items("lines"),
            dnd=it.yes("dnd"),
            ring_s=it.number("ring"),
            calls_max=it.number("calls"),
            forwards=forwards(records, it.name),
        )
    for it in records.all("group"):
        group_id = records.id_of("group", it.name)
        records.records[keys.ring_group(group_id)] = _group(records, it, group_id)
    for it in records.all("flow"):
        flow_id = records.id_of("flow", it.name)
        steps = tuple(_step(records, step) for step in records.all("step") if step.text("of") == it.name)
        flow = Callflow(flow_id, records.id_of("account", it.text("of")), it.name, steps)
        records.records[keys.callflow(flow_id)] = flow
    for it in records.all("extension"):
        account_id = records.id_of("account", it.text("of"))
        to = destination(records, it.text("leads"))
        records.records[keys.extension(account_id, it.name)] = Extension(account_id, it.name, *to)
    for it in records.all("media"):
        server_id, place = records.id_of("media", it.name), _place(0, it.values[0])
        records.records[keys.media_server(server_id)] = MediaServer(
            server_id, records.id_of("account", it.text("of")), it.name, place.address, place.port, place.transport
        )


def _group(records: Records, it: Entity, group_id: int) -> RingGroup:
    overflow = destination(records, it.text("overflow")) if it.text("overflow") else ("", "")
    members: list[Member] = []
    for text in it.items("members"):
        name, _, ring = text.partition("/")
        members.append(Member(destination(records, name)[0], int(ring or 0)))
    return RingGroup(
        group_id,
        records.id_of("account", it.text("of")),
        it.name,
        it.text("policy", "parallel"),
        tuple(members),
        it.number("each"),
        it.number("total"),
        it.yes("skip_busy"),
        *overflow,
    )


def _step(records: Records, it: Entity) -> Step:
    to = destination(records, it.text("leads")) if it.text("leads") else ("", "")
    return Step(
        it.values[0],
        *to,
        ring_s=it.number("ring"),
        time_set_id=records.id_of("timeset", it.text("time")),
        callers=it.items("callers"),
        otherwise=it.number("else"),
        status=it.number("status"),
        phrase=it.text("phrase"),
        position=int(it.name),
    )


def _forward(records: Records, it: Entity) -> Forward:
    return Forward(
        int(it.name),
        it.text("on"),
        *destination(records, it.text("leads")),
        after_s=it.number("after"),
        time_set_id=records.id_of("timeset", it.text("time")),
        callers=it.items("callers"),
    )


def _place(number: int, text: str) -> TrunkPlace:
    """Return a place: `203.0.113.80[:port][/transport[/priority[/weight]]]`."""
    at, *rest = text.split("/")
    address, _, port = at.partition(":")
    transport, priority, weight = (*rest, *("udp", "0", "1")[len(rest) :])
    return TrunkPlace(number, address, int(port or 0), transport, int(priority), int(weight))
