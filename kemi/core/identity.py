"""Who a caller turned out to be."""

from __future__ import annotations

from typing import NamedTuple

from kemi.records import PeeringGroup, PeerServer, SipDomain, Subscriber


class FromSubscriber(NamedTuple):
    """One of our lines, proven by digest or by a trusted address. domain is enabled."""

    subscriber: Subscriber
    domain: SipDomain

    @property
    def name(self) -> str:
        """Its address of record."""
        return f"{self.subscriber.username}@{self.subscriber.domain}"

    @property
    def region(self) -> str:
        """Whose emergency numbers count for it: its own region, else its domain's; "" = none in particular."""
        return self.subscriber.region or self.domain.region


class FromPeer(NamedTuple):
    """A server of an interconnection, known by its address; the group is enabled and its inbound rules match."""

    group: PeeringGroup
    server: PeerServer

    @property
    def name(self) -> str:
        """How CDRs name it."""
        return f"peer:{self.group.name}"


Caller = FromSubscriber | FromPeer
