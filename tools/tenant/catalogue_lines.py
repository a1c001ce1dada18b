"""Who calls and is called: domains, subscribers, the sources that stand for them, numbers."""

from __future__ import annotations

from typing import Final

from tools.tenant import kinds
from tools.tenant.model import Field, Resource

STATUS: Final = kinds.one_of("active", "suspended", "closed")
LOCK: Final = kinds.one_of("none", "foreign", "outgoing", "all", "global")
RING_S: Final = kinds.whole(0, 300, "seconds")
CALLS: Final = kinds.whole(0, 10_000)
EXPIRES_S: Final = kinds.whole(0, 86_400, "seconds")
CONTACTS_MAX: Final = 30  # as kemi.core.registration, which a command would load for a fifth of a second

DOMAIN: Final = Resource(
    name="domain",
    section="domains",
    words=("domain",),
    table="sip_domain",
    help="SIP domains with the defaults of their subscribers.",
    fields=(
        Field(
            "name", kinds.DOMAIN, "Host part of addresses; the realm of passwords, so it never changes.",
            required=True, fixed=True, listed=True,
        ),
        Field("enabled", kinds.YES_NO, "Whether its subscribers call and are called.", default=True, listed=True),
        Field(
            "rewrite_set", kinds.NAMED, "Rules of subscribers that name none.", column="rewrite_set_id",
            refers="rewrite_set", listed=True,
        ),
        Field("region", kinds.REGION, "Whose emergency numbers count.", default="", listed=True),
        Field("digest", kinds.one_of("md5", "sha256", "both"), "What its subscribers are asked for.", default="md5"),
    ),
    key=("name",),
    named_by=("name",),
    is_global=True,
)  # fmt: skip
SUBSCRIBER: Final = Resource(
    name="subscriber",
    section="subscribers",
    words=("subscriber",),
    table="subscriber",
    help="SIP lines and trunks, named USER@DOMAIN.",
    fields=(
        Field("username", kinds.USERNAME, "User part of the address.", required=True, fixed=True, listed=True),
        Field(
            "domain", kinds.DOMAIN, "Domain of the address: the account's or one above it.", column="sip_domain_id",
            refers="domain", required=True, fixed=True, listed=True,
        ),
        Field("status", STATUS, "Closed is the end.", default="active", listed=True),
        Field("lock", LOCK, "What is forbidden to it, emergency calls excepted.", default="none"),
        Field("cli", kinds.E164, "Own number, shown when the policy overrides.", listed=True),
        Field(
            "cli_policy", kinds.one_of("override", "anonymise", "reject"), "What becomes of others' numbers.",
            default="override",
        ),
        Field("allowed_clis", kinds.OWN_GLOBS, "Numbers it may show besides its own.", default=[]),
        Field("clir", kinds.YES_NO, "Whether its number is never shown.", default=False),
        Field(
            "rewrite_set", kinds.NAMED, "Own rules; default: the domain's.", column="rewrite_set_id",
            refers="rewrite_set",
        ),
        Field(
            "barring", kinds.NAMED, "Barring level set by its account.", column="barring_id", refers="barring",
        ),
        Field(
            "own_barring", kinds.NAMED, "Barring level set by its user.", column="own_barring_id", refers="barring",
        ),
        Field("blocked_in", kinds.CALLER_GLOBS, "Who may not call it.", default=[]),
        Field("blocked_out", kinds.GLOBS, "Whom it may not call.", default=[]),
        Field("region", kinds.REGION, "Whose emergency numbers count; default: the domain's.", default=""),
        Field("kind", kinds.one_of("line", "pilot", "trunk", "ip_trunk"), "What it is.", default="line", listed=True),
        Field(
            "user", kinds.NAMED, "Whose device it is; default: nobody's.", column="user_id", refers="user",
            reach="own", listed=True,
        ),
        Field("dnd", kinds.YES_NO, "Whether it takes no calls now.", default=False),
        Field("ring_s", RING_S, "How long it rings; 0 = as the node says.", default=0),
        Field("calls_max", CALLS, "Calls at a time; 0 = any number.", default=0),
        Field("calls_in_max", CALLS, "Of these, calls to it; 0 = any number.", default=0),
        Field("calls_out_max", CALLS, "Of these, calls from it; 0 = any number.", default=0),
        Field("did_in", kinds.one_of("ruri", "to"), "Of trunks: where the dialled number stands.", default="ruri"),
        Field(
            "contacts_max", kinds.whole(0, CONTACTS_MAX), "Phones registered at a time; 0 = as the node says.",
            default=0,
        ),
        Field("expires_min_s", EXPIRES_S, "Shortest registration; 0 = as the node says.", default=0),
        Field("expires_max_s", EXPIRES_S, "Longest registration; 0 = as the node says.", default=0),
        Field("register_from", kinds.NETWORKS, "Where it may register from; default: anywhere.", default=[]),
        Field(
            "digest", kinds.one_of("", "md5", "sha256", "both"), "What it is asked for; default: as its domain.",
            default="",
        ),
    ),
    key=("username", "domain"),
    named_by=("username", "domain"),
    joint="@",
    is_global=True,
)  # fmt: skip
TRUSTED: Final = Resource(
    name="trusted",
    section="trusted",
    words=("trusted",),
    table="trusted_source",
    help="Networks from which calls are a subscriber's without a password.",
    fields=(
        Field("network", kinds.NETWORK, "Where calls come from.", required=True, listed=True),
        Field("transport", kinds.one_of("", "udp", "tcp", "tls"), "Only over this one.", default="", listed=True),
        Field("from_pattern", kinds.PATTERN_OR_ANY, "Searched in the From URI.", default="", listed=True),
        Field("enabled", kinds.YES_NO, "A disabled one keeps its place.", default=True, listed=True),
    ),
    key=("network", "transport", "from_pattern"),
    named_by=("network",),
    parent="subscriber",
    parent_column="subscriber_id",
    is_global=True,
    noun="trusted source",
)
NUMBER: Final = Resource(
    name="number",
    section="numbers",
    words=("number",),
    table="number",
    help="Numbers that are called, and what they reach: a subscriber, a user, a group, a callflow or a media server.",
    fields=(
        Field("number", kinds.E164, "In E.164 digits.", column="e164", required=True, fixed=True, listed=True),
        Field("status", STATUS, "Closed is the end.", default="active", listed=True),
        Field(
            "subscriber", kinds.NAMED, "Whom it reaches: a subscriber of its account.", column="subscriber_id",
            refers="subscriber", reach="own", listed=True,
        ),
        Field(
            "user", kinds.NAMED, "Or a user of its account.", column="user_id", refers="user", reach="own", listed=True
        ),
        Field(
            "group", kinds.NAMED, "Or a group of its account.", column="ring_group_id", refers="group", reach="own",
            listed=True,
        ),
        Field(
            "callflow", kinds.NAMED, "Or a callflow of its account.", column="callflow_id", refers="callflow",
            reach="own", listed=True,
        ),
        Field(
            "media", kinds.NAMED, "Or a media server of its account or one above.", column="media_server_id",
            refers="media_server", listed=True,
        ),
        Field("media_user", kinds.MEDIA_USER, "What is called at the media server."),
    ),
    instead=(("subscriber",), ("user",), ("group",), ("callflow",), ("media", "media_user")),
    key=("number",),
    named_by=("number",),
    bare_ids=False,
    is_global=True,
    movable=True,
)  # fmt: skip
