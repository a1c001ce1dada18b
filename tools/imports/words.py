"""What carriers call things, in English, French, Russian, German and Spanish: words in cells, and headings of columns.

Headings are compared without accents and signs: columns.folded.
"""

from __future__ import annotations

from typing import Final


def _words(*lists: str) -> frozenset[str]:
    """Return the words of lists that are parted by commas."""
    return frozenset(word for text in lists for word in text.split(", "))


def _heads(**lists: str) -> dict[str, tuple[str, ...]]:
    """Return field -> headings of lists that are parted by commas."""
    return {field.rstrip("_"): tuple(text.split(", ")) for field, text in lists.items()}


FORBIDDEN: Final = _words(
    "blocked, block, forbidden, barred, closed, denied, prohibited, stop, stopped, restricted",
    "no route, not allowed, not available, not supported, not served",
    "interdit, interdite, bloqué, bloquée, bloque, запрещено, запрещен, запрещён, закрыто, закрыт, заблокировано",
    "gesperrt, bloqueado, prohibido",
)
REMOVED: Final = _words(
    "delete, deleted, remove, removed, discontinued, withdrawn, withdraw, cancelled, canceled, expired",
    "supprimé, supprimée, supprime, удалено, удален, удалён, удалить, gelöscht, eliminado",
)
KEPT: Final = _words(
    "new, add, added, increase, increased, decrease, decreased, unchanged, same, change, changed, update, "
    "updated, current",
    "no change, not changed, active, open, allowed, enabled, ok, yes, valid",
    "nouveau, hausse, baisse, inchangé, новый, новая, повышение, понижение, изменено, без изменений",
    "neu, erhöhung, senkung, unverändert",
)
TRUE: Final = _words("1, yes, y, true, t, on, x, oui, да, ja, si, sí")
FALSE: Final = _words("0, no, n, false, f, off, non, нет, nein") | {""}
NOW: Final = _words("now, immediately, immediate, asap, сейчас, немедленно, immédiat, sofort")

CURRENCIES: Final = _words(
    "AUD, BRL, CAD, CHF, CNY, CZK, DKK, EUR, GBP, HKD, INR, JPY, KZT, MXN, NOK, NZD, PLN, RUB, SEK, SGD, TRY, "
    "UAH, USD, ZAR"
)
"""Currencies that are looked for in headings, where any three capitals may stand for anything."""

_CODES: Final = _heads(
    prefix="code, codes, dial code, dial codes, dialcode, dialing code, dialling code, destination code, "
    "dest code, dst prefix, prefixes, dial prefix, number prefix, full code, breakout, e164, indicatif, "
    "indicatifs, prefixe, код, коды, префикс, код направления, vorwahl, vorwahlen, prefijo, prefisso",
    country_code="country dial code, cc, idd, code pays, indicatif pays, код страны, landesvorwahl",
    area_code="area codes, city code, city codes, areacode, national code, ndc, operator code, code ville, код города, "
    "код зоны, ortsvorwahl",
)
_SINCE: Final = (
    "effective date, effective, effective from, valid from, start date, date, date effective, from date, "
    "activation date, begin date, date d effet, date effet, valable des, дата, дата начала, действует с, "
    "дата вступления, gultig ab, fecha, vigencia"
)
RATES: Final = _CODES | _heads(
    price="rate, rates, new rate, minute rate, voice rate, new price, cost, buy rate, sell rate, tariff, prix, "
    "tarif, цена, стоимость, тариф, ставка, новая цена, preis, minutenpreis, precio, tarifa, prezzo",
    increments="increment, billing increment, billing increments, billing, billing interval, charging interval, "
    "billing terms, incr, rounding, интервал, тарификация, шаг тарификации, increment de facturation, "
    "facturation, palier, taktung, takt",
    first_s="first increment, initial increment, first interval, initial interval, interval 1, initial block, "
    "first block, первый интервал, premier palier",
    next_s="next increment, subsequent increment, additional increment, next interval, interval n, next block, "
    "interval, subsequent interval, следующий интервал, palier suivant",
    least_s="minimum duration, min duration, minimum time, min time, minimum seconds, minimal time, duree minimale",
    connect="connect fee, connection fee, setup fee, set up fee, setup, connect charge, connection charge, call setup, "
    "setup charge, плата за соединение, frais de connexion, einmalpreis",
    minimum="minimum price, min price, minimum charge, min charge, minimum cost, least price, prix minimum",
    forbidden="blocked, barred, block, запрет, bloque, gesperrt",
    action="status, change, change type, type of change, change code, rate change, изменение, статус, modification",
    from_=_SINCE,
    currency="curr, ccy, devise, monnaie, валюта, wahrung, moneda, valuta",
)
ROUTES: Final = _CODES | _heads(
    callee_pattern="callee regex, pattern, regex",
    caller_pattern="caller, caller regex, cli pattern",
    stopper="stop, huntstop, exclusive",
    block="blocked, forbidden, barred",
    enabled="active, status",
    description="destination, name, comment, note, remark, направление, описание, bezeichnung",
    valid_from=_SINCE,
    valid_to="valid until, valid to, end date, expiry date, expiration date, until, дата окончания, gultig bis",
    time_set="time, schedule",
)
NUMBERS: Final = _heads(
    number="did, ddi, phone number, telephone number, e164, msisdn, numero, номер, телефон, rufnummer, telefonnummer",
    line="subscriber, sip, extension, sip account, aor, user, ligne, линия, абонент, leitung",
    status="state, статус, etat",
)
