"""The KSR calls about phones and their registrations; see ksr_api.py."""

from __future__ import annotations

from typing import Protocol


class Registrar(Protocol):
    """Registered phones."""

    def save(self, table: str, flags: int, /) -> int:
        """Save the contacts and answer; < 0 for an error. flags: 2 answers nothing, 16 prepares the answer."""

    def save_uri(self, table: str, flags: int, uri: str, /) -> int:
        """Save them for this address of record, whatever the To says; likewise."""

    def reg_send_reply(self) -> int:
        """Send the answer that was prepared, an error where saving failed."""

    def reg_fetch_contacts(self, table: str, uri: str, profile: str, /) -> int:
        """Make `$ulc(profile=>…)` the contacts of an address of record; < 0 when there are none."""

    def reg_free_contacts(self, profile: str, /) -> int:
        """Let them go again."""

    def unregister_ruid(self, table: str, uri: str, ruid: str, /) -> int:
        """Forget one contact; < 0 when there is none of this name."""

    def registered_uri(self, table: str, uri: str, /) -> int:
        """Tell whether a contact is registered for an address of record; < 0 when there is none."""

    def lookup(self, table: str, /) -> int:
        """Replace the R-URI by the contacts registered for it; < 0 when there are none."""

    def lookup_to_dset(self, table: str, uri: str, /) -> int:
        """Add the contacts registered for `uri` to those that will be asked; < 0 when there are none."""


class Nathelper(Protocol):
    """Phones behind a NAT."""

    def fix_nated_register(self) -> int:
        """Let the registrar note where the REGISTER came from."""


class Tcpops(Protocol):
    """Connections."""

    def tcp_set_connection_lifetime_cid(self, number: int, seconds: int, /) -> int:
        """Keep a connection so long from each word on it; -1 when it is gone. A shorter time counts from the next."""

    def tcp_close_connection_id(self, number: int, /) -> int:
        """Close a connection at once; -1 when it is gone."""


class Textopsx(Protocol):
    """More of the text of a message."""

    def msg_apply_changes(self) -> int:
        """Make edits of headers visible to what reads the message from now on."""
