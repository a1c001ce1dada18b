"""Laws of the longest prefix."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from kemi.core.prefix import BUCKET_DIGITS, bucket_fields, longest, pack_bucket
from tests.property import strategies
from tests.property.strategies import LAW


def _packed(rates: Mapping[str, int]) -> dict[str, bytes]:
    """Return the hash of a rate set, as the sync writes it."""
    fields: dict[str, dict[str, int]] = {}
    for prefix, class_index in rates.items():
        fields.setdefault(prefix[:BUCKET_DIGITS], {})[prefix[BUCKET_DIGITS:]] = class_index
    return {field: pack_bucket(entries) for field, entries in fields.items()}


def _brute_force(rates: Mapping[str, int], digits: str) -> tuple[str, int] | None:
    fitting = [prefix for prefix in rates if digits.startswith(prefix)]
    best = max(fitting, key=len, default=None)
    return None if best is None else (best, rates[best])


@LAW
@given(rates=strategies.rate_maps, data=st.data())
def test_longest_is_what_trying_all_prefixes_finds(rates: dict[str, int], data: st.DataObject) -> None:
    """For numbers at random and for numbers that begin with a prefix of the set."""
    start = data.draw(st.sampled_from(sorted(rates))) if rates else ""
    hashed = _packed(rates)
    for digits in (start + data.draw(strategies.digits), start, data.draw(strategies.digits)):
        assert longest(digits, hashed.get) == _brute_force(rates, digits)


@LAW
@given(rates=strategies.rate_maps)
def test_every_prefix_finds_itself(rates: dict[str, int]) -> None:
    """Nothing that was packed is lost."""
    hashed = _packed(rates)
    assert all(longest(prefix, hashed.get) == (prefix, class_index) for prefix, class_index in rates.items())


@LAW
@given(bucket=st.binary(max_size=64), digits=strategies.digits)
def test_garbage_never_raises_and_never_invents_a_prefix(bucket: bytes, digits: str) -> None:
    """Bytes that are no bucket find nothing, or a prefix of the number."""
    found = longest(digits, lambda _field: bucket)
    assert found is None or (digits.startswith(found[0]) and found[0][:1] in bucket_fields(digits))


@LAW
@given(rates=strategies.rate_maps, cut=st.integers(0, 40), digits=strategies.digits)
def test_a_cut_bucket_finds_only_what_was_packed(rates: dict[str, int], cut: int, digits: str) -> None:
    """A truncated value may lose prefixes but never gives one another class."""
    hashed = {field: bucket[:cut] for field, bucket in _packed(rates).items()}
    found = longest(digits, hashed.get)
    assert found is None or rates[found[0]] == found[1]
