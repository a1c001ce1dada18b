"""Which tariff or carrier a file is for: named as everywhere, own ones before those of others."""

from __future__ import annotations

from tools.errors import OperatorError
from tools.session import NAMESAKES_SHOWN, Session, not_there, shown
from tools.tenant.catalogue import resource
from tools.tenant.naming import candidates


def find(acting: Session, kind: str, text: str, option: str) -> int:
    """Return the id of the tariff or the peering that a text names: a name, OWNER/name, or an id such as #5.

    Raises OperatorError where there is none, or several are equally near.
    """
    found = candidates(acting.connection, resource(kind), text, acting.account_id)
    if not found:
        raise not_there(option, text)
    nearest = [each for each in found if each.distance == found[0].distance]
    if len(nearest) > 1:
        ids = ", ".join(f"#{each.id} of account {each.account_id}" for each in nearest[:NAMESAKES_SHOWN])
        raise OperatorError(f"{option}: several are called {shown(text)}, give the id or a path: {ids}")
    return nearest[0].id
