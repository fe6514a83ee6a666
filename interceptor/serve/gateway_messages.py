"""What the gateway's supervisor and one of its workers say to each other.

Sequenced packets, JSON. The worker answers each order once, and in their order:

    Take, with descriptors    Taken    a guest is served, and recorded
    Alter, with its payload   Done     the guest's policy is another one; its connections are closed
    Release                   Done     the guest is served no more; its evidence says so
    Watch, with a channel     Done     what is refused without a listener is recorded with its name
    Ask                       Report   counts, and a sign of life

and, instead of each of them, Failure: the guest is not served. The first packet, before any order,
is Ready: the worker has given up its privileges.

What is large, or what only the worker may read, goes by descriptors: `Payload` as JSON in memory,
the evidence file, what is kept of the guest (`interceptor.serve.keepsake`).
"""

from __future__ import annotations

import msgspec

from interceptor.policy.schema import Policy
from interceptor.serve.messages import Failure, Ready, Start

__all__ = [
    "Alter",
    "Answer",
    "Ask",
    "Done",
    "Failure",
    "Order",
    "Payload",
    "Ready",
    "Release",
    "Report",
    "Take",
    "Taken",
    "Tally",
    "Watch",
]


class Payload(msgspec.Struct, frozen=True):
    """What a worker needs of files, which it may not read."""

    policy: Policy
    rule_files: tuple[tuple[str, bytes], ...] = ()
    """Paths and contents, as `policy.rules.files` names them."""
    authorities: str = ""
    """PEM, trusted upstream besides the host's."""
    prepared: bytes = b""
    """`interceptor.serve.guarding.Prepared`; empty where no secrets are known."""
    key: bytes = b""
    """Of the digests in it; empty: the policy's, or the one that is kept of the guest."""


class Take(msgspec.Struct, frozen=True, tag="take"):
    """Serve a guest.

    Descriptors: payload, evidence to append to, the same evidence to read, what is kept of the
    guest; then those that `start` counts.
    """

    name: str
    start: Start
    cause: str = ""
    """Why it is served again, as `evidence.schema.Resumed` has it; empty for a new guest."""


class Alter(msgspec.Struct, frozen=True, tag="alter"):
    """Judge a guest by another policy from here on. One descriptor: the payload."""

    name: str


class Release(msgspec.Struct, frozen=True, tag="release"):
    """Serve a guest no more."""

    name: str
    seconds: float
    """For which it was there."""


class Watch(msgspec.Struct, frozen=True, tag="watch"):
    """Record what the packet guard names. One descriptor: its channel (`netns.shared_guard`)."""

    name: str


class Ask(msgspec.Struct, frozen=True, tag="ask"):
    """Say how things are."""


Order = Take | Alter | Release | Watch | Ask


class Taken(msgspec.Struct, frozen=True, tag="taken"):
    """The guest is served."""

    name: str
    certificate: str
    """Of its authority, PEM."""
    notes: tuple[str, ...] = ()
    """Lines for the operator."""


class Done(msgspec.Struct, frozen=True, tag="done"):
    """The order is carried out."""

    name: str
    notes: tuple[str, ...] = ()


class Tally(msgspec.Struct, frozen=True):
    """Counts of one guest since its worker has it."""

    name: str
    decisions: int
    refused: int
    lost: int
    """Decisions that could not be recorded and were refused."""
    connections: int
    """That are open."""


class Report(msgspec.Struct, frozen=True, tag="report"):
    """How things are."""

    tallies: tuple[Tally, ...]


Answer = Taken | Done | Report | Failure | Ready
