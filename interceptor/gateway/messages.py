"""What clients of the gateway ask and are told, over its unix socket.

A stream of frames: four bytes of length, most significant first, and so many bytes of JSON. A
request is a `Request`, its answer one of `Answer`; descriptors (unix(7), SCM_RIGHTS) come with the
length. A connection may ask again and again; requests are answered in their order.

Fields are added, never renamed or given another meaning; unknown ones are passed over.
"""

from __future__ import annotations

import re
import struct
from typing import Final, Literal

import msgspec

VERSION: Final = 1
"""Of this protocol; a gateway answers another one with `Fault` of code `version`."""

LENGTH: Final = struct.Struct(">I")
LARGEST_REQUEST: Final = 65_536
LARGEST_ANSWER: Final = 16 * 1024 * 1024

_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,46}[a-z0-9])?")


class Nic(msgspec.Struct, frozen=True):
    """The link of a guest that is no process of the host's: `netns.nic.Nic`."""

    kind: Literal["tap", "veth"]
    mac: str = ""
    """Hardware address of the guest; empty: one that stands for its name."""
    existing: str = ""
    """Name of a link of the host's that is taken in; empty: one is made inside."""
    peer_name: str = "eth0"
    """VETH that is made: name of the other end, in the namespace whose descriptor comes along."""


class Guest(msgspec.Struct, frozen=True):
    """One captive namespace, as it was asked for; the gateway keeps this over restarts."""

    name: str
    """Small letters, digits and `-`, at most 48."""
    policy: str = ""
    """Path of the policy file, absolute; empty: the preset alone."""
    preset: str = ""
    evidence: str = ""
    """Path of the evidence file, absolute; empty: the usual place."""
    user: str = ""
    """Who the guest is, for the evidence; empty: its name."""
    uid: int = -1
    """The same as a number; -1 is none."""
    nic: Nic | None = None
    """None: processes of the host that enter the namespace."""
    keep_authority: bool = False
    """Keep the authority's key in a file of root's, so that it outlives a reboot."""
    bound: bool = False
    """To a process, whose pidfd comes along: the guest is removed when that has ended."""
    added: float = 0.0
    """Seconds since the epoch; the gateway's to set."""


def check(guest: Guest) -> str:
    """Say what is wrong with a guest as it was asked for; empty if nothing is."""
    if not _NAME.fullmatch(guest.name):
        return f"{guest.name!r} is no name: a-z, 0-9 and -, at most 48"
    for what, path in (("policy", guest.policy), ("evidence", guest.evidence)):
        if path and (not path.startswith("/") or "\0" in path):
            return f"{what}: {path!r} is no absolute path"
    return ""


class Add(msgspec.Struct, frozen=True, tag="add"):
    """Make a captive namespace and serve it.

    With a `nic` of kind `veth` that is made, the descriptor of the guest's network namespace comes
    along, and last, for a guest that is `bound`, the pidfd. The answer brings that of the captive
    one, and of the tap where one was made.
    """

    guest: Guest


class Remove(msgspec.Struct, frozen=True, tag="remove"):
    """Serve a guest no more; what still lives in its namespace has no way out."""

    name: str


class List(msgspec.Struct, frozen=True, tag="list"):
    """Name the guests."""


class Status(msgspec.Struct, frozen=True, tag="status"):
    """Say how the gateway is."""


class Reload(msgspec.Struct, frozen=True, tag="reload"):
    """Read the policies of guests again, and use those that have changed."""

    names: tuple[str, ...] = ()
    """Empty: all."""


class Enter(msgspec.Struct, frozen=True, tag="enter"):
    """Hand over the descriptor of a guest's network namespace, and its authority."""

    name: str


Ask = Add | Remove | List | Status | Reload | Enter


class Request(msgspec.Struct, frozen=True):
    """One request."""

    ask: Ask
    version: int = VERSION


class Served(msgspec.Struct, frozen=True, tag="served"):
    """A guest is served."""

    name: str
    certificate: str
    """Of its authority, PEM: what the guest must trust."""
    evidence: str
    notes: tuple[str, ...] = ()


class Done(msgspec.Struct, frozen=True, tag="done"):
    """The request is carried out."""


class GuestState(msgspec.Struct, frozen=True):
    """A guest and how it is."""

    guest: Guest
    evidence: str
    state: Literal["served", "offline"]
    """`offline`: everything it asks for is refused."""
    fault: str = ""
    """Why it is offline."""
    worker: int = -1
    decisions: int = 0
    """Counts are since its worker has it."""
    refused: int = 0
    lost: int = 0
    """Decisions that could not be recorded, and were refused."""
    connections: int = 0


class Guests(msgspec.Struct, frozen=True, tag="guests"):
    """All guests, by name."""

    guests: tuple[GuestState, ...]


class WorkerState(msgspec.Struct, frozen=True):
    """A worker."""

    number: int
    pid: int
    guests: int
    deaths: int
    """So often it has ended and was started again."""


class State(msgspec.Struct, frozen=True, tag="state"):
    """How the gateway is."""

    egressguard: str
    """Its version."""
    pid: int
    began: float
    """Seconds since the epoch."""
    store: str
    """Who holds namespaces over a restart: `systemd` or `holder`."""
    guests: int
    offline: int
    workers: tuple[WorkerState, ...]


class Reloaded(msgspec.Struct, frozen=True, tag="reloaded"):
    """What became of `Reload`."""

    changed: tuple[str, ...]
    """Guests that have another policy now."""
    faults: tuple[tuple[str, str], ...] = ()
    """Name of a guest, and why it has its old policy still, or is offline."""


class Fault(msgspec.Struct, frozen=True, tag="fault"):
    """The request is not carried out."""

    code: Literal["version", "request", "name", "policy", "setup", "busy"]
    """`request`: malformed. `name`: taken, or unknown. `policy`: cannot be used. `setup`: namespace
    or evidence could not be made. `busy`: no worker answers."""
    cause: str


Answer = Served | Done | Guests | State | Reloaded | Fault
