"""Whatever characters a call's texts hold, its record holds the very same: the quick way in escapes nothing."""

from __future__ import annotations

from typing import Any

import pytest

from kemi import codec
from kemi.records import Attempt, Choice, PinnedTarget
from tests.fakes import calls
from tests.fix_postgres import Database
from tools.settle.books import Books
from tools.settle.poster import Outcome, post
from tools.settle.stream import Entry

ODD = (
    "plain",
    " ",
    "tab\tbed",
    "line\nbroken",
    "carriage\rreturned",
    'she said "hi"',
    "back\\slash",
    "\\N",
    "\\.",
    "NULL",
    "None",
    "{a,b}",
    "komma, and 'quote'",
    "žluťoučký 🐎",
    "\x01\x1f\x7f",
    "unit\u2028line",
)


@pytest.fixture
def books(database: Database) -> Books:
    """Connect to books without accounts: calls at no price."""
    return Books.open(database.dsn)


def test_texts_are_stored_as_they_are(database: Database, books: Books) -> None:
    """One batch with every odd text in every field that a caller or a carrier fills, and in the trace."""
    entries = []
    for number, text in enumerate(ODD):
        pinned = calls.call(f"r{number}", [])._replace(
            call_id=text, from_tag=text, source=text, caller=text, callee=text, trace=(text, "sure", text)
        )
        event = calls.settled(pinned, calls.unanswered("failed", 503, text), {})
        entries.append(Entry(f"{number}-0", codec.pack(event)))
    assert post(books, entries, books.begin_epoch(0, "a test")) == Outcome(len(ODD), 0, 0)
    books.close()
    rows = database.run("select rid, call_id, source, caller, callee, reason, trace from tandem.cdr")
    assert {row[0]: row[1:] for row in rows} == {
        f"r{number}": (text, text, text, text, text, [text, "sure", text, f"refused: {text}"])
        for number, text in enumerate(ODD)
    }


def test_carriers_that_were_not_asked_are_stored(database: Database, books: Books) -> None:
    """Those that were left out with the reason, then candidates whose turn never came; and that the caller hides."""
    texts = (*ODD, "a\0b")
    left_out = tuple(Choice(31, 4, 8 + n, text, "44", 90_000, "USD", 180, text) for n, text in enumerate(texts))
    targets = (PinnedTarget(3, 7, "acme/one"), PinnedTarget(3, 6, "acme/two"), PinnedTarget(0, 0, "a@b.example"))
    pinned = calls.call("r1", [])._replace(left_out=left_out, targets=targets, hidden=True)
    end = calls.unanswered("failed", 503, "")._replace(attempts=(Attempt(7, 503),))
    plain = calls.settled(calls.call("r2", []), calls.unanswered("failed", 503, ""), {})
    entries = [Entry("1-0", codec.pack(calls.settled(pinned, end, {}))), Entry("2-0", codec.pack(plain))]
    assert post(books, entries, books.begin_epoch(0, "a test")).poisoned == 0
    books.close()
    rows = database.run("select hidden, left_out from tandem.cdr order by rid")
    told = [list(choice) for choice in left_out]
    told[-1][3] = told[-1][-1] = "a\N{REPLACEMENT CHARACTER}b"
    assert rows == [(True, [*told, [0, 3, 6, "acme/two", "", 0, "", 0, ""]]), (False, [])]


def test_a_record_without_a_trace_is_stored(database: Database, books: Books) -> None:
    pinned = calls.call("r1", [])._replace(trace=())
    event = calls.settled(pinned, calls.unanswered("cancelled", 487, ""), {})
    assert post(books, [Entry("1-0", codec.pack(event))], books.begin_epoch(0, "a test")).poisoned == 0
    books.close()
    assert database.run("select trace, attempts from tandem.cdr") == [([], [])]


@pytest.mark.parametrize("value", ["5\t6", "5\n6", "\\N", '7"'])
def test_text_in_the_place_of_a_number_is_poison_and_moves_no_column(
    database: Database, books: Books, value: str
) -> None:
    wrong: dict[str, Any] = {"config_pass": value}
    pinned = calls.call("r1", [])._replace(**wrong)
    event = calls.settled(pinned, calls.unanswered("failed", 503, ""), {})
    assert post(books, [Entry("1-0", codec.pack(event))], books.begin_epoch(0, "a test")).poisoned == 1
    books.close()
    assert database.one("select count(*) from tandem.cdr") == 0
