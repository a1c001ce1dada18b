"""What a prefix of numbers is called: the countries of its calling code, in the reader's language."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata

from tools.report.tongue import Tongue

CODE_DIGITS_MAX: Final = 3  # of a calling code: ITU-T E.164
NOWHERE: Final = "001"  # what phonenumbers calls the region of codes that belong to no country
EQUALS: Final = {1: ("US", "CA")}  # of a code without a main country
PREFIXES_KEPT: Final = 10_000


def place(prefix: str, tongue: Tongue) -> str:
    """Return the names of the countries that numbers with this prefix are in, "" where no code is known by it.

    Of several countries with one code those are named whose own numbers begin so; else the main ones.
    """
    names = (tongue.locale.territories.get(region, region) for region in _regions(prefix))
    return tongue.listed([str(name) for name in names])


@lru_cache(maxsize=PREFIXES_KEPT)
def _regions(prefix: str) -> tuple[str, ...]:
    for length in range(CODE_DIGITS_MAX, 0, -1):
        code = prefix[:length]
        if len(code) == length and code.isascii() and code.isdecimal() and int(code) in COUNTRY_CODE_TO_REGION_CODE:
            regions = COUNTRY_CODE_TO_REGION_CODE[int(code)]
            if NOWHERE in regions:
                return ()
            own = tuple(region for region in regions if _begins(region, prefix[length:]))
            return own or EQUALS.get(int(code), regions[:1])
    return ()


def _begins(region: str, rest: str) -> bool:
    """Tell whether numbers that begin so, after the calling code, are this country's and nobody else's."""
    found = PhoneMetadata.metadata_for_region(region, None)
    return bool(found and found.leading_digits and re.match(found.leading_digits, rest))
