"""The entry script of app_python3. Frozen: on 5.6.3 an error in this file during a reload kills Kamailio.

A reload imports the package anew, compiled where there is a build of it; when that fails for whatever reason, the old
code goes on and says why in `tandem noc status`. What must survive a reload stands in `_state`: this module's names do.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import KSR

ROOT = Path(__file__).resolve().parents[2]
if TYPE_CHECKING:
    from kemi.boot.node import Node

PACKAGE = "kemi"

try:
    _state  # type: ignore[used-before-def]  # noqa: B018  defined already when this is a reload
except NameError:
    _state: dict[str, Any] = {"node": None, "generation": 0, "home": None, "code": "", "loaded": {}}


def mod_init() -> Node:
    """Return the handler: new code when it works, else the old. At the first start an error is final."""
    old, home = _state["node"], _state["home"]
    before = _modules()
    try:
        node = _fresh(old)
    except BaseException as error:
        if old is None:
            raise
        _forget()
        _import_from(home)
        sys.modules.update(before)
        old.load_state = f"generation {_state['generation']}, reload failed: {type(error).__name__}: {error}"
        KSR.err(f"reload failed, old code kept: {type(error).__name__}: {error}\n")
        return old  # type: ignore[no-any-return]
    _state.update(node=node, generation=_state["generation"] + 1)
    node.load_state = f"generation {_state['generation']}, {_state['code']}"
    return node


def _fresh(old: Any) -> Node:
    """Import the package anew and let it take over from the old handler."""
    _forget()
    _import_from(ROOT)
    from kemi import builds  # noqa: PLC0415  after the old modules are gone; here and below

    chosen = builds.home(ROOT, os.environ.get("TANDEM_CODE", ""))
    _state["code"] = builds.name(ROOT, chosen)
    _forget()
    _import_from(chosen)
    sys.modules.update(_state["loaded"].get(chosen, {}))  # machine code is loaded once in the life of a process
    from kemi.boot.node import node_from_environment  # noqa: PLC0415

    if chosen != ROOT:
        _state["loaded"][chosen] = _modules()
    node = node_from_environment(KSR)
    if old is not None:
        node.take_over(old.hand_over())
        old.retire()
    return node


def _import_from(home: Path | None) -> None:
    """Let the package be found in a folder, and in none that stood there before."""
    if _state["home"] is not None:
        sys.path.remove(str(_state["home"]))
    _state["home"] = home
    if home is not None:
        sys.path.insert(0, str(home))
    importlib.invalidate_caches()


def _modules() -> dict[str, ModuleType]:
    return {name: module for name, module in sys.modules.items() if name.partition(".")[0] == PACKAGE}


def _forget() -> None:
    for name in _modules():
        del sys.modules[name]
