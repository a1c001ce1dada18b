"""Who calls and is called: domains, subscribers, the sources that stand for them, numbers."""

from __future__ import annotations

from typing import Final

from tools.tenant import kinds
from tools.tenant.model import Field, Resource

STATUS: Final = kinds.one_of("active", "suspended", "closed")
LOCK: Final = kinds.one_of("none", "foreign", "outgoing", "all", "global")


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
    help="Numbers that are called, and the subscribers they reach.",
    fields=(
        Field("number", kinds.E164, "In E.164 digits.", column="e164", required=True, fixed=True, listed=True),
        Field("status", STATUS, "Closed is the end.", default="active", listed=True),
        Field(
            "subscriber", kinds.NAMED, "Whom it reaches: a subscriber of its account.", column="subscriber_id",
            refers="subscriber", reach="own", listed=True,
        ),
    ),
    key=("number",),
    named_by=("number",),
    bare_ids=False,
    is_global=True,
    movable=True,
)  # fmt: skip
