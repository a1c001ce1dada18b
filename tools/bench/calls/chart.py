"""The figures as a picture: what a call costs each router, by process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure

from tools.bench.calls.figures import NAMES, TITLES

SIZE: Final = (10.0, 4.0)
DPI: Final = 120
SMALLEST: Final = 0.005
"""Of the highest bar: groups of processes below it are drawn as one."""
REST: Final = "other processes"


def draw(found: Mapping[str, Any], path: Path) -> None:
    """Write a PNG with one bar for each router, in parts by group of processes; the figures as `figures` made them."""
    mpl.use("agg")
    figure = Figure(figsize=SIZE, dpi=DPI, layout="constrained")
    axes = figure.subplots()
    names = list(reversed(NAMES))
    starts = dict.fromkeys(names, 0.0)
    for group, parts in stacks(found).items():
        axes.barh(names, [parts.get(name, 0.0) for name in names], left=[starts[name] for name in names], label=group)
        starts = {name: starts[name] + parts.get(name, 0.0) for name in names}
    for name, end in starts.items():
        axes.annotate(f" {end:.0f}", (end, name), va="center")
    axes.set_yticks(names, [TITLES[name].replace("`", "") for name in names])
    axes.set_xlabel(f"CPU µs a call, {found['rounds']} × {found['calls']} calls at {found['rate']}/s")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)


def stacks(found: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Return the parts of the bars, by group of processes and router, in the order in which they are drawn."""
    smallest = SMALLEST * max(found["cpu_us"].values())
    drawn: dict[str, dict[str, float]] = {}
    rest: dict[str, float] = {}
    for name, groups in found["cpu_us_processes"].items():
        for group, us in groups.items():
            if us >= smallest:
                drawn.setdefault(group, {})[name] = us
            else:
                rest[name] = rest.get(name, 0.0) + us
    return {**drawn, **({REST: rest} if rest else {})}
