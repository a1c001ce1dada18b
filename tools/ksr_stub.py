"""Write tools/stubs/KSR.pyi, the types of Kamailio's `KSR` module, from what a running Kamailio exports.

    python -m tools.ksr_stub --ctl .run/kamailio/n1/ctl.sock [--out tools/stubs/KSR.pyi]

The stub is committed. mypy checks kemi/boot/router.py against it; a contract test checks it against the running
Kamailio, so that a module missing from kamailio.cfg or a changed signature fails before a call does.
"""

from __future__ import annotations

import argparse
import keyword
import re
import subprocess
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final, NamedTuple

HEAD: Final = '''"""Types of Kamailio 5.6.3's KSR, made by tools/ksr_stub.py from app_python.api_list: do not edit.

Every parameter is positional. A function of C type "none" returns 0. xval: int, str, or None when there is no value.
"""

'''
TYPES: Final = {"int": "int", "str": "str", "bool": "bool", "none": "int", "xval": "int | str | None"}
API_LIST: Final = ("app_python.api_list",)
_FIELD: Final = re.compile(r"^\s*(ret|module|name|params):[ \t]*(.*?)\s*$", re.MULTILINE)


class Function(NamedTuple):
    """One exported function. module: "" for those of KSR itself. Types are KEMI's names."""

    module: str
    name: str
    parameters: tuple[str, ...]
    returns: str


def parse(api_list: str) -> tuple[Function, ...]:
    """Return the functions in the text that `kamcmd app_python.api_list` prints, sorted, each once."""
    values = [(match.group(1), match.group(2)) for match in _FIELD.finditer(api_list)]
    found = set()
    for index in range(0, len(values), 4):
        row = dict(values[index : index + 4])
        parameters = tuple(part.strip() for part in row["params"].split(",")) if row["params"] != "none" else ()
        found.add(Function(row["module"], row["name"], parameters, row["ret"]))
    return tuple(sorted(found))


def stub(functions: Sequence[Function]) -> str:
    """Return the text of the stub: KSR's own functions, then a class and a name for each module."""
    own = [_signature(function) for function in functions if not function.module]
    modules = [function for function in functions if function.module]
    parts = [HEAD + "\n".join(own)]
    for module, members in groupby(modules, key=lambda function: function.module):
        lines = [f"    {_signature(function, 'self')}" for function in members]
        parts.append(f"class {_class_name(module)}:\n" + "\n".join(lines) + "\n" + _member(module))
    return "\n\n".join(parts) + "\n"


def read(ctl: str) -> tuple[Function, ...]:
    """Return what the Kamailio behind this control socket exports. Raises CalledProcessError without an answer."""
    command = ["kamcmd", "-s", f"unix:{ctl}", *API_LIST]
    return parse(subprocess.run(command, check=True, capture_output=True, text=True, timeout=10).stdout)


def _signature(function: Function, *first: str) -> str:
    taken = [*first, *(f"p{n}: {TYPES[kind]}" for n, kind in enumerate(function.parameters, start=1))]
    positional = [*taken, "/"] if taken else []
    return f"def {function.name}({', '.join(positional)}) -> {TYPES[function.returns]}: ..."


def _class_name(module: str) -> str:
    return "_" + module.title().replace("_", "")


def _member(module: str) -> str:
    """Name the module, unless its name is a word of Python: `KSR.async` is reached by getattr and has no type."""
    return f"# {module}: a keyword of Python" if keyword.iskeyword(module) else f"\n{module}: {_class_name(module)}"


def main(arguments: Iterable[str] | None = None) -> None:
    """Write the stub of the Kamailio at --ctl to --out."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--ctl", required=True, help="path of Kamailio's control socket")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "stubs" / "KSR.pyi")
    options = parser.parse_args(None if arguments is None else list(arguments))
    options.out.write_text(stub(read(options.ctl)), encoding="utf-8")


if __name__ == "__main__":
    main()
