"""The whole private stack: starts that fail, stops that end all and only its own, starts after a kill, neighbours."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.fix_stack import free_address, short_directory
from tests.wait import until
from tools.errors import OperatorError
from tools.stack import kamailio, process
from tools.stack.layout import Layout, has_ipv6, venv_bin
from tools.stack.stack import Stack

DEADLINE_S = 30.0
RUN_DIR_BYTES_MAX = 83
NOBODY = 65_534
PARTS = ["postgres", "redis", "sync", "settle", "kamailio"]


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_directory() as path:
        yield path


@pytest.fixture
def own(folder: Path) -> Iterator[Stack]:
    """Give a stack of this test's own, in a run directory whose path is as long as it may be."""
    run_dir = folder / ("r" * (RUN_DIR_BYTES_MAX - len(str(folder)) - 1))
    own = Stack(Layout(run_dir, free_address()))
    yield own
    own.stop()


def test_a_stack_answers_sip_and_its_environment_lets_a_shell_join(stack: Stack) -> None:
    assert kamailio.answers_options(stack.layout.listen)
    script = (
        f". {stack.layout.env_file}\n"  # noqa: S608  a shell script, with one fixed query in it
        '/usr/lib/postgresql/15/bin/psql -qAt "$DATABASE_URL" -c "SELECT count(*) > 0 FROM tandem.account"\n'
        'redis-cli -s "$RUN_DIR/redis/redis.sock" ping\n'
        'kamcmd -s "$TANDEM_CTL" core.version\n'
        'echo "$TANDEM_SIP $TANDEM_NODE"\n'
    )
    shell = subprocess.run(["sh", "-ec", script], capture_output=True, text=True, check=False)
    assert (shell.returncode, shell.stderr) == (0, "")
    lines = shell.stdout.splitlines()
    assert lines[:2] == ["t", "PONG"]
    assert lines[2].startswith("kamailio 5.6")
    assert lines[3] == f"{stack.layout.listen} n1"


def test_a_stack_answers_over_ipv6_too(stack: Stack) -> None:
    address = stack.layout.nodes[0].address6

    assert (address is not None) == has_ipv6()
    assert stack.env()["TANDEM_SIP6"] == str(address or "")
    assert address is None or kamailio.answers_options(address)


def test_what_holds_a_secret_is_for_its_owner_alone(stack: Stack) -> None:
    layout = stack.layout
    for path in (layout.env_file, layout.secret_file, layout.redis_dir / "redis.conf"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    for path in (layout.pg_data, layout.pg_socket_dir, layout.redis_dir, layout.nodes[0].home):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700, path


def test_status_shows_each_process_for_people_and_for_programs(stack: Stack) -> None:
    env = {**os.environ, **stack.env()}
    table = _tandem("stack", "status", env=env)
    assert table.returncode == 0
    shown = [*PARTS[:-1], "rtpengine", PARTS[-1]]
    assert [line.split()[:2] for line in table.stdout.splitlines()[1:-1]] == [[name, "up"] for name in shown]
    assert '"phase": "up"' in _tandem("stack", "status", "--json", env=env).stdout


def test_down_ends_every_process_of_the_stack_and_no_other(own: Stack, stack: Stack) -> None:
    """The longest run directory works, too: this stack lives in one."""
    own.start()
    mine, neighbours = _tree(own), [stack.pid(name) for name in PARTS]
    assert len(mine) > len(PARTS)
    assert kamailio.answers_options(own.layout.listen)
    assert own.stop()
    assert [who for who in mine if process.alive(who)] == []
    assert [stack.pid(name) for name in PARTS] == neighbours
    assert None not in [process.identity(pid) for pid in neighbours]
    assert kamailio.answers_options(stack.layout.listen)
    assert not own.layout.env_file.exists()


def test_a_start_works_after_everything_was_killed(own: Stack) -> None:
    own.start()
    with psycopg.connect(own.env()["DATABASE_URL"]) as connection:
        before = connection.execute("SELECT array_agg(id ORDER BY id) FROM tandem.account").fetchone()
    secret = own.layout.secret_file.read_text()
    for who in _tree(own):
        process.send(who, signal.SIGKILL)
    assert own.layout.nodes[0].pid_file.exists()
    assert (own.layout.pg_data / "postmaster.pid").exists()
    own.start()
    assert kamailio.answers_options(own.layout.listen)
    assert own.layout.secret_file.read_text() == secret
    with psycopg.connect(own.env()["DATABASE_URL"]) as connection:
        assert connection.execute("SELECT array_agg(id ORDER BY id) FROM tandem.account").fetchone() == before


def test_a_start_works_while_processes_of_a_killed_supervisor_remain(own: Stack) -> None:
    """Workers of Kamailio outlive their main process and hold the SIP port."""
    own.start()
    state = own.state()
    assert state
    left = _tree(own)
    process.send(state.supervisor, signal.SIGSTOP)
    own.kill("kamailio")
    process.send(state.supervisor, signal.SIGKILL)
    own.start()
    assert [who for who in left if process.alive(who)] == []
    assert kamailio.answers_options(own.layout.listen)


@pytest.mark.parametrize("name", PARTS)
def test_a_killed_process_is_started_again_and_calls_are_answered(stack: Stack, name: str) -> None:
    before = stack.pid(name)
    stack.kill(name)
    until(lambda: _replaced(stack, name, before), DEADLINE_S, f"{name} to be started again")
    stack.wait_ready(DEADLINE_S)
    assert kamailio.answers_options(stack.layout.listen)


def test_two_nodes_of_one_stack_answer_beside_another_stack(folder: Path, stack: Stack) -> None:
    layout = Layout(folder / "run", free_address(2), nodes_n=2)
    both = Stack(layout)
    both.start()
    try:
        assert [kamailio.answers_options(node.address) for node in layout.nodes] == [True, True]
        assert kamailio.answers_options(stack.layout.listen)
    finally:
        both.stop()


def test_an_ordinary_user_with_another_python_first_can_start_and_stop(folder: Path) -> None:
    """Root gives its rights up for this, save reading: the checkout may be root's alone."""
    user = () if os.geteuid() else ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
    reading = () if os.geteuid() else ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    if not os.geteuid():
        os.chown(folder, NOBODY, NOBODY)
    other = folder / "bin"
    other.mkdir()
    (other / "python3").write_text("#!/bin/sh\necho 'another python3' >&2\nexit 1\n")
    (other / "python3").chmod(0o755)
    layout = Layout(folder / "run", free_address())
    place = {"RUN_DIR": str(layout.run_dir), "TANDEM_LISTEN": str(layout.listen)}
    env = {**os.environ, **place, "PATH": f"{other}:{os.environ['PATH']}"}
    up = _tandem("stack", "up", env=env, prefix=(*user, *reading))
    try:
        assert (up.returncode, up.stderr) == (0, "")
        assert {Path(f"/proc/{who.pid}").stat().st_uid for who in _tree(Stack(layout))} != {0}
        assert kamailio.answers_options(layout.listen)
    finally:
        down = _tandem("stack", "down", env=env, prefix=(*user, *reading))
    assert (down.returncode, down.stdout) == (0, "stopped\n")


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_a_taken_port_stops_the_start_with_one_sentence_and_leaves_nothing(own: Stack, kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(own.layout.listen)
        if kind == socket.SOCK_STREAM:
            taken.listen(1)
        with pytest.raises(OperatorError, match=r"is taken by .* set TANDEM_LISTEN to a free address:port"):
            own.start()
    assert process.marked(own.layout.run_dir) == []
    assert own.state() is None


def test_a_failed_start_is_one_sentence_on_stderr_and_a_status(folder: Path) -> None:
    long = folder / ("r" * 90)
    result = _tandem("stack", "run", env={**os.environ, "RUN_DIR": str(long)})
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.startswith("the socket path ")
    assert result.stderr.count("\n") == 1
    assert not long.exists()


def test_the_foreground_stack_stops_on_an_interrupt(own: Stack) -> None:
    layout = own.layout
    env = {**os.environ, "RUN_DIR": str(layout.run_dir), "TANDEM_LISTEN": str(layout.listen)}
    words = [str(venv_bin() / "tandem"), "stack", "run"]
    with subprocess.Popen(words, env=env, stdout=subprocess.PIPE, text=True) as foreground:
        until(lambda: foreground.poll() is not None or own.running(), DEADLINE_S, "the stack to be up")
        mine = _tree(own)
        foreground.send_signal(signal.SIGINT)
        output, _ = foreground.communicate(timeout=DEADLINE_S)
    assert foreground.returncode == 0
    assert f"SIP listens on {layout.listen}, UDP and TCP." in output
    assert "password alice-secret" in output
    assert [who for who in mine if process.alive(who)] == []


def test_a_program_runs_in_a_stack_started_for_it_and_its_status_is_kept(own: Stack) -> None:
    layout = own.layout
    env = {**os.environ, "RUN_DIR": str(layout.run_dir), "TANDEM_LISTEN": str(layout.listen)}
    result = _tandem("stack", "exec", "--", "sh", "-c", 'echo "on $TANDEM_SIP"; exit 7', env=env)
    assert result.returncode == 7
    assert result.stdout.splitlines()[-1] == f"on {layout.listen}"
    assert process.marked(layout.run_dir) == []


def _tandem(*words: str, env: dict[str, str], prefix: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    argv = [*prefix, str(venv_bin() / "tandem"), *words]
    return subprocess.run(argv, env=env, capture_output=True, text=True, check=False, timeout=120)


def _tree(stack: Stack) -> set[process.Identity]:
    """Return the supervisor and everything below it."""
    state = stack.state()
    assert state
    tree, pids = set(), [state.supervisor.pid]
    while pids:
        pid = pids.pop()
        who = process.identity(pid)
        if who:
            tree.add(who)
        pids += process.children(pid)
    return tree


def test_no_hash_of_a_password_comes_into_the_log(stack: Stack) -> None:
    """Postgres tells the whole row that it refuses, unless it is told not to."""
    log = stack.layout.log_dir / "postgres.log"
    with psycopg.connect(stack.env()["DATABASE_URL"], autocommit=True) as connection:
        rows = connection.execute("select ha1_md5 from tandem.subscriber where ha1_md5 <> ''").fetchall()
        with pytest.raises(psycopg.errors.CheckViolation):
            connection.execute("update tandem.subscriber set region = 'no word' where ha1_md5 <> ''")
    until(lambda: "region_is_a_word" in log.read_text(), DEADLINE_S, "the refusal to be logged")
    text = log.read_text()
    assert rows
    assert not any(hashed in text for (hashed,) in rows)


def _replaced(stack: Stack, name: str, before: int) -> bool:
    state = stack.state()
    row = state.process(name) if state else None
    return bool(row and row.who and row.who.pid != before)
