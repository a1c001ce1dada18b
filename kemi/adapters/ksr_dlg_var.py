"""What is kept with the call in Kamailio's dialog, for all processes that handle its messages.

Always by `$dlg_var(…)`: it locks the dialog and copies what it reads. `KSR.dialog.var_sets`, `var_rm` and
`var_gete` of 5.6 do neither, and the replies of a call come to several processes at once: what one of them
reads is freed under its hands by another, and two writers tear the list (modules/dialog: `ki_dlg_var_sets`,
`get_dlg_varref`, "use only when it is sure that the value is not updated").
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kemi.adapters.ksr_api import Ksr


def get(ksr: Ksr, name: str) -> str:
    """Return what is kept with the current call under a name of ours, "" when nothing."""
    return str(ksr.pv.gete(f"$dlg_var({name})"))


def put(ksr: Ksr, name: str, value: str) -> None:
    """Keep text with the current call."""
    ksr.pv.sets(f"$dlg_var({name})", value)


def drop(ksr: Ksr, name: str) -> None:
    """Keep it no longer."""
    ksr.pv.unset(f"$dlg_var({name})")
