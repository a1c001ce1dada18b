"""Plots as PNG. matplotlib is loaded when one is drawn, and only then: it takes a second, and other commands none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tools.errors import OperatorError
from tools.load.figures import Second
from tools.load.memory import MIB, OWN, Name
from tools.load.overload import Verdict
from tools.load.slope import Sample

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZE: Final = (10.0, 6.0)  # inches
DPI: Final = 100


def run(title: str, seconds: Sequence[Second], path: Path) -> None:
    """Draw latency and calls a second over time."""
    figure = _figure()
    above, below = figure.subplots(2, 1, sharex=True)
    at = [second.at for second in seconds]
    above.set_title(title)
    for name in ("p50", "p95"):
        above.plot(at, [getattr(second, name) for second in seconds], label=name, marker=".")
    _labels(above, "set-up, ms")
    for name in ("begun", "answered", "refused"):
        below.step(at, [getattr(second, name) for second in seconds], label=name, where="post")
    _labels(below, "calls a second")
    below.set_xlabel("seconds since the first call")
    figure.savefig(path)


def overload(title: str, verdict: Verdict, path: Path) -> None:
    """Draw goodput over what was offered."""
    figure = _figure()
    axes = figure.subplots()
    steps = sorted((*verdict.steps, *((verdict.twice,) if verdict.twice else ())))
    offered = [step.offered for step in steps]
    axes.set_title(title)
    axes.plot(offered, [step.goodput for step in steps], label="answered in time", marker="o")
    axes.plot(offered, offered, label="offered", linestyle=":")
    axes.axhline(verdict.peak, label="peak", linestyle="--", color="grey")
    _labels(axes, "calls a second")
    axes.set_xlabel("offered, calls a second")
    figure.savefig(path)


def memory(title: str, series: Mapping[Name, Sequence[Sample]], path: Path) -> None:
    """Draw the own memory of processes over time."""
    figure = _figure()
    axes = figure.subplots()
    axes.set_title(title)
    own = {name: samples for name, samples in series.items() if name.kind == OWN}
    first = min((samples[0].at for samples in own.values()), default=0.0)
    for name, samples in own.items():
        minutes = [(sample.at - first) / 60 for sample in samples]
        axes.plot(minutes, [sample.value / MIB for sample in samples], label=f"{name.who} {name.pid}")
    axes.set_ylabel("own memory, MiB")
    axes.set_xlabel("minutes")
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize=5, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.savefig(path)


def _figure() -> Figure:
    """Return an empty figure that needs no screen. Raises OperatorError without the library."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError as error:
        raise OperatorError("no plot: matplotlib is not installed; `make setup` installs it") from error
    figure = Figure(figsize=SIZE, dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _labels(axes: Any, unit: str) -> None:
    axes.set_ylabel(unit)
    axes.set_ylim(bottom=0)
    axes.grid(visible=True, alpha=0.3)
    axes.legend(loc="upper left")
