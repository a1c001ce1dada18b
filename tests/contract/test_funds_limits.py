"""What a fund's limits promise, channels of each side and spend of a day and a month, on real Redis and on the fake."""

from __future__ import annotations

import pytest

from kemi.adapters.redis_funds import Applied, FundTerms, Held, Part, Refused, Release, Settle, Spent
from kemi.core.outcome import IN, OUT, Hold, HoldFund, HoldRow
from kemi.records import Opening, Window
from tests.funds_bench import CUSTOMER, EPOCH, RESELLER, Bench, answered, balance, ended, extend, hold, reserve, rich

BOTH = OUT | IN
HOUR_MS = 3_600_000
DAY, NEXT_DAY = 20261122, 20261123
MONTH, NEXT_MONTH = 202611, 202612
ROW = ((60, 100),)


def capped(bench: Bench, day_max: int = 0, month_max: int = 0, day: int = DAY, month: int = MONTH) -> FundTerms:
    """Return terms of a rich fund whose windows end in an hour."""
    end_ms = bench.now_ms() + HOUR_MS
    return FundTerms(
        *(1, 10**9),
        day_max_micros=day_max,
        month_max_micros=month_max,
        days=(Window(day, end_ms), Window(day + 1, end_ms + HOUR_MS)) if day_max else (),
        months=(Window(month, end_ms),) if month_max else (),
    )


def spent(bench: Bench) -> tuple[Spent, Spent]:
    """Return what the customer's windows have charged, day and month."""
    found = balance(bench, CUSTOMER)
    return Spent(found.day_id, found.day_spent_micros), Spent(found.month_id, found.month_spent_micros)


def pay(bench: Bench, rid: str, price: int) -> None:
    """Let the customer pay a whole call."""
    assert isinstance(reserve(bench, rid, hold(CUSTOMER, rows=((60, price),))), Held)
    assert isinstance(bench.funds.batch([Settle(f"{rid}:1", rid, 1, 60, (price,), ended())])[0], Applied)


# Channels -------------------------------------------------------------------------------------------------------------


def test_each_side_has_channels_of_its_own_and_all_count_together(bench: Bench) -> None:
    """A call that is both out and in is one channel in all, and one of each side; its end gives all of them back."""
    rich(bench, CUSTOMER)
    for rid, sides in (("a", OUT), ("b", IN), ("c", BOTH)):
        reserve(bench, rid, hold(CUSTOMER, rows=ROW, sides=sides))
    found = balance(bench, CUSTOMER)
    assert (found.channels, found.channels_out, found.channels_in) == (3, 2, 2)
    bench.funds.batch([Release("a:1", "a", 1, ended())])
    found = balance(bench, CUSTOMER)
    assert (found.channels, found.channels_out, found.channels_in) == (2, 1, 2)
    bench.funds.batch([Settle("b:1", "b", 1, 60, (100,), ended())])
    found = balance(bench, CUSTOMER)
    assert (found.channels, found.channels_out, found.channels_in) == (1, 1, 1)
    bench.funds.batch([Release("c:1", "c", 1, ended())])
    found = balance(bench, CUSTOMER)
    assert (found.channels, found.channels_out, found.channels_in) == (0, 0, 0)


@pytest.mark.parametrize(
    ("terms", "first", "second", "reason"),
    [
        (FundTerms(1, 10**6, channels_max=1), OUT, IN, "channels"),
        (FundTerms(1, 10**6, channels_in_max=1), IN, IN, "channels_in"),
        (FundTerms(1, 10**6, channels_in_max=1), BOTH, IN, "channels_in"),
        (FundTerms(1, 10**6, channels_in_max=1), IN, BOTH, "channels_in"),
        (FundTerms(1, 10**6, channels_out_max=1), OUT, OUT, "channels_out"),
        (FundTerms(1, 10**6, channels_out_max=1), OUT, BOTH, "channels_out"),
        (FundTerms(1, 10**6, channels_in_max=1), IN, OUT, ""),
        (FundTerms(1, 10**6, channels_out_max=1), OUT, IN, ""),
        (FundTerms(1, 10**6, channels_in_max=1), OUT, OUT, ""),
        (FundTerms(1, 10**6, channels_in_max=1), OUT, IN, ""),
        (FundTerms(1, 10**6, channels_out_max=1), IN, IN, ""),
        (FundTerms(1, 10**6, channels_in_max=1, channels_out_max=1), OUT, IN, ""),
    ],
)
def test_a_limit_of_one_side_counts_that_side_only(
    bench: Bench, terms: FundTerms, first: int, second: int, reason: str
) -> None:
    """The refusal says of which side there is no channel left."""
    bench.set_terms(CUSTOMER, terms)
    assert isinstance(reserve(bench, "a", hold(CUSTOMER, rows=ROW, sides=first)), Held)
    got = reserve(bench, "b", hold(CUSTOMER, rows=ROW, sides=second))
    assert got == (Refused(reason, 11, (), 0, "11:EUR") if reason else Held(60, (), 0, 2))


def test_a_refusal_of_channels_names_the_level(bench: Bench) -> None:
    """The called number's reseller has no channel left, its customer has."""
    rich(bench, CUSTOMER)
    bench.set_terms(RESELLER, FundTerms(1, 10**6, channels_in_max=1))
    called = Hold((HoldFund(CUSTOMER, 11, 1, IN), HoldFund(RESELLER, 5, 2, IN)), (HoldRow(60, (0, 0)),), ())
    assert isinstance(reserve(bench, "a", called), Held)
    assert reserve(bench, "b", called) == Refused("channels_in", 5, (), 0, "5:EUR")


@pytest.mark.parametrize("side", [0, 4, -1])
def test_a_call_has_a_side_at_every_level(bench: Bench, side: int) -> None:
    """Without one, its channel would not be counted where it belongs."""
    rich(bench, CUSTOMER)
    with pytest.raises(ValueError, match="side"):
        reserve(bench, "a", hold(CUSTOMER, rows=ROW, sides=side))


# Spend ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("day_max", "month_max", "reason"), [(250, 0, "spend_day"), (0, 250, "spend_month")])
def test_a_cap_counts_what_is_charged_and_what_is_held(bench: Bench, day_max: int, month_max: int, reason: str) -> None:
    """100 charged and 100 held leave 50: to the micro."""
    bench.set_terms(CUSTOMER, capped(bench, day_max, month_max))
    pay(bench, "a", 100)
    assert isinstance(reserve(bench, "b", hold(CUSTOMER, rows=ROW)), Held)
    assert reserve(bench, "c", hold(CUSTOMER, rows=((60, 51),))) == Refused(reason, 11, (), 0, "11:EUR")
    assert isinstance(reserve(bench, "d", hold(CUSTOMER, rows=((60, 50), (120, 51)))), Held)
    assert reserve(bench, "e", hold(CUSTOMER, rows=((60, 1),))) == Refused(reason, 11, (), 0, "11:EUR")


def test_credit_is_named_before_a_cap_and_the_day_before_the_month(bench: Bench) -> None:
    """One reason per refusal, the one that money can mend first."""
    terms = capped(bench, 10, 10)
    bench.set_terms(CUSTOMER, terms._replace(cred_micros=10))
    assert reserve(bench, "a", hold(CUSTOMER, rows=((60, 11),))) == Refused("credit", 11, (), 0, "11:EUR")
    bench.set_terms(CUSTOMER, terms)
    assert reserve(bench, "a", hold(CUSTOMER, rows=((60, 11),))) == Refused("spend_day", 11, (), 0, "11:EUR")


def test_an_unlimited_credit_has_its_caps_all_the_same(bench: Bench) -> None:
    """A postpaid fund stops at its cap."""
    bench.set_terms(CUSTOMER, capped(bench, 100)._replace(credit_limit_micros=-1))
    assert reserve(bench, "a", hold(CUSTOMER, rows=((60, 100), (120, 200)))) == Held(60, (), 0, 1)


def test_a_call_at_price_zero_passes_a_reached_cap(bench: Bench) -> None:
    bench.set_terms(CUSTOMER, capped(bench, 100))
    pay(bench, "a", 100)
    assert isinstance(reserve(bench, "b", hold(CUSTOMER, rows=((60, 0),))), Held)


def test_an_extension_keeps_to_the_cap(bench: Bench) -> None:
    """It takes the largest row that the cap leaves, and then none: the call ends with its slice."""
    bench.set_terms(CUSTOMER, capped(bench, 250))
    reserve(bench, "a", hold(CUSTOMER, rows=ROW))
    more = HoldRow(120, (200,)), HoldRow(180, (300,))
    got = bench.funds.batch([extend("a", 1, *more), extend("a", 2, HoldRow(180, (251,)))])
    assert got == [Applied(120, 2), Applied(120, 3)]


def test_charges_count_in_the_windows_in_force(bench: Bench) -> None:
    """Parts and ends alike, and what is released does not."""
    bench.set_terms(CUSTOMER, capped(bench, 10**6, 10**6))
    reserve(bench, "a", hold(CUSTOMER, rows=ROW))
    answered(bench, "a")
    bench.funds.batch([Part("a:2", "a", 2, 30, (40,), ended())])
    assert spent(bench) == (Spent(DAY, 40), Spent(MONTH, 40))
    bench.funds.batch([Settle("a:3", "a", 3, 60, (100,), ended())])
    reserve(bench, "b", hold(CUSTOMER, rows=ROW))
    bench.funds.batch([Release("b:1", "b", 1, ended())])
    assert spent(bench) == (Spent(DAY, 100), Spent(MONTH, 100))


def test_a_new_day_begins_anew_and_takes_the_holds_along(bench: Bench) -> None:
    """The day is over, the month is not; what is held still is will be charged in the new day."""
    bench.set_terms(CUSTOMER, capped(bench, 250, 1_000))
    pay(bench, "a", 200)
    reserve(bench, "b", hold(CUSTOMER, rows=((60, 50),)))
    bench.set_terms(CUSTOMER, capped(bench, 250, 1_000, day=NEXT_DAY))
    assert reserve(bench, "c", hold(CUSTOMER, rows=((60, 201),))) == Refused("spend_day", 11, (), 0, "11:EUR")
    assert isinstance(reserve(bench, "d", hold(CUSTOMER, rows=((60, 200),))), Held)
    assert spent(bench) == (Spent(NEXT_DAY, 0), Spent(MONTH, 200))


def test_the_window_in_force_is_the_first_that_has_not_ended(bench: Bench) -> None:
    """By the store's clock: known days that are over are passed over, days to come do not count yet."""
    terms, now_ms = capped(bench, 1_000), bench.now_ms()
    ends = Window(DAY - 1, now_ms - 1), Window(DAY, now_ms + HOUR_MS), Window(NEXT_DAY, now_ms + 2 * HOUR_MS)
    bench.set_terms(CUSTOMER, terms._replace(days=ends))
    pay(bench, "a", 100)
    assert spent(bench)[0] == Spent(DAY, 100)


def test_when_all_known_windows_are_over_the_last_one_goes_on(bench: Bench) -> None:
    """No cap begins anew because the sync is late."""
    terms, now_ms = capped(bench, 250), bench.now_ms()
    bench.set_terms(CUSTOMER, terms._replace(days=(Window(DAY - 1, now_ms - 2), Window(DAY, now_ms - 1))))
    pay(bench, "a", 200)
    assert spent(bench)[0] == Spent(DAY, 200)
    assert reserve(bench, "b", hold(CUSTOMER, rows=((60, 51),))) == Refused("spend_day", 11, (), 0, "11:EUR")


def test_a_window_never_rolls_back(bench: Bench) -> None:
    """Older terms after newer ones, or a clock that steps back: what the day has charged is not forgotten."""
    bench.set_terms(CUSTOMER, capped(bench, 250, day=NEXT_DAY))
    pay(bench, "a", 200)
    bench.set_terms(CUSTOMER, capped(bench, 250, day=DAY - 1))
    assert reserve(bench, "b", hold(CUSTOMER, rows=((60, 51),))) == Refused("spend_day", 11, (), 0, "11:EUR")
    pay(bench, "c", 50)
    assert spent(bench)[0] == Spent(NEXT_DAY, 250)


def test_a_cap_without_any_window_is_a_cap_for_ever(bench: Bench) -> None:
    """Nobody says when it ends."""
    bench.set_terms(CUSTOMER, capped(bench, 250)._replace(days=()))
    pay(bench, "a", 200)
    assert reserve(bench, "b", hold(CUSTOMER, rows=((60, 51),))) == Refused("spend_day", 11, (), 0, "11:EUR")


def test_without_a_cap_nothing_is_counted(bench: Bench) -> None:
    """And a cap that is set later counts from then on, with what is held by then."""
    rich(bench, CUSTOMER)
    pay(bench, "a", 200)
    reserve(bench, "b", hold(CUSTOMER, rows=ROW))
    assert spent(bench) == (Spent(), Spent())
    bench.set_terms(CUSTOMER, capped(bench, 250))
    assert reserve(bench, "c", hold(CUSTOMER, rows=((60, 151),))) == Refused("spend_day", 11, (), 0, "11:EUR")
    assert isinstance(reserve(bench, "d", hold(CUSTOMER, rows=((60, 150),))), Held)
    bench.funds.batch([Settle("b:1", "b", 1, 60, (100,), ended())])
    assert spent(bench)[0] == Spent(DAY, 100)


def test_a_charge_counts_as_soon_as_there_is_a_cap(bench: Bench) -> None:
    """Also where nothing was held since: the calls of that moment would be missing else, for a whole slice."""
    rich(bench, CUSTOMER)
    reserve(bench, "a", hold(CUSTOMER, rows=ROW))
    bench.set_terms(CUSTOMER, capped(bench, 250))
    bench.funds.batch([Settle("a:1", "a", 1, 60, (100,), ended())])
    assert spent(bench)[0] == Spent(DAY, 100)


def opened(terms: FundTerms, version: int, day: Spent, month: Spent) -> FundTerms:
    """Return terms with an opening."""
    return terms._replace(opening=Opening(version, *day, *month))


def test_windows_begin_with_what_was_spent_before_there_was_a_cap(bench: Bench) -> None:
    """Day and month, once: what is charged afterwards comes on top."""
    bench.set_terms(CUSTOMER, opened(capped(bench, 250, 900), 1, Spent(DAY, 150), Spent(MONTH, 700)))
    assert reserve(bench, "a", hold(CUSTOMER, rows=((60, 101),))) == Refused("spend_day", 11, (), 0, "11:EUR")
    pay(bench, "b", 90)
    pay(bench, "c", 10)
    assert spent(bench) == (Spent(DAY, 250), Spent(MONTH, 800))


def test_a_cap_taken_off_and_set_again_begins_with_the_new_opening(bench: Bench) -> None:
    """What was charged meanwhile is in it; where more is known here, as in the seconds before a posting, that stays."""
    bench.set_terms(CUSTOMER, opened(capped(bench, 250), 1, Spent(DAY, 0), Spent(MONTH, 0)))
    pay(bench, "a", 100)
    rich(bench, CUSTOMER)
    pay(bench, "b", 60)
    assert spent(bench)[0] == Spent(DAY, 100)
    bench.set_terms(CUSTOMER, opened(capped(bench, 250), 2, Spent(DAY, 160), Spent(MONTH, 160)))
    assert reserve(bench, "c", hold(CUSTOMER, rows=((60, 91),))) == Refused("spend_day", 11, (), 0, "11:EUR")
    pay(bench, "d", 50)
    bench.set_terms(CUSTOMER, opened(capped(bench, 250), 3, Spent(DAY, 160), Spent(MONTH, 160)))
    assert reserve(bench, "e", hold(CUSTOMER, rows=((60, 41),))) == Refused("spend_day", 11, (), 0, "11:EUR")
    pay(bench, "f", 40)
    assert spent(bench)[0] == Spent(DAY, 250)


def test_an_opening_of_another_day_counts_nothing(bench: Bench) -> None:
    """It came when its day was over: the day in force has none of it."""
    terms = capped(bench, 250, 900, day=NEXT_DAY)
    bench.set_terms(CUSTOMER, opened(terms, 1, Spent(DAY, 240), Spent(MONTH, 500)))
    pay(bench, "a", 250)
    assert spent(bench) == (Spent(NEXT_DAY, 250), Spent(MONTH, 750))


def test_a_day_that_a_time_zone_moves_back_begins_anew_once(bench: Bench) -> None:
    """The newest opening takes its windows along; terms from before it roll nothing back."""
    before = opened(capped(bench, 250, day=NEXT_DAY), 1, Spent(NEXT_DAY, 0), Spent(MONTH, 0))
    bench.set_terms(CUSTOMER, before)
    pay(bench, "a", 200)
    after = opened(capped(bench, 250, day=DAY), 2, Spent(DAY, 30), Spent(MONTH, 230))
    bench.set_terms(CUSTOMER, after)
    pay(bench, "b", 20)
    assert spent(bench)[0] == Spent(DAY, 50)
    bench.set_terms(CUSTOMER, before)
    pay(bench, "c", 5)
    assert spent(bench)[0] == Spent(NEXT_DAY, 5)
    bench.set_terms(CUSTOMER, opened(capped(bench, 250, day=DAY), 1, Spent(DAY, 0), Spent(MONTH, 0)))
    pay(bench, "d", 5)
    assert spent(bench)[0] == Spent(NEXT_DAY, 10)


def test_the_spend_of_windows_is_restored(bench: Bench) -> None:
    """A rebuild sets it with the sums; a day that is over by then is rolled on by the next call."""
    bench.disarm()
    bench.keeper.restore_fund(CUSTOMER, 900, 9, Spent(DAY, 200), Spent(MONTH, 700))
    bench.keeper.arm(EPOCH)
    assert spent(bench) == (Spent(DAY, 200), Spent(MONTH, 700))
    bench.set_terms(CUSTOMER, capped(bench, 250, 750))
    assert reserve(bench, "a", hold(CUSTOMER, rows=((60, 51),))) == Refused("spend_day", 11, (), 0, "11:EUR")
    bench.set_terms(CUSTOMER, capped(bench, 250, 750, day=NEXT_DAY))
    assert reserve(bench, "b", hold(CUSTOMER, rows=((60, 51),))) == Refused("spend_month", 11, (), 0, "11:EUR")
    assert isinstance(reserve(bench, "c", hold(CUSTOMER, rows=((60, 50),))), Held)
    assert spent(bench) == (Spent(NEXT_DAY, 0), Spent(MONTH, 700))


def test_spend_near_2_to_the_53_is_exact(bench: Bench) -> None:
    """The last micro may be spent, and no more."""
    top = 2**53 - 1
    bench.disarm()
    bench.keeper.restore_fund(CUSTOMER, top - 10, 9, Spent(DAY, top - 10), Spent(MONTH, top - 10))
    bench.keeper.arm(EPOCH)
    bench.set_terms(CUSTOMER, capped(bench, top - 3, top)._replace(credit_limit_micros=-1))
    assert reserve(bench, "a", hold(CUSTOMER, rows=((60, 8),))) == Refused("spend_day", 11, (), 0, "11:EUR")
    pay(bench, "b", 7)
    assert spent(bench) == (Spent(DAY, top - 3), Spent(MONTH, top - 3))
