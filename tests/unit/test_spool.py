"""The spool keeps what it was given, in order, through crashes and torn writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from kemi.adapters.spool import NAME, Spool

ENTRIES = [("settle", b"\x00\xff one"), ("note", b""), ("release", b"three\n")]


def test_entries_come_back_in_order_after_a_crash(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path / "deep" / "folder"))
    spool.append(ENTRIES[:2])
    spool.append(ENTRIES[2:])

    again = Spool(str(tmp_path / "deep" / "folder"))

    assert again.head(10) == ENTRIES
    assert again.head(1) == ENTRIES[:1]
    assert len(again) == 3


def test_the_file_is_cut_when_all_have_left(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path))
    spool.append(ENTRIES)

    spool.drop(2)
    assert (tmp_path / NAME).stat().st_size > 0
    spool.drop(1)

    assert (tmp_path / NAME).stat().st_size == 0
    assert len(Spool(str(tmp_path))) == 0


@pytest.mark.parametrize("torn_bytes", range(1, 12))
def test_a_torn_last_line_loses_only_itself(tmp_path: Path, torn_bytes: int) -> None:
    Spool(str(tmp_path)).append(ENTRIES)
    whole = (tmp_path / NAME).read_bytes()
    (tmp_path / NAME).write_bytes(whole[:-torn_bytes])

    spool = Spool(str(tmp_path))
    spool.append([("answer", b"after")])

    assert spool.torn == 1
    assert spool.head(10)[:2] == ENTRIES[:2]
    assert Spool(str(tmp_path)).head(10)[-1] == ("answer", b"after")


def test_a_full_disk_is_told_and_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(str(tmp_path))
    spool.append(ENTRIES[:1])

    def fails(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fails)
    with pytest.raises(OSError, match="No space"):
        spool.append(ENTRIES[1:])
    monkeypatch.undo()
    spool.append(ENTRIES[2:])

    assert Spool(str(tmp_path)).head(10) == [ENTRIES[0], ENTRIES[2]]


def test_what_is_buried_stays_and_can_be_tried_again(tmp_path: Path) -> None:
    """Counted over restarts; its lines are those of a spool."""
    spool = Spool(str(tmp_path))
    for kind, body in ENTRIES[:2]:
        spool.bury(kind, body)
    assert (spool.dead, len(spool), Spool(str(tmp_path)).dead) == (2, 0, 2)
    (tmp_path / "dead").rename(tmp_path / NAME)
    again = Spool(str(tmp_path))
    assert (again.head(10), again.dead) == (ENTRIES[:2], 0)
