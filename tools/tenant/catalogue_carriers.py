"""Carriers: groups of servers, what they take, what they may send, what their answers mean."""

from __future__ import annotations

from typing import Final

from tools.tenant import kinds
from tools.tenant.catalogue_lists import PRIORITY
from tools.tenant.model import Field, Resource

TRANSPORT: Final = kinds.one_of("udp", "tcp", "tls")
HEADERS: Final = ("pai", "ppi", "rpid", "privacy", "diversion")
_LEFT_OUT: Final = "(select l.fault from tandem.peering_server_lookup l where l.server_id = r.id and l.host = r.host)"
PHRASE_OF: Final = "Reason phrase with it; both or none."

PEERING: Final = Resource(
    name="peering",
    section="carriers",
    words=("peering",),
    table="peering_group",
    help="Carriers: groups of servers that take the same calls.",
    fields=(
        Field("name", kinds.LABEL, "Unique in its account.", required=True, listed=True),
        Field("enabled", kinds.YES_NO, "Whether calls go there and come from there.", default=True, listed=True),
        Field("priority", kinds.whole(1, 9), "1 is best.", default=5, listed=True),
        Field("share", kinds.whole(1, 1000), "Part of the calls among equal carriers.", default=100, listed=True),
        Field("may_return", kinds.YES_NO, "Whether calls may go back where they came from.", default=False),
        Field(
            "tariff", kinds.NAMED, "Its deck: what it charges; a tariff of its account.", column="tariff_id",
            refers="tariff", reach="own", required=True, listed=True,
        ),
        Field("contact", kinds.NAMED, "Whom to write to.", column="contact_id", refers="contact"),
        Field(
            "rewrite_set", kinds.NAMED, "Rules of servers that name none.", column="rewrite_set_id",
            refers="rewrite_set",
        ),
    ),
    key=("name",),
    named_by=("name",),
    stays="calls may still come in that it carried; disable it",
    noun="carrier",
    lent=("name", "enabled"),
    view="carrier_record",
)  # fmt: skip
SERVER: Final = Resource(
    name="server",
    section="servers",
    words=("peering", "server"),
    table="peering_server",
    help="Servers of a carrier: calls go to them, and calls from their addresses are the carrier's.",
    fields=(
        Field("name", kinds.LABEL, "Unique in its carrier.", required=True, listed=True),
        Field("enabled", kinds.YES_NO, "Whether calls go there and come from there.", default=True, listed=True),
        Field("address", kinds.ADDRESS, "IP address; or else a host.", listed=True),
        Field("host", kinds.HOST, "DNS name; or else an address.", listed=True),
        Field("left_out", kinds.FREE, "What is wrong with its name, see `carrier names`.", computed=_LEFT_OUT),
        Field("port", kinds.whole(1, 65535), "Where calls go.", default=5060, listed=True),
        Field("transport", TRANSPORT, "How calls go there.", default="udp", listed=True),
        Field("weight", kinds.whole(1, 127), "Part of the calls among equal servers.", default=10, listed=True),
        Field(
            "aliases", kinds.several(kinds.NETWORK, "a list of networks such as 192.0.2.0/24")._replace(
                plain=lambda stored: sorted(map(str, stored))
            ), "Further networks its calls come from.", default=[],
        ),
        Field("socket", kinds.SOCKET, "Local socket that calls leave from.", default=""),
        Field("probe", kinds.YES_NO, "Whether it is asked by OPTIONS.", default=False),
        Field("channels_max", kinds.whole(0, 100_000), "Calls at a time per node; 0 = any.", default=0),
        Field("cps_max", kinds.whole(0, 10_000), "New calls a second per node; 0 = any.", default=0),
        Field("ring_max_s", kinds.whole(0, 180, "seconds"), "How long it may ring; 0 = as the node.", default=0),
        Field("pdd_max_ms", kinds.whole(0, 60_000, "ms"), "How long it may be silent; 0 = as the node.", default=0),
        Field("redirects", kinds.YES_NO, "Whether its 3xx answers are followed.", default=False),
        Field(
            "ported", kinds.one_of("number", "routing", "rn"), "What is called for a ported number.", default="number",
        ),
        Field("is_trusted", kinds.YES_NO, "Whether what it says of callers is believed.", default=True),
        Field("identity_shown", kinds.one_of("caller", "own"), "What the From says.", default="caller"),
        Field(
            "identity_headers", kinds.several(kinds.one_of(*HEADERS), f"a list of {', '.join(HEADERS)}"),
            "Which it is sent.", default=["pai", "privacy", "diversion"],
        ),
        Field("identity_host", kinds.URI_HOST, "Host of these URIs; default: the caller's domain.", default=""),
        Field(
            "rewrite_set", kinds.NAMED, "Own rules; default: the carrier's.", column="rewrite_set_id",
            refers="rewrite_set",
        ),
        Field("login_username", kinds.FREE, "Our user name there, see `login`.", computed="r.login_username"),
        Field("login_realm", kinds.FREE, "Realm in which that holds.", computed="r.login_realm"),
        Field(
            "login_register_s", kinds.whole(0, 86_400, "seconds"), "We register for so long, 30 or more; 0 = not.",
            default=0,
        ),
        Field("login_contact_user", kinds.USER_PART, "User part of the Contact registered.", default=""),
    ),
    key=("name",),
    named_by=("name",),
    parent="peering",
    parent_column="group_id",
)  # fmt: skip
HUNT: Final = Resource(
    name="hunt",
    section="hunt",
    words=("peering", "hunt"),
    table="hunt_rule",
    noun="hunt rule",
    help="What final answers of a server mean, where that is not the default.",
    fields=(
        Field("status", kinds.whole(300, 699), "SIP status that it answers.", required=True, fixed=True, listed=True),
        Field(
            "action", kinds.one_of("stop", "continue"), "The caller is told, or the next server is tried.",
            required=True, listed=True,
        ),
        Field("told_status", kinds.whole(400, 699), "What the caller is told.", listed=True),
        Field("told_phrase", kinds.PHRASE, PHRASE_OF, listed=True),
    ),
    key=("status",),
    named_by=("status",),
    parent="server",
    parent_column="server_id",
    primary=("server_id", "status"),
)  # fmt: skip
RULE: Final = Resource(
    name="rule",
    section="rules",
    words=("peering", "rule"),
    table="peering_rule",
    noun="routing rule",
    help="Which calls a carrier takes; without any it takes none.",
    fields=(
        Field("callee_prefix", kinds.PREFIX_OR_ANY, "Beginning of the called number.", default="", listed=True),
        Field("callee_pattern", kinds.PATTERN_OR_ANY, "Searched in sip:<digits>@….", default="", listed=True),
        Field("caller_pattern", kinds.PATTERN_OR_ANY, "Searched in the caller's URI.", default="", listed=True),
        Field("block", kinds.YES_NO, "No carrier takes such a call.", default=False, listed=True),
        Field("valid_from", kinds.MOMENT, "It holds from then on.", listed=True),
        Field("valid_to", kinds.MOMENT, "It holds until then.", listed=True),
        Field("time_set", kinds.NAMED, "It holds only then.", column="time_set_id", refers="time_set", listed=True),
        Field("stopper", kinds.YES_NO, "Shorter prefixes are not considered.", default=False, listed=True),
        Field("enabled", kinds.YES_NO, "A disabled one matches nothing.", default=True, listed=True),
        Field("description", kinds.DESCRIPTION, "For people.", default="", listed=True),
    ),
    key=("callee_prefix", "callee_pattern", "caller_pattern", "block", "valid_from", "valid_to", "time_set"),
    named_by=("callee_prefix",),
    bare_ids=False,
    parent="peering",
    parent_column="group_id",
)
INBOUND: Final = Resource(
    name="inbound",
    section="inbound",
    words=("peering", "inbound"),
    table="inbound_rule",
    noun="inbound filter",
    help="Filters on calls from a carrier, in order of priority; every enabled one must match.",
    fields=(
        Field("priority", PRIORITY, "1 is tried first.", required=True, listed=True),
        Field("field", kinds.one_of("from", "to", "ruri", "pai"), "Which header.", required=True, listed=True),
        Field("part", kinds.one_of("user", "domain", "uri"), "Which part of its URI.", required=True, listed=True),
        Field("pattern", kinds.PATTERN, "Must be found there.", required=True, listed=True),
        Field(
            "code",
            kinds.whole(400, 699),
            "SIP status when it is not; default: the carrier is passed over.",
            listed=True,
        ),
        Field("phrase", kinds.PHRASE, PHRASE_OF, listed=True),
        Field("enabled", kinds.YES_NO, "A disabled one is not asked.", default=True, listed=True),
    ),
    key=("priority",),
    named_by=("priority",),
    bare_ids=False,
    parent="peering",
    parent_column="group_id",
)
