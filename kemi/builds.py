"""Which code a node runs: what `make compile` made of these very sources, or the sources themselves.

A build stands in a folder that is named by what it was made of, so one that is older than its sources is never found,
and a reload finds the new one beside the old, which stays loaded as long as Kamailio runs.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Final

FOLDER: Final = ".compiled"
PACKAGE: Final = "kemi"
PLAIN: Final = "plain"
SHOWN: Final = 12  # characters of a digest; also the folder's name


def digest(root: Path) -> str:
    """Return what stands for the sources below `root` and for the interpreter, in SHOWN hexadecimal digits."""
    told = hashlib.sha256(sys.version.encode())
    for path in sorted((root / PACKAGE).rglob("*")):
        if path.suffix in (".py", ".lua"):
            told.update(f"\n{path.relative_to(root)} {path.stat().st_size}\n".encode())
            told.update(path.read_bytes())
    return told.hexdigest()[:SHOWN]


def home(root: Path, wanted: str) -> Path:
    """Return the folder to import from. wanted: "plain" = the sources in any case. Raises OSError."""
    if wanted == PLAIN or not (root / FOLDER).is_dir():
        return root
    built = root / FOLDER / digest(root)
    return built if built.is_dir() else root


def name(root: Path, chosen: Path) -> str:
    """Return what people call the code in a folder that `home` has chosen."""
    return PLAIN if chosen == root else f"compiled {chosen.name}"
