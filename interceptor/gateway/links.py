"""The link of a guest, as the kernel's part wants it."""

from __future__ import annotations

from interceptor.gateway.messages import Guest
from netns.nic import Kind, Nic, mac_of


def nic_of(guest: Guest, peer: int = -1) -> Nic | None:
    """The link of a guest, or None for processes.

    Args:
        guest: as asked for.
        peer: descriptor of the guest's own namespace, for a veth pair that is made.

    Raises:
        NicError: it cannot be as asked.
    """
    nic = guest.nic
    if nic is None:
        return None
    return Nic(
        Kind(nic.kind),
        nic.mac.lower() or mac_of(guest.name),
        existing=nic.existing,
        peer=peer,
        peer_name=nic.peer_name,
    )
