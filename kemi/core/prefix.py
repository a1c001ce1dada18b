"""The longest prefix of a number in an immutable rate set.

A rate set is a hash: field = the first ≤ 4 digits of a prefix, value = a bucket that packs the rest. Layout of a
bucket, one section per length of suffix, longest first, integers big-endian:

    u8 digits of each suffix, u24 count, then count × (suffix as BCD, padded with 0 on the right; u16 class), sorted

An entry takes 2 … 8 bytes; the usual suffix of 0 … 4 digits takes 2 … 4.
Rule 1: bytes that are no bucket find nothing; they never raise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final

BUCKET_DIGITS: Final = 4
PREFIX_DIGITS_MAX: Final = 15  # E.164
CLASSES_MAX: Final = 1 << 16
KEPT_MAX: Final = 1_000  # numbers whose fields are remembered: a call looks the same one up in every deck
SECTION_ROWS_MAX: Final = (1 << 24) - 1

_SUFFIX_DIGITS_MAX: Final = PREFIX_DIGITS_MAX - BUCKET_DIGITS
_HEAD_BYTES: Final = 4
_CLASS_BYTES: Final = 2


def longest(digits: str, buckets: Callable[[str], bytes | None]) -> tuple[str, int] | None:
    """Return the longest prefix of `digits` in a rate set and its class index; None when no prefix fits.

    digits: of the number, without "+"; what stands beyond 15 digits is not looked at. Anything but digits: None.
    buckets: gives the packed bucket of a field, None where the set has none.
    """
    for field in _longest_first(digits):
        bucket = buckets(field)
        if bucket is None:
            continue
        found = _search(bucket, digits[len(field) : PREFIX_DIGITS_MAX])
        if found is not None:
            suffix_digits, class_index = found
            return digits[: len(field) + suffix_digits], class_index
    return None


@lru_cache(maxsize=KEPT_MAX)
def bucket_fields(digits: str) -> tuple[str, ...]:
    """Return the fields that may hold a prefix of `digits`, shortest first: "1", "12", "123", "1234"."""
    if not (digits.isascii() and digits.isdecimal()):
        return ()
    return tuple(digits[:length] for length in range(1, min(BUCKET_DIGITS, len(digits)) + 1))


@lru_cache(maxsize=KEPT_MAX)
def _longest_first(digits: str) -> tuple[str, ...]:
    return bucket_fields(digits)[::-1]


def pack_bucket(entries: Mapping[str, int]) -> bytes:
    """Return the bucket of one field: what follows the field's digits -> class index, 0 … 65535.

    Suffixes have 0 … 11 digits; below a field of fewer than four digits only "" can stand.
    Raises ValueError that names the entry which cannot be packed.
    """
    sections: dict[int, list[tuple[bytes, int]]] = {}
    for suffix, class_index in entries.items():
        if suffix and not (suffix.isascii() and suffix.isdecimal() and len(suffix) <= _SUFFIX_DIGITS_MAX):
            raise ValueError(f"suffix {suffix!r} is not 0 to {_SUFFIX_DIGITS_MAX} digits")
        if not 0 <= class_index < CLASSES_MAX:
            raise ValueError(f"class {class_index} of suffix {suffix!r} is not 0 to {CLASSES_MAX - 1}")
        sections.setdefault(len(suffix), []).append((_bcd(suffix), class_index))
    packed = bytearray()
    for length in sorted(sections, reverse=True):
        rows = sorted(sections[length])
        if len(rows) > SECTION_ROWS_MAX:
            raise ValueError(f"{len(rows)} suffixes of {length} digits, at most {SECTION_ROWS_MAX} fit")
        packed += bytes((length,)) + len(rows).to_bytes(3, "big")
        for key, class_index in rows:
            packed += key + class_index.to_bytes(_CLASS_BYTES, "big")
    return bytes(packed)


def _bcd(digits: str) -> bytes:
    """Two digits a byte. The padding is no digit of the suffix: its length stands in the section's head."""
    return bytes.fromhex(digits + "0" * (len(digits) % 2))


def _search(bucket: bytes, rest: str) -> tuple[int, int] | None:
    """Return (digits of the suffix, class index) of the longest suffix that `rest` begins with."""
    at, size = 0, len(bucket)
    while at + _HEAD_BYTES <= size:
        length, high, middle, low = bucket[at : at + _HEAD_BYTES]
        count = high << 16 | middle << 8 | low
        width = (length + 1) // 2 + _CLASS_BYTES
        at += _HEAD_BYTES
        if at + count * width > size:
            return None  # cut off: no other section follows
        if length <= len(rest):
            # The field itself as a prefix stands alone in its section: nothing to search.
            key = _bcd(rest[:length]) if length else b""
            class_index = _find(bucket, at, count, width, key) if length or count != 1 else _class(bucket, at)
            if class_index is not None:
                return length, class_index
        at += count * width
    return None


def _find(bucket: bytes, begin: int, count: int, width: int, key: bytes) -> int | None:
    """Return the class of the row with this key among `count` rows from `begin` on."""
    low, high, key_bytes = 0, count, len(key)
    while low < high:
        middle = (low + high) // 2
        at = begin + middle * width
        if bucket[at : at + key_bytes] < key:
            low = middle + 1
        else:
            high = middle
    at = begin + low * width
    if low == count or bucket[at : at + key_bytes] != key:
        return None
    return _class(bucket, at + key_bytes)


def _class(bucket: bytes, at: int) -> int:
    return bucket[at] << 8 | bucket[at + 1]
