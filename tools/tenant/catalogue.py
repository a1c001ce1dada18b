"""Every resource of tenants by its name: what is added here is listed, shown, written, applied and exported."""

from __future__ import annotations

from typing import Final

from tools.tenant import catalogue_accounts, catalogue_carriers, catalogue_lines, catalogue_lists, catalogue_people
from tools.tenant.model import Resource

RESOURCES: Final = (
    catalogue_accounts.ACCOUNT,
    catalogue_accounts.THRESHOLD,
    catalogue_accounts.TARIFF,
    catalogue_lists.CONTACT,
    catalogue_lists.REWRITE_SET,
    catalogue_lists.REWRITE_RULE,
    catalogue_lists.TIME_SET,
    catalogue_lists.BARRING,
    catalogue_lists.BARRING_RULE,
    catalogue_lists.REPLY,
    catalogue_lines.DOMAIN,
    catalogue_lines.SUBSCRIBER,
    catalogue_lines.TRUSTED,
    catalogue_people.LINE_FORWARD,
    catalogue_people.PLACE,
    catalogue_people.USER,
    catalogue_people.USER_FORWARD,
    catalogue_people.GROUP,
    catalogue_people.MEMBER,
    catalogue_people.MEDIA_SERVER,
    catalogue_people.CALLFLOW,
    catalogue_people.STEP,
    catalogue_people.EXTENSION,
    catalogue_lines.NUMBER,
    catalogue_carriers.PEERING,
    catalogue_carriers.SERVER,
    catalogue_carriers.HUNT,
    catalogue_carriers.RULE,
    catalogue_carriers.INBOUND,
)
_BY_NAME: Final = {each.name: each for each in RESOURCES}


def resource(name: str) -> Resource:
    """Return a resource by its name; KeyError for none."""
    return _BY_NAME[name]


def children(of: Resource) -> tuple[Resource, ...]:
    """Return the resources whose rows belong to rows of this one."""
    return tuple(each for each in RESOURCES if each.parent == of.name)


def above(of: Resource) -> Resource | None:
    """Return the resource that its rows belong to, None where that is an account."""
    return resource(of.parent) if of.parent else None
