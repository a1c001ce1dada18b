"""Load scenarios as they are written, and what may be asked of them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tools import noc_ask
from tools.cli import app
from tools.errors import OperatorError
from tools.load import parties, plot, spec
from tools.load.kamcmd import Control, Shared
from tools.load.overload import Step, is_beyond, judge
from tools.load.processes import Row, Use, rows
from tools.load.run import Stack, _of_memory

NAMES = (
    *("digest", "failover", "in-dialog", "inbound", "long", "mixed", "no-credit", "overload"),
    *("registers", "scanner", "trusted"),
)
NONE = dict.fromkeys(("DATABASE_URL", "REDIS_URL", "TANDEM_CTL", "TANDEM_SIP", "TANDEM_LISTEN"))
TOML = """
summary = "s"
accounts = "x-"
rate = 1
calls = 1
[[party]]
name = "one"
role = "{role}"
file = "uac-call.xml"
address = "{address}"
"""
FLAT = """
[overload]
factor = 1.0
"""


def test_every_scenario_can_be_read_and_has_its_files() -> None:
    """Addresses, ports and numbers of one are of no other; parties of one name have one file each."""
    known = spec.discover()
    assert tuple(scenario.name for scenario in known) == NAMES
    assert len({scenario.accounts for scenario in known}) == len(known)
    sockets = [(party.address, party.port) for scenario in known for party in scenario.parties]
    assert len(set(sockets)) == len(sockets)
    for scenario in known:
        assert scenario.summary
        assert len({party.name for party in scenario.parties}) == len(scenario.parties)
        assert (scenario.path / "world.sql").exists()
        assert all(parties.file_of(scenario, party).exists() for party in scenario.parties)
        assert all(party.expected for party in scenario.callers)
        spec.wanted(scenario, None, None, None)


def test_the_list_shows_them_all_and_places_no_call() -> None:
    done = CliRunner().invoke(app, ["load", "--list"], env=NONE)
    assert done.exit_code == 0
    assert all(name in done.output for name in NAMES)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("load nothing", "there is no load scenario 'nothing'; there are digest, failover, "),
        ("load", "there is no load scenario ''; there are digest, "),
        ("load digest --rate 0", "RATE is 0: set it above 0 and to 2000 calls a second at most"),
        ("load digest --rate=-5", "RATE is -5: set it above 0"),
        ("load digest --rate nan", "RATE is nan: set it above 0"),
        ("load digest --rate 2001", "RATE is 2001: set it above 0"),
        ("load digest --calls 0", "CALLS is 0: set it to a number from 1 to 200000"),
        ("load digest --hold=-1", "HOLD is -1: set it to 0 to 600 seconds"),
        (
            "load digest --rate 1 --calls 4000",
            "4000 calls at 1 a second take 4000 s: a run may take 3600 s, `tandem soak` runs for longer",
        ),
        ("soak --minutes 0", "MINUTES is 0: set it above 0 and to 1440 at most"),
        ("soak --rate 0", "RATE is 0: set it above 0"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_starts(words: str, told: str) -> None:
    done = CliRunner().invoke(app, words.split(), env=NONE)
    assert isinstance(done.exception, OperatorError), done.output
    assert str(done.exception).startswith(told)


@pytest.mark.parametrize("address", ["192.0.2.1:5060", "0.0.0.0:5060", "[2001:db8::1]:5060", "sip.example:5060"])
def test_load_goes_nowhere_but_to_loopback(address: str) -> None:
    env = {"TANDEM_SIP": address, "DATABASE_URL": "x", "REDIS_URL": "x", "TANDEM_CTL": "x", "RUN_DIR": "x"}
    host = address.rpartition(":")[0]
    with pytest.raises(OperatorError, match="load goes to loopback addresses only") as caught:
        Stack.from_environment(env)
    assert str(caught.value).startswith(f"TANDEM_SIP is {host}")
    assert Stack.from_environment({**env, "TANDEM_SIP": "127.0.0.1:5060"}).proxy == "127.0.0.1:5060"


def test_a_stack_that_would_listen_elsewhere_is_not_started() -> None:
    done = CliRunner().invoke(app, ["load", "digest"], env={**NONE, "TANDEM_LISTEN": "192.0.2.1:5060"})
    assert str(done.exception) == "TANDEM_LISTEN is 192.0.2.1: load goes to loopback addresses only"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (TOML.format(role="caller", address="192.0.2.1"), "address is 192.0.2.1: load goes to loopback addresses only"),
        (TOML.format(role="friend", address="127.4.99.1"), "role 'friend' is none of callee, phone, caller"),
        (TOML.format(role="callee", address="127.4.99.1"), "no party has role = caller"),
        (TOML.format(role="caller", address="127.4.99.1") + FLAT, "[overload]: factor = 1.0 must be above 1"),
        ("no toml", "load.toml: "),
    ],
)
def test_a_mistake_in_a_file_is_named(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "load.toml").write_text(text)
    with pytest.raises(OperatorError) as caught:
        spec.load(tmp_path)
    assert told in str(caught.value)


def test_lines_are_taken_in_turn() -> None:
    """Each with its number and its answer to a challenge; a party of one line has one row."""
    digest, trusted = spec.named("digest").callers[0], spec.named("trusted").callers[0]
    assert parties.injected(digest._replace(lines=2)).splitlines() == [
        "SEQUENTIAL",
        "u1;885020000001;[authentication username=u1 password=demo-secret]",
        "u2;885020000001;[authentication username=u2 password=demo-secret]",
    ]
    assert len(parties.injected(trusted).splitlines()) == 2
    with pytest.raises(OperatorError, match=r"digest: none\.xml of callers is nowhere below sipp-scenarios/"):
        parties.file_of(spec.named("digest"), digest._replace(file="none.xml"))


def test_a_share_is_of_the_calls_and_at_least_one() -> None:
    callers = {party.name: party for party in spec.named("mixed").callers}
    assert [spec.share(callers[name], 100) for name in ("digest", "busy", "given up")] == [35, 8, 5]
    assert spec.share(callers["given up"], 5) == 1
    assert sum(party.share for party in callers.values()) == 100


def step(offered: float, goodput: float, placed: float = 0.0) -> Step:
    return Step(offered, placed or offered, goodput, 10.0, 100)


def test_the_peak_is_found_and_twice_as_much_is_judged() -> None:
    bounds = spec.named("overload").overload
    assert bounds
    steps = (step(40, 40), step(60, 58), step(90, 61))
    assert [is_beyond(each, bounds) for each in steps] == [False, False, True]
    well, bad = judge(steps, step(122, 56), bounds), judge(steps, step(122, 3), bounds)
    assert (well.peak, well.is_met, bad.is_met) == (61, True, False)
    assert bad.told == (
        "peak 61 calls a second; of 122 offered 3 were answered in time: 5% of the peak, 90% are wanted"
    )


def test_who_calls_for_help_must_be_answered_whatever_is_offered() -> None:
    bounds = spec.named("overload").overload
    assert bounds
    assert bounds.emergency in [party.name for party in spec.named("overload").callers]
    twice = step(122, 60)._replace(emergency=12, helped=11)
    missed, met = judge((step(90, 61),), twice, bounds), judge((step(90, 61),), twice._replace(helped=12), bounds)
    assert (missed.is_met, met.is_met) == (False, True)
    assert missed.told.endswith("; 11 of 12 calls for help were answered")


def test_nothing_is_said_of_a_peak_that_was_not_found_or_that_is_sipps() -> None:
    bounds = spec.named("overload").overload
    assert bounds
    none = judge((step(40, 40),), None, bounds)
    assert (none.is_met, none.kept) == (None, None)
    assert none.told == "the peak was not found: 40 calls a second are no limit yet; raise RATE or CALLS"
    slow = judge((step(40, 20),), step(80, 20, placed=50), bounds)
    assert slow.is_met is None
    assert slow.told.endswith("but SIPp placed only 50 a second")
    noisy = judge((step(40, 20),), step(40, 30), bounds)
    assert noisy.is_met is None
    assert noisy.told.endswith("so that was no peak: run it where nothing else runs")


def test_a_node_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OperatorError, match=r"no answer to core\.psx through unix:/nowhere/ctl: "):
        Control("unix:/nowhere/ctl").processes()
    monkeypatch.setattr(Control, "_ask", lambda *_: "")
    with pytest.raises(OperatorError, match=r"/nowhere/ctl: core\.shmmem tells no memory in use"):
        Control("/nowhere/ctl").shared()


def test_what_a_node_tells_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures of processes and tables as kamcmd prints them; Python's blocks only where the node tells them."""
    told = {
        "core.psx": "{\n\tIDX: 1\n\tPID: 7832\n\tDSC: udp receiver child=0 sock=127.0.0.1:5060\n}\n",
        "pkg.stats": "{\n\tentry: 1\n\tpid: 7832\n\trank: 1\n\tused: 573368\n\tfree: 7\n\treal_used: 9\n}\n",
        "core.shmmem": "{\n\ttotal: 67108784\n\tfree: 6\n\tused: 3295928\n\treal_used: 3\n\tmax_used: 4000000\n}\n",
        "htable.stats": "{\n\tname: calls\n\tslots: 1024\n\tall: 3\n\tmin: 0\n}\n",
    }
    caches = {"caches": [{"pid": 7832, "bytes": 1, "blocks": 90_000}, {"pid": 7833, "bytes": 1}]}
    monkeypatch.setattr(Control, "_ask", lambda _, command: told[command])
    monkeypatch.setattr(noc_ask, "ask", lambda *_: caches)
    node = Control("unix:/nowhere/ctl")
    assert node.processes() == {7832: "udp receiver child=0 sock=127.0.0.1:5060"}
    assert (node.package(), node.shared(), node.tables()) == (
        {7832: 573_368},
        (67_108_784, 3_295_928, 4_000_000),
        {"calls": 3},
    )
    assert node.blocks() == {7832: 90_000}


def test_a_node_without_shared_memory_is_a_finding() -> None:
    """What it loses then (transactions, its own BYEs, what the agent is told) is more than one run can tell."""
    (found,) = _of_memory(Shared(64 << 20, 10 << 20, 63 << 20))
    assert found.is_grave
    assert found.told == "shared memory was used up, 63 of 64 MiB: start Kamailio with a higher -m"
    assert _of_memory(Shared(64 << 20, 50 << 20, 60 << 20)) == []


def test_without_its_library_a_plot_is_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(OperatorError, match="no plot: matplotlib is not installed; `make setup` installs it"):
        plot.run("x", [], tmp_path / "x.png")


def test_processes_of_one_name_are_summed_and_their_cpu_is_what_they_used_meanwhile() -> None:
    """One that came later counts from its first sample on, one that went until its last."""
    samples = [
        (0.0, (Use("redis", 1, 5.0, 100), Use("postgres", 2, 1.0, 10))),
        (1.0, (Use("redis", 1, 5.5, 120), Use("postgres", 2, 1.25, 10), Use("postgres", 3, 0.25, 20))),
        (2.0, (Use("redis", 1, 6.0, 110),)),
    ]
    assert rows(samples, 10) == [
        Row("redis", 1, 1.0, 50.0, 100_000.0, 100, 120, 110),
        Row("postgres", 2, 0.5, 25.0, 50_000.0, 10, 30, 30),
    ]
    assert rows([], 0) == []
