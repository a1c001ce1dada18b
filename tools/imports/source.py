"""A file of comma separated values, whoever has written it; never more of it than one row is in memory.

Looked at twice: first for its bytes (hash, encoding), then for its rows.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from tools.errors import OperatorError
from tools.imports.faults import Faults

CHUNK: Final = 1 << 20
LINE_MAX: Final = 1 << 16  # characters
BEAT_ROWS: Final = 4096
DELIMITERS: Final = ",;\t|"
_SNIFFED: Final = 20  # lines that are looked at for the delimiter
_NAMED_DELIMITERS: Final = {"tab": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "\\t": "\t"}
_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip

Beat = Callable[[int], None]
"""Told, now and then, how many bytes were read."""


class Survey(NamedTuple):
    """What the bytes of a file say."""

    path: Path
    size: int
    sha256: str
    encoding: str


class Row(NamedTuple):
    """A row that is not empty. line: where it begins, from 1."""

    line: int
    cells: Sequence[str]


def survey(path: Path, encoding: str = "") -> Survey:
    """Return what the bytes of a file say. encoding: "" = by its mark, else UTF-8, else Windows-1252.

    Raises OperatorError for a file that cannot be read, an unknown encoding, and bytes that are none of it.
    """
    if encoding:
        _check_encoding(encoding)
    digest, size = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            said = encoding or _marked(file.read(4)) or "utf-8"
            file.seek(0)
            decoder, broken, has_nul = codecs.getincrementaldecoder(said)(), False, False
            while chunk := file.read(CHUNK):
                digest.update(chunk)
                size += len(chunk)
                has_nul = has_nul or b"\0" in chunk
                broken = broken or not _decodes(decoder, chunk, final=False)
            broken = broken or not _decodes(decoder, b"", final=True)
    except OSError as error:
        raise OperatorError(f"file: {str(path)!r} cannot be read: {error.strerror}") from error
    if not size:
        raise OperatorError(f"file: {str(path)!r} is empty")
    if broken and (encoding or said != "utf-8"):
        raise OperatorError(f"file: {str(path)!r} is not {said} throughout; say --encoding")
    if broken and has_nul:
        raise OperatorError(f"file: {str(path)!r} is no text file; save it as CSV, or say its --encoding")
    return Survey(path, size, digest.hexdigest(), "cp1252" if broken else said)


def _check_encoding(encoding: str) -> None:
    try:
        info = codecs.lookup(encoding)
        codecs.getincrementaldecoder(encoding)
        is_text = getattr(info, "_is_text_encoding", True)
    except (LookupError, ValueError):
        is_text = False
    if not is_text:
        raise OperatorError(
            f"--encoding: {encoding[:40]!r} is unknown; there are utf-8, utf-16, cp1252, cp1251, latin-1 …"
        )


def _marked(head: bytes) -> str:
    return next((name for mark, name in _BOMS if head.startswith(mark)), "")


def _decodes(decoder: codecs.IncrementalDecoder, chunk: bytes, *, final: bool) -> bool:
    try:
        decoder.decode(chunk, final)
    except UnicodeError:
        return False
    return True


def delimiter_of(text: str) -> str:
    """Return the delimiter that an option names. Raises OperatorError."""
    found = _NAMED_DELIMITERS.get(text.lower(), text)
    if len(found) != 1 or found in '"\r\n' or found.isalnum():
        raise OperatorError(f"--delimiter: {text[:20]!r} is not one character, nor tab, comma, semicolon or pipe")
    return found


def rows(file: Survey, delimiter: str, faults: Faults, beat: Beat = lambda _: None) -> Iterator[Row]:
    """Yield the rows that are not empty; rows that cannot be read become faults. delimiter: "" = the likeliest.

    Raises OperatorError for a line that never ends, or a file that changes while it is read.
    """
    try:
        with file.path.open("rb", buffering=CHUNK) as raw:
            text = io.TextIOWrapper(raw, file.encoding, errors="replace", newline="")
            lines = _lines(text, faults)
            first = [line for _, line in zip(range(_SNIFFED), lines, strict=False)]
            if first and first[0].lower().startswith("sep=") and len(first[0].rstrip("\r\n")) == len("sep=;"):
                delimiter, first[0] = first[0][4], "\n"
            delimiter = delimiter or _likeliest(first)
            yield from _parsed(_chained(first, lines), delimiter, faults, raw, beat)
    except OSError as error:
        raise OperatorError(f"file: {str(file.path)!r} cannot be read: {error.strerror}") from error


def _lines(text: io.TextIOWrapper, faults: Faults) -> Iterator[str]:
    number = 0
    while line := text.readline(LINE_MAX + 1):
        number += 1
        if len(line) > LINE_MAX:
            raise OperatorError(f"file: line {number} is longer than {LINE_MAX} characters")
        if "\0" in line:
            faults.add(number, "", "", "has a character that is no text, NUL; say --encoding if all have it")
        yield line


def _chained(first: Sequence[str], lines: Iterator[str]) -> Iterator[str]:
    yield from first
    yield from lines


def _likeliest(first: Sequence[str]) -> str:
    """Return the delimiter that most lines have, outside of quotes; a comma where none has any."""
    plain = ["".join(line.split('"')[::2]) for line in first]
    return max(
        DELIMITERS, key=lambda mark: (sum(mark in line for line in plain), sum(line.count(mark) for line in plain))
    )


def _parsed(lines: Iterator[str], delimiter: str, faults: Faults, raw: BinaryIO, beat: Beat) -> Iterator[Row]:
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=delimiter != " ")
    count = 0
    while True:
        begins = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:  # the one that is left: a cell of more than 131072 characters
            faults.add(begins, "", "", "a quote is not closed")
            continue
        count += 1
        if not count % BEAT_ROWS:
            beat(raw.tell())
        if any(cells) and any(cell.strip() for cell in cells):
            yield Row(begins, cells)
