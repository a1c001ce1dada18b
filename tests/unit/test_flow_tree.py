"""A callflow as a tree of its steps."""

from __future__ import annotations

from typing import Any

from tools.tenant.catalogue_people import STEP
from tools.tenant.flow_tree import tree


def step(position: int, kind: str, **said: Any) -> dict[str, Any]:
    """Return a step with all fields, those that are not said as by default."""
    return {field.name: field.default for field in STEP.fields} | {"position": position, "kind": kind, **said}


def test_a_callflow_without_steps() -> None:
    assert tree([]) == ["no steps: a call fails"]


def test_each_kind_in_words() -> None:
    steps = [
        step(1, "ring", subscriber="alice@a.example"),
        step(2, "ring", user="Eva", ring_s=20),
        step(3, "ring", group="Sales"),
    ]
    last = [
        (step(4, "forward", number="442071234567"), "4 forward to 442071234567"),
        (step(4, "flow", flow="Night"), "4 go on with callflow Night"),
        (step(4, "media", media="../ivr", media_user="box1"), "4 media box1 at ../ivr"),
        (step(4, "reject", status=480), "4 reject 480"),
        (step(4, "reject", status=486, phrase="Busy Here"), "4 reject 486 Busy Here"),
    ]
    for each, said in last:
        assert tree([each, *steps]) == [
            "1 ring subscriber alice@a.example", "2 ring user Eva for 20 s", "3 ring group Sales", said,
        ]  # fmt: skip


def test_branches_are_told_once_and_named_then() -> None:
    assert tree([
        step(10, "time", time_set="office", otherwise=40),
        step(20, "ring", user="Eva"),
        step(30, "caller", callers=["44*", "anonymous"], otherwise=40),
        step(35, "forward", number="4420711"),
        step(40, "media", media="ivr", media_user="main"),
    ]) == [
        "10 time is office",
        "├─ holds: 20 ring user Eva",
        "│         30 caller is 44*, anonymous",
        "│         ├─ holds: 35 forward to 4420711",
        "│         └─ else:  40 media main at ivr",
        "└─ else:  → 40",
    ]  # fmt: skip


def test_an_unanswered_ring_may_lead_to_what_was_told() -> None:
    assert tree([
        step(1, "caller", callers=["44*"], otherwise=3),
        step(2, "ring", user="Eva"),
        step(3, "reject", status=480),
    ]) == ["1 caller is 44*", "├─ holds: 2 ring user Eva", "│         3 reject 480", "└─ else:  → 3"]  # fmt: skip
