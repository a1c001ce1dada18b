"""What operators type and read: amounts, limits and times, exact or refused; no float ever touches money.

Every refusal names the field, the value and the rule.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from tools.errors import OperatorError

MICROS: Final = 1_000_000
MICROS_MAX: Final = 2**50
UNLIMITED: Final = "unlimited"

_DECIMALS: Final = 6
_DIGITS_MAX: Final = 30  # longer texts are not worth a big number
_SHOWN_MAX: Final = 40
_DECIMAL: Final = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?")
_COUNT: Final = re.compile(r"[0-9]{1,10}")
_AGO: Final = re.compile(r"([0-9]{1,5})([mhdw])", re.ASCII)
_NOW: Final = "now"
_DAYS_AGO: Final = {"today": 0, "yesterday": 1}
_HOURS: Final = {"m": 1 / 60, "h": 1}
_DAYS: Final = {"d": 1, "w": 7}


def micros(text: str, field: str = "amount") -> int:
    """Return the micros of a decimal above 0 such as "12.50", exactly. Raises OperatorError for anything else."""
    value = exact_micros(text, field)
    if value <= 0:
        raise OperatorError(f"{field}: {text} is not above 0")
    return value


def signed_micros(text: str, field: str = "amount") -> int:
    """Return the micros of a decimal such as "-12.50", exactly; not 0, at most 2^50 of them either way.

    Raises OperatorError.
    """
    value = exact_micros(text, field)
    if value == 0:
        raise OperatorError(f"{field}: {text} moves nothing")
    return value


def exact_micros(text: str, field: str) -> int:
    """Return the micros of a decimal of either sign, or 0, exactly; at most 2^50 of them. Raises OperatorError.

    Refused: commas, plus signs, exponents, other scripts' digits, more than 6 decimals.
    """
    match = _DECIMAL.fullmatch(text[: _DIGITS_MAX + 1])
    if match is None or len(match[3] or "") > _DECIMALS:
        rule = f"a decimal number such as 12.50, with at most {_DECIMALS} decimals"
        raise OperatorError(f"{field}: {_shown(text)} is not {rule}")
    value = int(match[2]) * MICROS + int((match[3] or "").ljust(_DECIMALS, "0"))
    if value > MICROS_MAX or len(text) > _DIGITS_MAX:
        raise OperatorError(f"{field}: {_shown(text)} is more than the most that can be moved, {decimal(MICROS_MAX)}")
    return -value if match[1] else value


def limit_micros(text: str, field: str, *, zero: bool) -> int | None:
    """Return the micros of a limit, None for the word "unlimited". zero: whether 0 is a limit that makes sense.

    Raises OperatorError.
    """
    if text == UNLIMITED:
        return None
    value = exact_micros(text, field)
    if value < 0 or (value == 0 and not zero):
        raise OperatorError(f"{field}: {text} is not {'0 or above' if zero else 'above 0'}; no limit is {UNLIMITED!r}")
    return value


def limit_count(text: str, field: str, maximum: int) -> int:
    """Return a limit of things that are counted, 1 to `maximum`; 0 stands for the word "unlimited".

    Raises OperatorError, also for a typed 0: nobody who types it means "as many as you like".
    """
    if text == UNLIMITED:
        return 0
    if _COUNT.fullmatch(text) is None or not 1 <= int(text) <= maximum:
        rule = f"a whole number from 1 to {maximum}, or {UNLIMITED!r}; to stop calls, lock or suspend the account"
        raise OperatorError(f"{field}: {_shown(text)} is not {rule}")
    return int(text)


def decimal(amount_micros: int, scale: int = 2) -> str:
    """Return micros as an exact decimal string. scale: decimals shown at least, 0 to 6, the currency's."""
    whole, part = divmod(abs(amount_micros), MICROS)
    digits = f"{part:06}".rstrip("0").ljust(scale, "0")
    return f"{'-' if amount_micros < 0 else ''}{whole}{'.' if digits else ''}{digits}"


def window_text(window: int) -> str:
    """Return a day or a month as people write it: 2026-11-22 of 20261122, 2026-11 of 202611."""
    digits = str(window)
    return "-".join(part for part in (digits[:4], digits[4:6], digits[6:]) if part)


def moment(text: str, field: str, zone: tzinfo) -> datetime:
    """Return the time of a date ("2026-11-01": its first moment), of a date and time, or of words about now.

    Words: "now", "today", "yesterday" (their first moment), "90m", "24h", "7d", "2w" (so long ago, in calendar days).
    zone: of texts that name none. Raises OperatorError.
    """
    try:
        found = _about_now(text, zone) or datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=zone)).astimezone(zone)
    except (ValueError, OverflowError) as error:
        rule = "a date such as 2026-11-01, a date and time such as 2026-11-01T08:30, today, yesterday, 24h or 7d"
        raise OperatorError(f"{field}: {_shown(text)} is not {rule}") from error


def _about_now(text: str, zone: tzinfo) -> datetime | None:
    now = datetime.now(UTC)
    if text == _NOW:
        return now
    if text in _DAYS_AGO:
        # without its offset: the day's own midnight may have another one
        local = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
        return local - timedelta(days=_DAYS_AGO[text])
    said = _AGO.fullmatch(text)
    if not said:
        return None
    count, unit = int(said[1]), said[2]
    if unit in _HOURS:
        return now - timedelta(hours=count * _HOURS[unit])
    return now.astimezone(zone).replace(tzinfo=None) - timedelta(days=count * _DAYS[unit])


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}…")
