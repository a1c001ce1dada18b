"""Headers that go no further than here, whoever sent them and however they are spelled."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from kemi.adapters.ksr_api import Ksr
from kemi.adapters.ksr_read import head, looked_at
from kemi.core.targets import ALWAYS_REMOVED

_SHORT: Final = {"Identity": "y", "Referred-By": "b"}
_SPELLED: Final = "|".join(re.escape(name).replace(r"\*", "[^:\r\n]*") for name in (*ALWAYS_REMOVED, *_SHORT.values()))
_ANY: Final = re.compile(rf"\n(?:{_SPELLED})[ \t]*:".encode(), re.IGNORECASE)


def strip(ksr: Ksr, names: Iterable[str]) -> None:
    """Strip headers in long, compact and any other spelling; `X-Name-*` strips all whose name begins so."""
    for name in looked_at(head(ksr)).among(tuple(names)):  # each removal walks over all headers; most are not there
        if name.endswith("*"):
            ksr.textops.remove_hf_re(f"^{name[:-1]}")
        else:
            ksr.hdr.remove(name)


def strip_interpreted(ksr: Ksr, found: bytes) -> None:
    """Strip what says who is who, and our own words, from a message between two sides of a call. found: its head."""
    if looked_at(found).names is not None or _ANY.search(found):  # most messages have none
        strip(ksr, ALWAYS_REMOVED)
