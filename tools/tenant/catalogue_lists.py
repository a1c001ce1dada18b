"""Contacts, and the lists that accounts and lines use: rewrite sets, time sets, barring levels, own SIP answers."""

from __future__ import annotations

from typing import Final

from tools.tenant import kinds
from tools.tenant.model import Field, Resource, Rows

PRIORITY: Final = kinds.whole(1, 9999)
SIDES: Final = ("caller_in", "callee_in", "caller_out", "callee_out", "caller_lnp", "callee_lnp")


CONTACT: Final = Resource(
    name="contact",
    section="contacts",
    words=("contact",),
    table="contact",
    help="Whom invoices and notices go to.",
    fields=(
        Field("email", kinds.EMAIL, "For invoices and notices.", required=True, listed=True),
        Field("name", kinds.FREE, "Person or company.", default="", listed=True),
        Field("address", kinds.FREE, "Postal address.", default=""),
        Field("phone", kinds.E164, "Number for people to call.", listed=True),
    ),
    key=("email",),
    named_by=("email",),
    movable=True,
)
REWRITE_SET: Final = Resource(
    name="rewrite_set",
    section="rewrite_sets",
    words=("rewrite-set",),
    table="rewrite_set",
    help="Sets of rules for numbers as dialled and as sent.",
    fields=(Field("name", kinds.LABEL, "Unique in its account.", required=True, listed=True),),
    key=("name",),
    named_by=("name",),
)
REWRITE_RULE: Final = Resource(
    name="rewrite_rule",
    section="rules",
    words=("rewrite-set", "rule"),
    table="rewrite_rule",
    help="Rules of a rewrite set, named SIDE/PRIORITY; of each side the first that matches counts.",
    fields=(
        Field("side", kinds.one_of(*SIDES), "Which number, and which way it goes.", required=True, listed=True),
        Field("priority", PRIORITY, "1 is tried first.", required=True, listed=True),
        Field("pattern", kinds.PATTERN, "Searched in the number.", required=True, listed=True),
        Field(
            "replacement", kinds.REPLACEMENT, r"Takes its place; \1 to \9 are its groups.", required=True, listed=True
        ),
    ),
    key=("side", "priority"),
    named_by=("side", "priority"),
    joint="/",
    parent="rewrite_set",
    parent_column="rewrite_set_id",
)
TIME_SET: Final = Resource(
    name="time_set",
    section="time_sets",
    words=("time-set",),
    table="time_set",
    help="Times at which something holds: open days, else not on shut days, else within the week's hours.",
    fields=(
        Field("name", kinds.LABEL, "Unique in its account.", required=True, listed=True),
        Field("timezone", kinds.TIMEZONE, "Whose days and hours are meant.", default="UTC", listed=True),
        Field(
            "weekly", kinds.SPANS, "Parts of each week, such as Mon-Fri 08:00-18:00.", default=[], listed=True,
            rows=Rows(
                "time_set_span", "time_set_id", "jsonb_build_array(lower(c.span), upper(c.span))", ("span",),
                "int4range(%s, %s)",
            ),
        ),
        Field("open", kinds.DAYS, "Days on which it holds whatever else is said.", default=[], rows=Rows(
            "time_set_day", "time_set_id", "jsonb_build_array(c.first_day, c.last_day)", ("first_day", "last_day"),
            "%s, %s", {"kind": "open"},
        )),
        Field("shut", kinds.DAYS, "Days on which it does not hold, unless open.", default=[], rows=Rows(
            "time_set_day", "time_set_id", "jsonb_build_array(c.first_day, c.last_day)", ("first_day", "last_day"),
            "%s, %s", {"kind": "shut"},
        )),
    ),
    key=("name",),
    named_by=("name",),
)  # fmt: skip
BARRING: Final = Resource(
    name="barring",
    section="barring_levels",
    words=("barring",),
    table="barring_level",
    help="Levels of what may not be called.",
    fields=(
        Field("name", kinds.LABEL, "Unique in its account.", required=True, listed=True),
        Field(
            "mode", kinds.one_of("blacklist", "whitelist"), "Refuses what a rule matches, or all else.",
            required=True, listed=True,
        ),
        Field("spares_internal", kinds.YES_NO, "Whether calls to lines of ours pass.", default=False, listed=True),
        Field("time_set", kinds.NAMED, "It holds only then.", column="time_set_id", refers="time_set", listed=True),
    ),
    key=("name",),
    named_by=("name",),
)  # fmt: skip
BARRING_RULE: Final = Resource(
    name="barring_rule",
    section="rules",
    words=("barring", "rule"),
    table="barring_rule",
    help="Patterns of a barring level, searched in the called number.",
    fields=(Field("pattern", kinds.PATTERN, "Searched in E.164 digits.", required=True, listed=True),),
    key=("pattern",),
    named_by=("pattern",),
    parent="barring",
    parent_column="barring_level_id",
)
REPLY: Final = Resource(
    name="reply",
    section="replies",
    words=("reply",),
    table="reply_override",
    help="SIP answers of one's own for reasons of refusals; the nearest account above counts.",
    fields=(
        Field("reason", kinds.REASON, "Why a call is refused.", required=True, fixed=True, listed=True),
        Field("status", kinds.whole(400, 699), "SIP status.", required=True, listed=True),
        Field("phrase", kinds.PHRASE, "Reason phrase.", required=True, listed=True),
    ),
    key=("reason",),
    named_by=("reason",),
    primary=("account_id", "reason"),
)
