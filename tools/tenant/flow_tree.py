"""A callflow as people read it: a tree of its steps. Pure: rows of steps in, lines out.

Rule: a step is told in full where it is first led to; a second branch that leads there only names its position.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

_BRANCHES: Final = (("├─ holds: ", "│  "), ("└─ else:  ", "   "))
_DESTINATIONS: Final = ("subscriber", "user", "group")
_WORDS: Final = {
    "forward": ("forward to", "number"),
    "flow": ("go on with callflow", "flow"),
    "time": ("time is", "time_set"),
}


def tree(steps: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the lines of a callflow. steps: field -> plain value, as of tools.tenant.catalogue_people.STEP."""
    by_position = {step["position"]: step for step in sorted(steps, key=lambda step: int(step["position"]))}
    if not by_position:
        return ["no steps: a call fails"]
    return list(_Teller(by_position).told(min(by_position)))


class _Teller:
    def __init__(self, steps: Mapping[int, Mapping[str, Any]]) -> None:
        self._steps = steps
        self._told: set[int] = set()

    def told(self, position: int | None) -> Iterator[str]:
        """Yield the lines of a step and of all that follows it."""
        while position is not None:
            if position in self._told:
                yield f"→ {position}"
                return
            self._told.add(position)
            step = self._steps[position]
            yield f"{position} {_sentence(step)}"
            after = min((each for each in self._steps if each > position), default=None)
            if step["kind"] in {"time", "caller"}:
                yield from self._branched(after, step["otherwise"])
                return
            position = after if step["kind"] == "ring" else None

    def _branched(self, *positions: int | None) -> Iterator[str]:
        for position, (first, rest) in zip(positions, _BRANCHES, strict=True):
            for place, line in enumerate(self.told(position)):
                yield f"{first if not place else rest + ' ' * (len(first) - len(rest))}{line}"


def _sentence(step: Mapping[str, Any]) -> str:
    """Return what a step does, in words."""
    kind = step["kind"]
    if kind == "ring":
        word = next(each for each in _DESTINATIONS if step[each] is not None)
        seconds = f" for {step['ring_s']} s" if step["ring_s"] else ""
        return f"ring {word} {step[word]}{seconds}"
    if kind == "media":
        return f"media {step['media_user']} at {step['media']}"
    if kind == "reject":
        return f"reject {step['status']} {step['phrase']}".rstrip()
    if kind == "caller":
        return f"caller is {', '.join(step['callers'])}"
    said, field = _WORDS[kind]
    return f"{said} {step[field]}"
