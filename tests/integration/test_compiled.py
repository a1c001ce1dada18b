"""What `make compile` makes: the same decisions as the sources, in nodes that reload."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kemi import builds
from kemi.adapters.redis_client import RedisClient
from tests.edge_world import load_world
from tests.fakes.world import BOB_NUMBER, World
from tests.kamailio_node import IN_TIME, ROOT, Node, running_kamailio
from tests.phones import Phone
from tests.redis_server import TIMEOUT_MS, mortal_redis
from tests.sip import Endpoint, dial
from tests.wait import until
from tools.compile import compile_sources

SOON_S = 60
TESTS = (
    *("tests/routing/test_cases.py", "tests/routing/test_hunts.py", "tests/unit", "tests/contract/test_codec.py"),
    *(f"tests/contract/test_tables{part}.py" for part in ("", "_cache", "_layers", "_routing")),
)
"""What the build must pass too: compiled code looks at the types of values, which the sources never do."""
OF_SOURCES = tuple(
    f"tests/unit/test_{name}.py"
    for name in (
        *("admission_again", "agent", "agent_follow", "agent_locations", "agent_rebuild", "bench_edge"),
        *("measure_watch", "within", "worker", "worker_requests"),
    )
)
"""They put a part of their own into the code, or inherit from it, which it does not allow once it is compiled."""
COMPILE_S = 1200  # machines that others share


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the node's code with a build of it: that of the project itself is left alone."""
    root = tmp_path_factory.mktemp("copy")
    shutil.copy(ROOT / "kamailio.cfg", root)
    shutil.copytree(ROOT / "kemi", root / "kemi", ignore=shutil.ignore_patterns("__pycache__"))
    compile_sources(root)
    return root


@pytest.fixture(scope="module")
def node(copy: Path) -> Iterator[Node]:
    """Run a node on the build."""
    with mortal_redis() as redis:
        admin = RedisClient(redis.url, TIMEOUT_MS)
        load_world(admin, World())
        admin.close()
        with running_kamailio(redis.worker_url, env=IN_TIME, root=copy) as running:
            yield running


def codes(node: Node) -> set[str]:
    return {str(process["code"]) for process in node.noc("status")["processes"]}


@pytest.mark.timeout(COMPILE_S)
def test_the_build_decides_and_serves_as_the_sources_do(copy: Path) -> None:
    """Corpus and unit tests, read by an interpreter that finds the build first. It says itself which code it has."""
    folder = builds.home(copy, "")
    words = ["-q", "-p", "no:randomly", "-p", "no:cacheprovider", "-o", f"pythonpath={folder} {ROOT}"]
    words += [*TESTS, *(f"--ignore={path}" for path in OF_SOURCES)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert int(re.findall(r"(\d+) passed", done.stdout)[-1]) > 5_000
    found = subprocess.run(
        [sys.executable, "-c", "import kemi.core.decide as it; print(it.__file__)"],
        cwd=folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert found.stdout.strip().endswith(".so")


@pytest.mark.timeout(COMPILE_S)
def test_a_node_takes_calls_with_it_and_says_so(node: Node, copy: Path) -> None:
    assert codes(node) == {f"generation 1, compiled {builds.digest(copy)}"}
    with Phone(node.address, "bob@a.example") as bob, Endpoint(node.address) as caller:
        assert bob.register().status == 200
        call = dial(caller, f"{BOB_NUMBER}@a.example")
        invite = bob.end.wait_request("INVITE", SOON_S)
        bob.end.send(bob.end.reply(invite, 200, "OK"))
        assert call.final().status == 200
    assert node.counter("exceptions") == 0, node.alarms


@pytest.mark.timeout(COMPILE_S)
def test_a_reload_of_the_same_code_and_of_other_code_and_back(copy: Path) -> None:
    """Machine code is loaded once in a process: the same build again, and one that was left, are taken up again."""
    source = copy / "kemi" / "agent.py"
    good, built = source.read_text(), builds.digest(copy)
    with running_kamailio(root=copy) as node, Endpoint(node.address) as phone:

        def reload(generation: int, code: str) -> None:
            node.kamcmd("app_python.reload")

            def is_there() -> bool:
                phone.send(phone.request("OPTIONS", "sip:a.example"))
                return phone.final().status == 200 and f"generation {generation}, {code}" in codes(node)

            until(is_there, SOON_S, f"generation {generation}")

        reload(2, f"compiled {built}")
        source.write_text(f"{good}\n# changed\n")
        try:
            reload(3, "plain")
        finally:
            source.write_text(good)
        reload(4, f"compiled {built}")
        assert node.alarms == []


@pytest.mark.timeout(COMPILE_S)
def test_whoever_wants_the_sources_gets_them(copy: Path) -> None:
    with running_kamailio(root=copy, env={"TANDEM_CODE": "plain"}) as node:
        assert codes(node) == {"generation 1, plain"}
