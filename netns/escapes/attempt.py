"""One attempt as data: what is tried, and what would show that it got out."""

from __future__ import annotations

import enum
from typing import Any

import msgspec


class Proof(enum.StrEnum):
    """How it is known that an attempt has reached the outside."""

    ARRIVAL = "arrival"
    """Its nonce is on record at an oracle outside."""
    SIGNAL = "signal"
    """A process outside has received the signal."""
    LOOT = "loot"
    """The program has read a secret that only the outside holds."""
    GRANT = "grant"
    """The kernel has granted what leads outside, or changes it; the program goes no further."""


class Event(enum.StrEnum):
    """What the evidence must say of an attempt in the jail."""

    NONE = ""
    """The kernel refuses a system call: nobody sees it but the program."""
    BLOCK = "block"
    """A refused decision."""
    PACKET = "packet"
    """A refused packet, named where a packet guard runs."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table."""

    id: str
    row: int
    """Row of the threat model."""
    title: str
    program: str
    """`module.function` below `netns.escapes.programs`."""
    args: dict[str, Any] = {}
    proof: Proof = Proof.ARRIVAL
    event: Event = Event.NONE
    rights: bool = False
    """No ordinary user can do it, so the control runs as root."""
    root_outside: bool = False
    """Even in a user namespace of its own it cannot be done."""
    root_jail: bool = True
    """Also tried as root in the jail."""
    work: bool = False
    """Not an attempt to get out but work, which must succeed in the jail."""
    seconds: float = 10.0
    """Time limit."""
    loads: bool = False
    """The control may make the kernel load a module: in the lab only, not on a user's machine."""
