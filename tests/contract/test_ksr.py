"""What we believe of Kamailio is true of the real one: the stub, the Protocol, the fake, and the names of callbacks."""

from __future__ import annotations

import ast
import inspect
import keyword
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from kemi.adapters import ksr_api, ksr_hunt, ksr_noc, ksr_within
from kemi.adapters.ksr_api import Ksr
from kemi.boot.node import Node as Handler
from tests.fakes.ksr import FakeKsr
from tests.kamailio_node import Node, running_kamailio
from tools.ksr_stub import Function, parse, read, stub

ROOT = Path(__file__).resolve().parents[2]
STUB = ROOT / "tools" / "stubs" / "KSR.pyi"
CONFIGURATION = (ROOT / "kamailio.cfg").read_text(encoding="utf-8")
BY_KAMAILIO = ("child_init", "ksr_request_route")  # fixed names of app_python3


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    """Run a Kamailio without Redis."""
    with running_kamailio() as running:
        yield running


def signatures() -> dict[str, tuple[list[str], str]]:
    """Return "module.function" -> parameter types and result, from the committed stub."""
    tree = ast.parse(STUB.read_text(encoding="utf-8"))
    modules = {item.annotation.id: item.target.id for item in tree.body if _is_member(item)}  # type: ignore[attr-defined]
    found = {}
    for item in tree.body:
        if isinstance(item, ast.FunctionDef):
            found[item.name] = _signature(item)
        elif isinstance(item, ast.ClassDef) and item.name in modules:
            for function in item.body:
                assert isinstance(function, ast.FunctionDef)
                found[f"{modules[item.name]}.{function.name}"] = _signature(function)
    return found


def _is_member(item: ast.stmt) -> bool:
    return (
        isinstance(item, ast.AnnAssign) and isinstance(item.annotation, ast.Name) and isinstance(item.target, ast.Name)
    )


def _signature(function: ast.FunctionDef) -> tuple[list[str], str]:
    taken = [argument for argument in function.args.posonlyargs if argument.arg != "self"]
    kinds = [ast.unparse(argument.annotation) for argument in taken if argument.annotation]
    assert function.returns
    return kinds, ast.unparse(function.returns)


def of_fake() -> dict[str, tuple[list[str], str]]:
    """Return the same for every strict function of the fake."""
    fake, found = FakeKsr(), {}
    for owner in (fake, *(part for part in vars(fake).values() if hasattr(part, "module"))):
        for name, function in inspect.getmembers(type(owner), inspect.isfunction):
            if not hasattr(function, "__wrapped__"):
                continue
            hints = get_type_hints(function)
            result = hints.pop("return")
            found[f"{owner.module}{name}"] = ([_written(hint) for hint in hints.values()], _written(result))
    return found


def _written(hint: object) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint)


def test_the_committed_stub_is_what_the_running_kamailio_exports(node: Node) -> None:
    assert STUB.read_text(encoding="utf-8") == stub(read(str(node.ctl))), "run python -m tools.ksr_stub"


def test_the_fake_has_the_signatures_of_the_stub() -> None:
    real, fake = signatures(), of_fake()

    assert len(fake) > 50
    assert {name: real.get(name) for name in fake} == fake


def test_the_fake_has_every_function_of_the_protocol() -> None:
    protocol = {name for name, _ in inspect.getmembers(Ksr, inspect.isfunction) if not name.startswith("_")}
    for module, hint in inspect.getmembers(Ksr, lambda member: isinstance(member, property)):
        kind = getattr(ksr_api, get_type_hints(hint.fget)["return"].__name__)
        functions = inspect.getmembers(kind, inspect.isfunction)
        protocol |= {f"{module}.{name}" for name, _ in functions if not name.startswith("_")}

    assert protocol == set(of_fake())


def test_every_callback_that_is_named_somewhere_exists() -> None:
    named = set(re.findall(r'(?:event_callback", "|route=|_route_callback=")(?!none)(\w+)', CONFIGURATION))
    assert named == {"ksr_dialog_event", "ksr_agent_tick", "ksr_reply_route", "ksr_http_request"}

    for name in (*named, *BY_KAMAILIO, ksr_hunt.BRANCH, ksr_hunt.REPLY, ksr_hunt.FAILURE, ksr_within.FAILURE, "noc"):
        assert callable(getattr(Handler, name)), name


def test_every_counter_is_declared_and_every_declared_one_is_shown() -> None:
    declared = re.findall(r'modparam\("statistics", "variable", "(\w+)"\)', CONFIGURATION)

    assert sorted(declared) == sorted(ksr_noc.COUNTERS)


def test_callbacks_of_the_core_that_do_not_exist_are_off() -> None:
    """A default that names a missing method breaks the next KSR call on 5.6.3."""
    assert 'kemi.onsend_route_callback="none"' in CONFIGURATION


def test_a_keyword_of_python_is_left_out_of_the_stub() -> None:
    text = stub([Function("async", "task_route", ("str",), "int"), Function("", "err", ("str",), "none")])

    assert keyword.iskeyword("async")
    assert "\nasync:" not in text
    assert "def err(p1: str, /) -> int: ..." in text
    ast.parse(text)


def test_the_api_list_is_read_whatever_its_order() -> None:
    get = "func: {\nret: xval\nmodule: pv\nname: get\nparams: str\n}\n"
    text = get + "func: {\nret: none\nmodule: \nname: dbg\nparams: none\n}\n"

    assert parse(text) == (Function("", "dbg", (), "none"), Function("pv", "get", ("str",), "xval"))


@pytest.mark.parametrize("arguments", [(None,), (1,), ("a", "b"), (), ("a\0b",)])
def test_the_fake_is_as_strict_as_the_real_one(arguments: tuple[object, ...]) -> None:
    gete: Any = FakeKsr().pv.gete

    with pytest.raises(SystemError):
        gete(*arguments)


def test_the_fake_has_nothing_that_kamailio_does_not() -> None:
    tm: Any = FakeKsr().tm

    with pytest.raises(AttributeError):
        tm.t_relay_everywhere()
