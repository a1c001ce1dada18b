"""Headers that go no further than here, whoever sent them and however they are spelled."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from kemi.adapters.ksr_api import Ksr
from kemi.adapters.ksr_read import Head, head, looked_at
from kemi.core.targets import ALWAYS_REMOVED

_SHORT: Final = {"Identity": "y", "Referred-By": "b"}
_SPELLED: Final = "|".join(re.escape(name).replace(r"\*", "[^:\r\n]*") for name in (*ALWAYS_REMOVED, *_SHORT.values()))
_ANY: Final = re.compile(rf"\n(?:{_SPELLED})[ \t]*:".encode(), re.IGNORECASE)


def strip(ksr: Ksr, names: Iterable[str]) -> None:
    """Strip headers in long, compact and any other spelling; `X-Name-*` strips all whose name begins so."""
    _strip(ksr, looked_at(head(ksr)), tuple(names))


def strip_interpreted(ksr: Ksr, found: bytes) -> None:
    """Strip what says who is who, and our own words, from a message between two sides of a call. found: its head."""
    seen = looked_at(found)
    if seen.names is not None or _ANY.search(found):  # most messages have none
        _strip(ksr, seen, ALWAYS_REMOVED)


def _strip(ksr: Ksr, found: Head, names: tuple[str, ...]) -> None:
    for name in found.among(names):  # each removal walks over all headers; most are not there
        if name.endswith("*"):
            ksr.textops.remove_hf_re(f"^{name[:-1]}")
        else:
            ksr.hdr.remove(name)
