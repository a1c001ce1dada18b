"""Whom a number reaches beyond a line: users, groups, callflows, extensions, media servers; forwards and places."""

from __future__ import annotations

from typing import Final

from tools.tenant import kinds
from tools.tenant.catalogue_lines import CALLS, RING_S, STATUS
from tools.tenant.model import Field, Resource
from tools.tenant.reached import reached_by

POSITION: Final = kinds.whole(1, 9_999)
TRANSPORT: Final = kinds.one_of("udp", "tcp")
_CALLERS: Final = "Only for these callers."
_LINES: Final = (
    "(select coalesce(jsonb_agg(s.username || '@' || d.name order by s.id), '[]')"
    " from tandem.subscriber s join tandem.sip_domain d on d.id = s.sip_domain_id where s.user_id = r.id)"
)


def destination(prefix: str, verb: str, *, to_numbers: bool = True) -> tuple[Field, ...]:
    """Return the fields of a destination, of which one is said. prefix: of their names. verb: begins their help."""
    line = Field(
        f"{prefix}subscriber", kinds.NAMED, f"{verb} this line.", column=f"{prefix}subscriber_id",
        refers="subscriber", reach="own", listed=True,
    )  # fmt: skip
    user = Field(
        f"{prefix}user", kinds.NAMED, f"{verb} all lines of this user.", column=f"{prefix}user_id", refers="user",
        reach="own", listed=True,
    )  # fmt: skip
    group = Field(
        f"{prefix}group", kinds.NAMED, f"{verb} this group.", column=f"{prefix}ring_group_id", refers="group",
        reach="own", listed=True,
    )  # fmt: skip
    flow = Field(
        f"{prefix}callflow", kinds.NAMED, f"{verb} this callflow.", column=f"{prefix}callflow_id", refers="callflow",
        reach="own", listed=True,
    )  # fmt: skip
    number = Field(
        f"{prefix}number", kinds.E164, f"{verb} this number, ours or not.", column=f"{prefix}e164", listed=True
    )
    media = Field(
        f"{prefix}media", kinds.NAMED, f"{verb} this media server.", column=f"{prefix}media_server_id",
        refers="media_server", listed=True,
    )  # fmt: skip
    box = Field(f"{prefix}media_user", kinds.MEDIA_USER, "What is called there: an announcement, a voicemail box.")
    return (line, user, group, flow, *((number,) if to_numbers else ()), media, box)


def alternatives(prefix: str) -> tuple[tuple[str, ...], ...]:
    """Return which fields of a destination stand for each other: saying one takes the others away."""
    names = ("subscriber", "user", "group", "callflow", "number")
    return (*((f"{prefix}{name}",) for name in names), (f"{prefix}media", f"{prefix}media_user"))


USER: Final = Resource(
    name="user",
    section="users",
    words=("user",),
    table="user",
    help="People: calling one rings all its lines at once.",
    fields=(
        Field("name", kinds.LABEL, "Unique in its account; of one word it can be dialled.", required=True, listed=True),
        Field("status", STATUS, "Closed is the end.", default="active", listed=True),
        Field("dnd", kinds.YES_NO, "Whether it takes no calls now.", default=False, listed=True),
        Field("ring_s", RING_S, "How long its lines ring; 0 = as the node says.", default=0),
        Field("calls_max", CALLS, "Calls at a time of all its lines; 0 = any number.", default=0, listed=True),
        Field(
            "lines", kinds.several(kinds.NAMED, "a list of lines"), "Its lines; say it of each of them.",
            computed=_LINES, listed=True,
        ),
        reached_by("user_id"),
    ),
    key=("name",),
    named_by=("name",),
)  # fmt: skip
GROUP: Final = Resource(
    name="group",
    section="groups",
    words=("group",),
    table="ring_group",
    help="Groups of lines and users that are called together or in turn.",
    fields=(
        Field("name", kinds.LABEL, "Unique in its account.", required=True, listed=True),
        Field(
            "policy", kinds.one_of("parallel", "serial", "random", "circular"), "All at once, or in which order.",
            default="parallel", listed=True,
        ),
        Field("member_s", RING_S, "How long each rings in its turn; 0 = as the node says.", default=0),
        Field("total_s", RING_S, "How long all of them ring together; 0 = as the node says.", default=0, listed=True),
        Field("skip_busy", kinds.YES_NO, "Whether who is in a call is passed over.", default=False, listed=True),
        *(each._replace(listed=False) for each in destination("overflow_", "When nobody answers, call")),
        reached_by("ring_group_id"),
    ),
    key=("name",),
    named_by=("name",),
    instead=alternatives("overflow_"),
)  # fmt: skip
MEMBER: Final = Resource(
    name="member",
    section="members",
    words=("group", "member"),
    table="ring_group_member",
    help="Lines and users of a group, named by their position.",
    fields=(
        Field("position", POSITION, "1 is called first.", required=True, listed=True),
        *destination("", "Call")[:2],
        Field("ring_s", RING_S, "How long it rings; 0 = as the group says.", default=0, listed=True),
    ),
    key=("position",),
    named_by=("position",),
    parent="group",
    parent_column="ring_group_id",
    instead=alternatives("")[:2],
    bare_ids=False,
)
MEDIA_SERVER: Final = Resource(
    name="media_server",
    section="media_servers",
    words=("media-server",),
    table="media_server",
    help="Where announcements and voicemail boxes live; usable by all accounts below.",
    fields=(
        Field("name", kinds.LABEL, "Unique in its account.", required=True, listed=True),
        Field("address", kinds.ADDRESS, "IP address that calls go to.", required=True, listed=True),
        Field("port", kinds.whole(0, 65_535), "0 = the transport's own.", default=0, listed=True),
        Field("transport", TRANSPORT, "By which calls go there.", default="udp", listed=True),
    ),
    key=("name",),
    named_by=("name",),
    noun="media server",
    lent=("name",),
)
CALLFLOW: Final = Resource(
    name="callflow",
    section="callflows",
    words=("callflow",),
    table="callflow",
    help="Steps that a call goes through: what they say and nothing else.",
    fields=(
        Field("name", kinds.LABEL, "Unique in its account.", required=True, listed=True),
        reached_by("callflow_id", "flow_id"),
    ),
    key=("name",),
    named_by=("name",),
)
STEP: Final = Resource(
    name="step",
    section="steps",
    words=("callflow", "step"),
    table="callflow_step",
    help="Steps of a callflow, named by their position; an unanswered ring goes on with the next.",
    fields=(
        Field("position", POSITION, "In their order; gaps leave room.", required=True, listed=True),
        Field(
            "kind", kinds.one_of("ring", "forward", "flow", "media", "reject", "time", "caller"), "What it does.",
            required=True, listed=True,
        ),
        *destination("", "Ring")[:3],
        Field("ring_s", RING_S, "Of ring: how long; 0 = as the node says.", default=0, listed=True),
        Field("number", kinds.E164, "Of forward: this number, for good.", column="e164", listed=True),
        Field(
            "flow", kinds.NAMED, "Of flow: this callflow, for good.", column="flow_id", refers="callflow", reach="own",
            listed=True,
        ),
        Field(
            "media", kinds.NAMED, "Of media: this media server, for good.", column="media_server_id",
            refers="media_server", listed=True,
        ),
        Field("media_user", kinds.MEDIA_USER, "Of media: what is called there.", listed=True),
        Field("status", kinds.whole(400, 699), "Of reject: SIP status.", listed=True),
        Field(
            "phrase", kinds.matching(r"[ -~]{0,64}", "up to 64 printable ASCII characters"), "Of reject: its phrase.",
            default="", listed=True,
        ),
        Field(
            "time_set", kinds.NAMED, "Of time: within it the next step follows.", column="time_set_id",
            refers="time_set", listed=True,
        ),
        Field("callers", kinds.CALLER_GLOBS, "Of caller: for these the next step follows.", default=[], listed=True),
        Field("otherwise", POSITION, "Of time and caller: position of the step that follows else.", listed=True),
    ),
    key=("position",),
    named_by=("position",),
    parent="callflow",
    parent_column="callflow_id",
    instead=(
        ("subscriber",), ("user",), ("group",), ("number",), ("flow",), ("media", "media_user"), ("status", "phrase"),
        ("time_set", "otherwise"), ("callers", "otherwise"),
    ),
    bare_ids=False,
)  # fmt: skip
EXTENSION: Final = Resource(
    name="extension",
    section="extensions",
    words=("extension",),
    table="extension",
    help="What lines of the account reach by a few digits or a word.",
    fields=(
        Field(
            "dialled",
            kinds.matching(r"[0-9*#]{1,8}|[a-z][a-z0-9._-]{0,63}", "up to 8 digits, * and #, or a lower-case word"),
            "As it is dialled.", required=True, fixed=True, listed=True,
        ),
        *destination("", "It reaches"),
    ),
    key=("dialled",),
    named_by=("dialled",),
    bare_ids=False,
    instead=alternatives(""),
)  # fmt: skip
_FORWARD: Final = Resource(
    name="forward",
    section="forwards",
    words=("forward",),
    table="forward",
    help="Where calls go instead, or afterwards, named KIND/PRIORITY; of each kind the first that holds counts, of "
    "timeout the soonest.",
    fields=(
        Field(
            "kind", kinds.one_of("always", "busy", "no_answer", "timeout", "unreachable"), "When.", required=True,
            listed=True,
        ),
        Field("priority", POSITION, "1 is looked at first.", default=1, listed=True),
        *destination("to_", "Call"),
        Field("after_s", RING_S, "Of timeout: after so many seconds of ringing.", default=0, listed=True),
        Field("time_set", kinds.NAMED, "Only then.", column="time_set_id", refers="time_set", listed=True),
        Field("callers", kinds.CALLER_GLOBS, _CALLERS, default=[], listed=True),
    ),
    key=("kind", "priority"),
    named_by=("kind", "priority"),
    joint="/",
    instead=alternatives("to_"),
    called="forward",
    noun="forward",
)  # fmt: skip
LINE_FORWARD: Final = _FORWARD._replace(
    name="subscriber_forward", words=("subscriber", "forward"), parent="subscriber", parent_column="subscriber_id"
)
USER_FORWARD: Final = _FORWARD._replace(
    name="user_forward", words=("user", "forward"), parent="user", parent_column="user_id"
)
PLACE: Final = Resource(
    name="place",
    section="places",
    words=("subscriber", "place"),
    table="trunk_place",
    help="Where an IP trunk takes calls: the lowest priority first, within one a draw by weight.",
    fields=(
        Field("address", kinds.ADDRESS, "IP address that calls go to.", required=True, listed=True),
        Field("port", kinds.whole(0, 65_535), "0 = the transport's own.", default=0, listed=True),
        Field("transport", TRANSPORT, "By which calls go there.", default="udp", listed=True),
        Field("priority", kinds.whole(0, 999), "The lowest is tried first.", default=0, listed=True),
        Field("weight", kinds.whole(0, 1_000), "Share of calls within a priority.", default=1, listed=True),
    ),
    key=("address", "port", "transport"),
    named_by=("address",),
    parent="subscriber",
    parent_column="subscriber_id",
)
