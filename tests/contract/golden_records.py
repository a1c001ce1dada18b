"""One example of every record, as it stands in tests/contract/golden/<Record>_<n>.bin.

A file is written once and never again: values like it stand in somebody's Redis. When a record grows a field, add an
example with that field under the next number; the older file must decode to the older example for ever.
`python -m tests.contract.golden_records` writes the files that are missing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from kemi import codec, records

FOLDER: Final = Path(__file__).parent / "golden"

_RULE = records.RewriteRule(12, 10, "^00", "")
_SOURCE = records.Source(4, records.SourceKind.TRUSTED, "203.0.113.0/24", "udp", "^sip:desk@", 0, 0, "desk@a.example")
_SERVER = records.PeerServer(7, "gw1", "198.51.100.7", 5080, "tcp", 10, True, 3)
_INBOUND = records.InboundRule(5, 1, "from", "user", r"^\+?[1-9]", 433, "Caller Number Needed")
_PEERING_RULE = records.PeeringRule(9, 3, "44", "^sip:4420", "^sip:49", True, False)
_RATE = records.Rate(12_000, 30, 6, 500, True)
_RATE_OF_LEG = records.Rate(25_000, 60, 60)
_LEG = records.PinnedLeg(1, 5, 2, "EUR", "5:EUR", 3, 11, "4420", _RATE_OF_LEG)
_TARGET = records.PinnedTarget(3, 7, "acme/gw1", records.PinnedLeg(0, 1, 1, "EUR", "", 4, 12, "44", _RATE_OF_LEG))
_CALL = records.PinnedCall(
    "0123456789abcdef0123456789abcdef", "call-1@ua", "tag-1", "node1", 1_700_000_000_000, "out", "alice@a.example", 5,
    "442079460001", "442071234567", 14_400, (_LEG,), (_TARGET,), ("rule 12: 00 → +",), (3 << 32) | 17, True,
)  # fmt: skip
_ATTEMPT = records.Attempt(7, 503)
_END = records.CallEnd(
    "answered", 1_700_000_060_000, 1_700_000_001_000, 58_500, 59, 200, "", 16, "caller", 7, (_ATTEMPT,), ("done",)
)
_POSTING = records.FundPosting("5:EUR", -24_583, 42, 1_000_000)
_PERIOD = records.Period("night", (records.Span(0, 420), records.Span(1_260, 1_440)))
_PERIOD_PRICE = records.PeriodPrice(0, 6_000, 250)
_RATE_2 = records.Rate(12_000, 30, 6, 500, True, 2_000, (_PERIOD_PRICE,))
_DECK = records.Deck(1_700_000_000_000, 13)
_EXCHANGE_RATE = records.ExchangeRate("USD", "EUR", 1_690_000_000_000, 920_000_001)
_BANDS = (records.Band(1_700_000_003_000, 12_000, 500), records.Band(0, 6_000, 250))
_LEG_2 = records.PinnedLeg(
    1, 5, 2, "USD", "5:EUR", 3, 13, "4420", records.Rate(12_000, 30, 6, 500, False, 2_000), _BANDS, "half_even", 100,
    920_000_001,
)  # fmt: skip
_TARGET_2 = records.PinnedTarget(3, 7, "acme/gw1", _LEG_2._replace(level=0, payer_id=1, payee_id=1, fund=""))
_CALL_2 = _CALL._replace(legs=(_LEG_2, _LEG), targets=(_TARGET_2,))
_CALL_3 = _CALL_2._replace(part_at_ms=(1_700_002_800_000, 1_700_006_400_000))
_END_2 = records.CallEnd("refused", 1_700_000_000_900, 0, 0, 0, 403, "spend_day", 21, "", 0, (), ("hold refused",), 5)
_CHOICE = records.Choice(31, 4, 8, "bell/one", "44", 90_000, "USD", 180, "dearer than level 2 pays")
_CALL_4 = _CALL_3._replace(routing="449901234567", hidden=True)
_CALL_5 = _CALL_4._replace(left_out=(_CHOICE,))
_CALL_6 = _CALL_5._replace(offline_s=300, offline_id=5)
_ATTEMPT_2 = records.Attempt(7, 503, 1_700_000_000_100, 1_700_000_000_350, -1, "unreachable")
_END_3 = records.CallEnd(
    "answered", 1_700_000_060_000, 1_700_000_001_000, 58_500, 59, 200, "", 16, "caller", 8,
    (_ATTEMPT_2, records.Attempt(8, 200, 1_700_000_000_360, 1_700_000_001_000, 420)), ("done",),
)  # fmt: skip
_LEG_3 = _LEG_2._replace(level=2, payer_id=6, fund="6:EUR", forward=1)
_TARGET_3 = records.PinnedTarget(0, 0, "bob@a.example", None, (), ("line5:", "user7:"))
_TARGET_4 = _TARGET_2._replace(forwards=(1, 2))
_TARGET_5 = _TARGET_4._replace(leads=("line5:", "user7:"))
_CALL_7 = _CALL_6._replace(legs=(_LEG, _LEG_3), targets=(_TARGET_3, _TARGET_4))
_CALL_8 = _CALL_7._replace(targets=(_TARGET_3, _TARGET_5))
_ATTEMPT_3 = records.Attempt(0, 0, 1_700_000_000_100, 1_700_000_001_000, 250, "", 2)
_END_4 = _END_3._replace(
    attempts=(_ATTEMPT_3, records.Attempt(0, 200, 1_700_000_000_100, 1_700_000_001_000, 420)), place=3
)
_HUNT_RULE = records.HuntRule(480, "stop", 486, "Busy Here")
_IDENTITY = records.Identity(False, "own", ("ppi", "rpid"), "sip.us.example")
_LOGIN = records.Login("trunk-7", "acme.example", "a" * 32, 600, "trunk7")
_SERVER_2 = records.PeerServer(
    7, "gw1", "2001:db8::7", 5080, "tcp", 10, True, 3, "tcp:[2001:db8::1]:5060", True, 30, 5, 40, 6_000, True, "rn",
    (_HUNT_RULE,), _IDENTITY, _LOGIN,
)  # fmt: skip
_PEERING_RULE_2 = records.PeeringRule(
    9, 3, "44", "^sip:4420", "^sip:49", False, True, True, 1_700_000_000_000, 1_800_000_000_000, 6,
)  # fmt: skip
_GROUP_2 = records.PeeringGroup(3, "acme", 1, 10, True, 4, "EUR", 2, (_SERVER,), (_INBOUND,), "month")
_BARRING_RULE = records.BarringRule(17, "^44(9|87)")
_HOLIDAYS = records.DayRange(1224, 106)
_PORTED = records.PortedNumber("442071234567", "449901", 3)
_DESTINATION = records.Destination("4420", 95)
_SERVER_QUALITY = records.ServerQuality(7, 55, 120, 2_500)
_EMERGENCY_ROUTE_2 = records.EmergencyRoute("", "112", (3,), "london", "442070000112")
_EMERGENCY_ROUTE = records.EmergencyRoute("a.example", "112", (3, 4))
_FORWARD = records.Forward(21, "timeout", "media:2", "box1", 15, 6, ("4420*", "anonymous"))
_PLACE = records.TrunkPlace(4, "2001:db8::7", 5080, "tcp", 1, 3)
_MEMBER = records.Member("user:7", 15)
_STEP = records.Step("media", "media:2", "box1", 20, 6, ("4420*",), 3, 480, "Nobody here")
_STEP_2 = _STEP._replace(position=40)
_OVERRIDE = records.ReplyOverride("credit", 402, "Top up please")

EXAMPLES: Final[dict[str, tuple[object, ...]]] = {
    "Account": (
        records.Account(
            5, 2, records.AccountKind.CUSTOMER, records.Status.SUSPENDED, "Älpha", "EUR", 3, "Europe/Berlin",
            ("prefix", "cost"), ("1900",), (_OVERRIDE,),
        ),
        records.Account(
            2, 1, records.AccountKind.RESELLER, records.Status.ACTIVE, "North", "EUR", 1, "UTC", (), (), (), True,
        ),
        records.Account(
            9, 2, records.AccountKind.CUSTOMER, records.Status.ACTIVE, "South", "USD", 4, "America/New_York", (), (),
            (), False, records.Lock.ALL,
        ),
        records.Account(
            9, 2, records.AccountKind.CUSTOMER, records.Status.ACTIVE, "South", "USD", 4, "UTC", ("share",), (), (),
            False, records.Lock.NONE, 4, 5, ("anonymous", "4420*"), ("44[89]*",), "own_first", 5, 3,
        ),
        records.Account(
            9, 2, records.AccountKind.CUSTOMER, records.Status.ACTIVE, "South", "USD", 4, "UTC", (), (), (), False,
            records.Lock.NONE, 0, 0, (), (), "all", 0, 0, 12, 300,
        ),
        records.Account(
            9, 2, records.AccountKind.CUSTOMER, records.Status.ACTIVE, "South", "USD", 4, "UTC", (), (), (), False,
            records.Lock.NONE, 0, 0, (), (), "all", 0, 0, -1, 600, "relay",
        ),
    ),
    "Attempt": (_ATTEMPT, _ATTEMPT_2, _ATTEMPT_3),
    "Band": _BANDS,
    "BarringLevel": (records.BarringLevel(4, "no premium", True, (_BARRING_RULE,), 6, True),),
    "BarringRule": (_BARRING_RULE,),
    "CallEnd": (_END, _END_2, _END_3, _END_4),
    "CallEvent": (
        records.CallEvent("settle", 2, _CALL.rid, 3, (_POSTING,), _CALL, _END),
        records.CallEvent("part", 2, _CALL.rid, 64, (_POSTING,), _CALL_2, _END_2, 3_600),
        records.CallEvent("part", 2, _CALL.rid, 64, (_POSTING,), _CALL_3, _END_2, 3_600),
        records.CallEvent("part", 2, _CALL.rid, 64, (_POSTING,), _CALL_4, _END_3, 3_600),
        records.CallEvent("part", 2, _CALL.rid, 64, (_POSTING,), _CALL_5, _END_3, 3_600),
        records.CallEvent("late", 2, _CALL.rid, 64, (), _CALL_6, _END_3),
        records.CallEvent("late", 2, _CALL.rid, 64, (), _CALL_7, _END_4),
        records.CallEvent("late", 2, _CALL.rid, 64, (), _CALL_8, _END_4),
    ),
    "Callflow": (
        records.Callflow(4, 5, "Main", (_STEP, records.Step("ring", "sub:alice@a.example"))),
        records.Callflow(4, 5, "Main", (_STEP_2, records.Step("ring", "sub:alice@a.example"))),
    ),
    "Choice": (_CHOICE,),
    "DayRange": (_HOLIDAYS,),
    "Deck": (_DECK,),
    "Destination": (_DESTINATION,),
    "Destinations": (records.Destinations((records.Destination("4", 180), _DESTINATION)),),
    "Emergency": (records.Emergency((_EMERGENCY_ROUTE,)), records.Emergency((_EMERGENCY_ROUTE_2,))),
    "EmergencyRoute": (_EMERGENCY_ROUTE, _EMERGENCY_ROUTE_2),
    "Exchange": (records.Exchange((_EXCHANGE_RATE,)),),
    "ExchangeRate": (_EXCHANGE_RATE,),
    "Extension": (records.Extension(5, "*98", "media:2", "box1"),),
    "Forward": (_FORWARD,),
    "FundPosting": (_POSTING,),
    "HuntRule": (_HUNT_RULE,),
    "Identity": (_IDENTITY,),
    "InboundRule": (_INBOUND,),
    "Lengths": (records.Lengths((12, 4)),),
    "Location": (
        records.Location(
            "sip:bob@192.168.7.9:5060", "sip:203.0.113.7:1024", "<sip:198.51.100.7;lr>", 1_700_000_300, 300,
            "call-1@ua", 7, "phone 1.0", "udp:192.0.2.1:5060", "<urn:uuid:1>", 1, 1_700_000_000, "n1",
        ),
    ),
    "Login": (_LOGIN,),
    "Masks": (records.Masks((32, 24), (128, 64)),),
    "MediaServer": (records.MediaServer(2, 1, "ivr", "192.0.2.5", 5070, "tcp"),),
    "Member": (_MEMBER,),
    "Number": (
        records.Number("442079460001", 5, records.Status.ACTIVE, "alice@a.example"),
        records.Number("442079460001", 5, records.Status.ACTIVE, "", "media:2", "box1"),
    ),
    "PeerServer": (_SERVER, _SERVER_2),
    "PeeringGroup": (
        records.PeeringGroup(3, "acme", 1, 10, True, 4, "EUR", 2, (_SERVER,), (_INBOUND,)),
        _GROUP_2,
        _GROUP_2._replace(servers=(_SERVER_2,), share=60, may_return=True),
    ),
    "PeeringRule": (_PEERING_RULE, _PEERING_RULE_2),
    "PeeringRules": (records.PeeringRules((_PEERING_RULE,)), records.PeeringRules((_PEERING_RULE_2,))),
    "Peers": (records.Peers((3, 5)),),
    "Period": (_PERIOD,),
    "PeriodPrice": (_PERIOD_PRICE,),
    "Opening": (records.Opening(17, 20_261_122, 1_250_000, 202_611, 90_000_000),),
    "PinnedCall": (_CALL, _CALL_2, _CALL_3, _CALL_4, _CALL_5, _CALL_6, _CALL_7, _CALL_8),
    "PinnedLeg": (_LEG, _LEG_2, _LEG_3),
    "PinnedTarget": (_TARGET, _TARGET_2, _TARGET_3, _TARGET_4, _TARGET_5),
    "PortedNumber": (_PORTED,),
    "Quality": (records.Quality((_SERVER_QUALITY,)),),
    "Rate": (_RATE, _RATE_2),
    "RateSet": (
        records.RateSet(11, (_RATE, _RATE_OF_LEG)),
        records.RateSet(13, (_RATE_2,), (_PERIOD,)),
        records.RateSet(17, (_RATE_2,), (_PERIOD,), (17, 14, 13)),
    ),
    "ReplyOverride": (_OVERRIDE,),
    "RewriteRule": (_RULE,),
    "RewriteSet": (
        records.RewriteSet(2, "as dialled", (_RULE,), (_RULE, _RULE), (), (_RULE,)),
        records.RewriteSet(2, "as dialled", (_RULE,), (), (), (_RULE,), (_RULE, _RULE), (_RULE,)),
    ),
    "RingGroup": (records.RingGroup(3, 5, "Sales", "serial", (_MEMBER,), 10, 60, True, "media:2", "sales"),),
    "ServerQuality": (_SERVER_QUALITY,),
    "SipDomain": (
        records.SipDomain(6, "a.example", 2, True, 2),
        records.SipDomain(6, "a.example", 2, True, 2, "london"),
        records.SipDomain(6, "a.example", 2, True, 2, "london", "sha256"),
    ),
    "Source": (_SOURCE,),
    "Sources": (records.Sources((_SOURCE,)),),
    "Span": (_PERIOD.spans[0],),
    "Step": (_STEP, _STEP_2),
    "Subscriber": (
        records.Subscriber(
            8, "alice", "a.example", 5, records.Status.ACTIVE, "0" * 32, "f" * 64, "442079460001",
            ("44207946*",), records.CliPolicy.REJECT, 2,
        ),
        records.Subscriber(
            8, "alice", "a.example", 5, records.Status.ACTIVE, "0" * 32, "f" * 64, "442079460001", (),
            records.CliPolicy.OVERRIDE, 2, 4, 5, ("anonymous",), ("44[89]*",), True, "london",
            records.Lock.OUTGOING,
        ),
        records.Subscriber(
            8, "alice", "a.example", 5, records.Status.ACTIVE, "0" * 32, "f" * 64, "442079460001", (),
            records.CliPolicy.OVERRIDE, 2, 4, 5, (), (), False, "", records.Lock.NONE, "ip_trunk", 7, True, (_FORWARD,),
            25, "to", (_PLACE,), 3, 60, 3_600, ("10.0.0.0/8", "2001:db8::/32"), "sha256", ("line8:", "user7:"),
        ),
    ),
    "Tariff": (
        records.Tariff(3, 2, "retail", "EUR", 11),
        records.Tariff(3, 2, "retail", "USD", 11, "Europe/Berlin", "half_even", 100, "other", 12, (_DECK,)),
    ),
    "TimeSet": (
        records.TimeSet(
            6, "office", "Europe/London", (records.Span(480, 1_080),), (_HOLIDAYS,),
            (records.DayRange(20_261_224, 20_261_224),),
        ),
    ),
    "TrunkPlace": (_PLACE,),
    "User": (
        records.User(7, 5, "Eva", records.Status.ACTIVE, ("alice@a.example",), True, 25, 3, (_FORWARD,)),
    ),
    "Window": (records.Window(20_261_122, 1_795_388_400_000),),
}  # fmt: skip
"""Record -> its examples, oldest first."""


def path(name: str, number: int) -> Path:
    """Return where the `number`-th example of a record stands, from 1."""
    return FOLDER / f"{name}_{number}.bin"


if __name__ == "__main__":
    for record_name, examples in EXAMPLES.items():
        for place, example in enumerate(examples, 1):
            if not path(record_name, place).exists():
                path(record_name, place).write_bytes(codec.pack(example))
