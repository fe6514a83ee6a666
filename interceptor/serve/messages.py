"""What supervisor and interceptor say to each other on the control socket.

Sequenced packets; JSON, but for the certificate:

    worker -> supervisor    the authority's certificate, PEM       or Failure
    supervisor -> worker    Start, with the listeners' descriptors
    worker -> supervisor    Ready: it serves, and records nothing  or Failure
    supervisor -> worker    Open, after the self-test: what comes now is the agent
    worker -> supervisor    Ready                                  or Failure
    supervisor -> worker    Stop
    worker -> supervisor    Ready, when everything is in the evidence file

From `Open` to the last `Ready`, at any time:

    worker -> supervisor    Pins: what became of definitions of tools, and what waits for approval
    supervisor -> worker    Pins: what the store has otherwise
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec

from interceptor.policy.schema import Policy

PACKET: Final = 1 << 17
"""Bytes of a message, at most."""


class Addresses(msgspec.Struct, frozen=True):
    """What a guest is given: the part of `netns.nic.Nic` that its link tells it."""

    mac: str
    """The guest's."""
    router_mac: str
    ipv4: str
    gateway_ipv4: str
    bits_ipv4: int
    prefix_ipv6: str
    gateway_ipv6: str
    mtu: int


class Settings(msgspec.Struct, frozen=True):
    """What the supervisor tells the worker at its fork."""

    jail: str
    policy: Policy
    evidence: int
    """Descriptor of the evidence file, open for appending."""
    cache: Path | None
    """Directory of the compiled rule database."""
    authority: Path | None = None
    """Directory of an authority that is kept; None: one in memory, for this run."""
    pins: Any = None
    """Definitions of tools that are known (`PinBook`); None: none are, or they are not kept."""


class Published(msgspec.Struct, frozen=True):
    """A port of the agent's that the host may reach."""

    address: str
    """Where the host listens, canonical text."""
    port: int
    jail_port: int

    @property
    def where(self) -> str:
        """Address and port on the host."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}"

    @property
    def text(self) -> str:
        """As `--publish` takes it."""
        return f"{self.where}:{self.jail_port}"


class Start(msgspec.Struct, frozen=True):
    """Everything else, once the namespace stands. Listeners come in this order."""

    tcp: int
    dns_udp: int
    dns_tcp: int
    quic: tuple[int, ...]
    """Ports that agents dial, one for each QUIC listener."""
    channels: tuple[str, ...]
    """What the last descriptors are: `guard`, `witness`; of a guest's link `dhcp`, `router`."""
    published: tuple[Published, ...]
    """One for each listener on the host; if there are any, the channel to the process that makes
    sockets in the namespace comes last."""
    command: tuple[bytes, ...]
    """Bytes: an argument need not be UTF-8."""
    user: str
    uid: int
    rootless: bool
    versions: dict[str, str]
    guest: Addresses | None = None
    """What the guest's link tells it, where the namespace holds a NIC."""


class Open(msgspec.Struct, frozen=True, tag="open"):
    """The self-test has passed; from here on every decision is recorded."""


class Stop(msgspec.Struct, frozen=True, tag="stop"):
    """The agent has ended."""

    code: int
    seconds: float
    changed: tuple[str, ...] = ()
    """What the agent has changed of what runs later: `made PATH`, `changed PATH`..."""


class Pinned(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one side has of a tool, a card or a call that is asked about."""

    server: str
    tool: str
    pin: Any = None
    """`interceptor.decide.mcp.pins.Pin` as JSON has it; None: nothing is known of it."""
    anew: bool = False
    """The worker had forgotten it before: an approved call was made."""
    waits: str = ""
    """Digest of what waits for approval: the worker asks whether it was given."""


class Pins(msgspec.Struct, frozen=True, tag="pins"):
    """What became of pins; the store is out of the worker's reach."""

    pins: tuple[Pinned, ...]


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The worker has done what it was told."""

    notes: tuple[str, ...] = ()
    """Lines for the operator: which secrets are guarded, by name."""


class Failure(msgspec.Struct, frozen=True, tag="failure"):
    """The worker cannot serve."""

    cause: str
