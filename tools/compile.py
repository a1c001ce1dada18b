"""`make compile`: what runs inside the SIP workers, made machine code by mypyc, for nodes that start or reload next.

The build stands in `.compiled/<digest of its sources>`; a node looks for its own there (kemi/builds.py). Nothing else
of the project uses it. What mypyc cannot know, it checks: a value of another type than the annotation says is an error.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, ForwardRef

import typer

from kemi import builds
from kemi.codec import ANNOTATIONS
from tools.errors import OperatorError

ROOT: Final = Path(__file__).resolve().parents[1]
INTERPRETED: Final = ("boot/router.py", "builds.py", "codec.py")
"""The entry script, which Kamailio reads; what it needs before it knows of a build; what reads annotations."""
RECORDS: Final = "records/"
"""They have no code, and mypyc would lose what their annotations say."""
OPTIMISED: Final = "1"
COMPILER: Final = "gcc"


def compile_sources(root: Path = ROOT) -> Path:
    """Make the build of the sources below `root`, unless it is there already; return its folder."""
    target = root / builds.FOLDER / builds.digest(root)
    if target.is_dir():
        return target
    if shutil.which(COMPILER) is None:
        raise OperatorError(f"there is no {COMPILER}: `make setup` installs it")
    target.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="making-") as name:
        making = Path(name)
        shutil.copytree(root / builds.PACKAGE, making / builds.PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
        _run_mypyc(making, list(_compiled(making)))
        (making / builds.PACKAGE / ANNOTATIONS).write_text(json.dumps(_annotations(making)))
        made = making / "made"
        made.mkdir()
        for path in (making / builds.PACKAGE, *making.glob("*.so")):
            path.rename(made / path.name)
        made.rename(target)
    return target


def main() -> None:
    """Compile, and say where it is."""
    try:
        typer.echo(f"compiled: {compile_sources().relative_to(ROOT)}; nodes take it at their next start or reload")
    except OperatorError as error:
        typer.echo(str(error), err=True)
        raise SystemExit(1) from error


def _compiled(making: Path) -> Iterator[str]:
    package = making / builds.PACKAGE
    for path in sorted(package.rglob("*.py")):
        within = str(path.relative_to(package))
        if within not in INTERPRETED and not within.startswith(RECORDS) and path.name != "__init__.py":
            yield str(path.relative_to(making))


def _run_mypyc(making: Path, files: list[str]) -> None:
    """Build extension modules beside their sources. In a process of its own: mypyc leaves much behind.

    In many files and -O1: one of 20 MB takes gcc four minutes instead of one.
    """
    (making / "mypy.ini").write_text(
        f"[mypy]\nstrict = true\nexplicit_package_bases = true\nmypy_path = {ROOT}/tools/stubs\n"
        "cache_dir = cache\n[mypy-KSR]\nignore_missing_imports = true\n"
    )
    (making / "setup.py").write_text(
        "from setuptools import setup\nfrom mypyc.build import mypycify\n"
        f"setup(name='tandem-compiled', packages=[], ext_modules=mypycify({['--config-file', 'mypy.ini', *files]!r},"
        f" opt_level={OPTIMISED!r}, debug_level='0', multi_file=True))\n"
    )
    done = subprocess.run(
        [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"],
        cwd=making, capture_output=True, text=True, check=False, env={**os.environ, "CC": COMPILER},
    )  # fmt: skip
    if done.returncode:
        raise OperatorError(f"mypyc failed:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")


def _annotations(making: Path) -> dict[str, list[str]]:
    """Return the annotations of all records that were compiled: fields in order, as the sources write them."""
    noted: dict[str, list[str]] = {}
    for file in _compiled(making):
        module = importlib.import_module(file.removesuffix(".py").replace("/", "."))
        for each in vars(module).values():
            if isinstance(each, type) and hasattr(each, "_fields") and each.__module__ == module.__name__:
                noted[f"{module.__name__}.{each.__qualname__}"] = list(map(_written, each.__annotations__.values()))
    return noted


def _written(annotation: Any) -> str:
    """Return an annotation as its source has it: NamedTuple has made a reference of it, or what it says is a name."""
    return annotation.__forward_arg__ if isinstance(annotation, ForwardRef) else str(annotation)


if __name__ == "__main__":
    main()
