"""The page of `tandem top`: answers of nodes in, what rich shows out. No clock, no I/O.

Rule 1: nothing is wider or higher than the screen: what is left out is said.
Rule 2: what a node cannot tell, because its release is older or it is gone, is said where it would stand.
Rule 3: text of others (numbers, sources) is shown, never obeyed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tools import noc_money, noc_sync
from tools.printable import counted, printable
from tools.top.answers import Node
from tools.top.sums import Carrier, Sums, added

WIDE: Final = 120  # columns from which carriers and refusals stand side by side
NARROW: Final = 80  # below this calls have no source
ALARMS_MAX: Final = 4
HALF: Final = 2
NONE: Final = "–"
OTHERS: Final = "others"  # those that a node does not count apart
KEYS: Final = "q quits, space asks at once"
BAD, DIM, HEAD = "bold red", "dim", "bold"


def page(nodes: Sequence[Node], width: int, height: int, now_ms: int) -> RenderableType:
    """Return the page. width, height: of the screen, in characters. now_ms: Unix time."""
    sums = added(nodes)
    alarms = [alarm for node in nodes for alarm in alarms_of(node, now_ms)]
    parts: list[RenderableType] = [_title(sums, now_ms, width), _nodes(nodes, width)]
    left = height - 1 - (len(nodes) + 1)
    shown = min(len(alarms), ALARMS_MAX, max(0, left))
    parts += [Text(f"ALARM {alarm}", BAD, overflow="ellipsis", no_wrap=True) for alarm in alarms[:shown]]
    left -= shown
    servers, refused = len(sums.carriers), max(len(sums.reasons), len(sums.sources))
    if width >= WIDE:
        rows = min(max(2, left // HALF), 1 + max(servers, refused))
        beside = Table.grid(padding=(0, 2), expand=True)
        beside.add_column(ratio=1)
        beside.add_column(ratio=1)
        beside.add_row(_carriers(nodes, sums, rows), _refusals(nodes, sums, rows))
        parts.append(beside)
        left -= rows
    else:
        most = max(2, left // (HALF + 1))
        above, below = min(most, 1 + servers), min(most, 1 + refused)
        parts += [_carriers(nodes, sums, above), _refusals(nodes, sums, below)]
        left -= above + below
    if left >= HALF:
        parts.append(_calls(nodes, sums, left, width, now_ms))
    return Group(*parts)


def alarms_of(node: Node, now_ms: int) -> list[str]:
    """Return what is wrong with a node, a sentence each."""
    if node.gone:
        return [f"{node.name} does not answer: {printable(' '.join(node.gone.split()))}"]
    if not node.is_asked:
        return []
    agent = node.status.get("agent") or {}
    found = [] if agent else ["the agent has not spoken yet"]
    if agent.get("store") == "down":
        found.append("Redis is down: new calls are refused, emergency passes")
    found += [f"{agent[name]} {what}" for name, what in _WAITING.items() if agent.get(name)]
    found += noc_sync.alarms(node.sync)
    if node.status.get("money"):
        numbers = {name: int(number) for name, number in node.status["money"].items()}
        found += noc_money.alarms(noc_money.Told(numbers, now_ms))
    return [f"{node.name}: {sentence}" for sentence in found]


_WAITING: Final = {"spool": "operations wait on the disk", "dead": "operations are put aside for people"}


def _title(sums: Sums, now_ms: int, width: int) -> Text:
    seconds = now_ms // 1000 % 86_400
    clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02} UTC"
    cps = NONE if sums.cps is None else f"{sums.cps:.1f}"
    told = f"tandem top  {clock}  {counted(sums.calls, 'call')}, {sums.talking:,} talking, {cps} a second"
    return Text(f"{told}  ({KEYS})"[:width], HEAD, no_wrap=True)


def _nodes(nodes: Sequence[Node], width: int) -> Table:
    table = _table("node", "state", ">calls", ">talking", ">a second", ">refused", ">ASR", ">holds", ">conf. age")
    for node in nodes:
        if node.gone or not node.is_asked:
            state = Text("gone", BAD) if node.gone else Text("is being asked", DIM)
            table.add_row(_text(node.name), state)
            continue
        table.add_row(*_node(node))
    table.columns[0].max_width = width // 4
    return table


def _node(node: Node) -> list[RenderableType]:
    agent, traffic = node.status.get("agent") or {}, node.answers.get("traffic", {})
    age = f"{node.sync['age_ms'] / 1000:.1f} s" if node.sync else NONE
    is_well = bool(agent) and agent.get("store") == "up"
    state = "drained" if node.status.get("draining") else "up" if is_well else "in trouble"
    numbers = (
        *(_number(agent.get(name)) for name in ("calls", "talking")),
        *(_number(traffic.get(name)) for name in ("cps", "refused")),
        _share(traffic.get("asr")),
        _number(traffic.get("holds")),
        age,
    )
    return [_text(node.name), Text(state, "" if state == "up" else BAD), *numbers]


def _carriers(nodes: Sequence[Node], sums: Sums, rows: int) -> RenderableType:
    """Return who was called lately, most first, with who is passed over on top."""
    table = _table("server, 5 min", ">calls", ">tries", ">ASR", ">PDD", "failures", "state")
    known = sorted(sums.carriers.values(), key=lambda each: (not each.is_down, -each.attempts, each.server_id))
    for each in known[: rows - 1]:
        table.add_row(*_carrier(each))
    return _or_unknown(nodes, "carriers", table, "carriers, 5 minutes", len(known))


def _carrier(each: Carrier) -> list[RenderableType]:
    failures = " ".join(f"{code}:{count}" for code, count in sorted(each.failures.items()))
    state = Text("passed over", BAD) if each.is_down else Text("up")
    asr = _share(each.answers / each.attempts if each.attempts else None)
    pdd = NONE if each.pdd_ms is None else f"{each.pdd_ms:.0f} ms"
    return [str(each.server_id or OTHERS), str(each.running), str(each.attempts), asr, pdd, _text(failures), state]


def _refusals(nodes: Sequence[Node], sums: Sums, rows: int) -> RenderableType:
    table = _table("refused, 5 minutes", ">calls", "from", ">calls", "most often")
    reasons = sorted(sums.reasons.items(), key=lambda each: (-each[1], each[0]))
    sources = sorted(sums.sources.values(), key=lambda each: (-each.calls, each.address))
    for at in range(min(rows - 1, max(len(reasons), len(sources)))):
        reason: Iterable[str] = (reasons[at][0], str(reasons[at][1])) if at < len(reasons) else ("", "")
        source: Iterable[str] = ("", "", "")
        if at < len(sources):
            source = (sources[at].address, str(sources[at].calls), sources[at].reason)
        table.add_row(*map(_text, (*reason, *source)))
    return _or_unknown(nodes, "refusals", table, "refusals, 5 minutes", len(reasons))


def _calls(nodes: Sequence[Node], sums: Sums, rows: int, width: int, now_ms: int) -> RenderableType:
    """Return the calls that go on, longest first."""
    columns = ["caller", "callee", *(("source",) if width >= NARROW else ()), "node", ">server", ">since", ">left"]
    table = _table(*columns)
    listed = sorted(sums.listed, key=lambda each: each[1].get("started_ms", 0))
    for name, call in listed[: rows - 1]:
        since_s = (now_ms - (call.get("answered_ms") or call.get("started_ms", now_ms))) // 1000
        since = f"{_time(since_s)}{'' if call.get('answered_ms') else ' rings'}"
        source = (str(call.get("source", "")),) if width >= NARROW else ()
        server = str(call.get("server_id") or "")
        left = call.get("left_s")
        words = (str(call.get("caller", "")), str(call.get("callee", "")), *source, name, server, since)
        table.add_row(*map(_text, words), NONE if left is None else _time(int(left)))
    return _or_unknown(nodes, "calls", table, "calls", len(listed))


def _or_unknown(nodes: Sequence[Node], name: str, table: Table, title: str, count: int) -> RenderableType:
    """Return a table, or the sentence that stands for it."""
    asked = [node for node in nodes if node.is_asked and not node.gone]
    ignorant = [node.name for node in asked if name in node.unknown]
    if asked and len(ignorant) == len(asked):
        return Text(f"{title}: these nodes cannot tell: an older release, or one that has just begun", DIM)
    if not count:
        return Text(f"{title}: none", DIM)
    return table


def _table(*columns: str) -> Table:
    """Return an empty table of one line a row; a column whose name begins with > stands at the right."""
    table = Table(box=None, pad_edge=False, expand=False, header_style=HEAD, padding=(0, 1, 0, 0))
    for column in columns:
        justify: Any = "right" if column.startswith(">") else "left"
        table.add_column(column.removeprefix(">"), justify=justify, no_wrap=True, overflow="ellipsis")
    return table


def _text(text: str) -> Text:
    return Text(printable(text), overflow="ellipsis", no_wrap=True)


def _number(value: float | None) -> str:
    if value is None:
        return NONE
    return f"{value:,.1f}" if isinstance(value, float) else f"{value:,}"


def _share(value: float | None) -> str:
    return NONE if value is None else f"{value * 100:.0f} %"


def _time(seconds: int) -> str:
    """Return a duration as 0:07 or 1:02:07."""
    hours, rest = divmod(max(0, seconds), 3600)
    minutes = f"{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"
    return f"{hours}:{minutes}" if hours else minutes
