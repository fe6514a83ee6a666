"""Events: the lines of the evidence file. docs/evidence.md explains every field.

Field names are part of the interface: fields are added, never renamed. Every line is one JSON
object whose `event` says which of these it is.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec


class _Event(msgspec.Struct, gc=False, tag_field="event", kw_only=True):
    time: str
    """RFC 3339, UTC, microseconds: `2026-01-31T12:00:00.000001Z`."""
    seq: int = 0
    """Number of the event within the jail, from 1, without holes; given when it is written."""
    jail: str


class DecisionFinding(msgspec.Struct, frozen=True, gc=False):
    """One rule that matched, as it may be written down."""

    rule: str
    title: str
    severity: str
    where: str
    encoding: str
    digest: str
    """Keyed digest of the matched bytes: equal secrets within a jail have equal digests."""
    home: bool


class DecisionReceived(msgspec.Struct, frozen=True, gc=False):
    """How content that came back was judged."""

    score: int
    source: str
    handling: str


class Decision(_Event, tag="decision", kw_only=True):
    """Something was asked for, and this was decided. Written before it was carried out."""

    flow: str
    agent: str | msgspec.UnsetType = msgspec.UNSET
    """Which agent of an explicit proxy; only there."""
    exchange: int
    """Number of the exchange in the flow, from 1; 0 for the connection itself."""
    kind: str
    """Kind of the unit (`interceptor.model.Kind`)."""
    process: Any = None
    """Process that asked, as in a `process` event, if it was known by then."""
    host: str
    """Name that was asked for, masked when it carries a secret."""
    port: int
    address: str
    """Original destination as the agent dialled it: a synthetic address, or a literal one."""
    scheme: str
    method: str
    path: str
    """Path and query, masked where a secret may lie."""
    action: str
    """`allow`, `redact` or `block`."""
    reason: str
    """Reason code (`interceptor.verdict.Reason`)."""
    rule: str
    detail: str = ""
    findings: tuple[DecisionFinding, ...] = ()
    policy: str
    """Digest of the policy that was in force."""
    inbound: DecisionReceived | msgspec.UnsetType = msgspec.UNSET
    """Only where something was found in what came back."""
    taint: str | msgspec.UnsetType = msgspec.UNSET
    """Only while the agent is tainted: the flow that brought the cause."""


class ProcessSeen(_Event, tag="process", kw_only=True):
    """Who has opened a flow, when that was learned after a decision of the flow was written."""

    flow: str
    process: Any
    """`pid` (as the jail numbers it), `executable`, `arguments` (masked), `folder`, `parents`."""


class Completion(_Event, tag="finished", kw_only=True):
    """An exchange that was allowed has ended."""

    flow: str
    agent: str | msgspec.UnsetType = msgspec.UNSET
    """As of a decision."""
    exchange: int
    host: str
    port: int
    status: int
    sent: int
    """Body bytes relayed upstream."""
    received: int
    """Body bytes relayed to the agent."""
    address: str
    """Literal address that was judged and dialled; empty if none was."""
    seconds: float
    reason: str
    """Reason code when the exchange did not complete, else empty."""


class Gap(_Event, tag="gap", kw_only=True):
    """Decisions could not be written for a while; each of them was refused instead."""

    lost: int
    """Decisions that have no line."""
    since: str
    """Time of the first."""


class Started(_Event, tag="started", kw_only=True):
    """A jail began, before its command did."""

    program: str
    """Base name of the program."""
    command: str
    """SHA-256 of the argument vector, NUL between arguments: arguments may hold secrets."""
    user: str
    uid: int
    rootless: bool
    policy: str
    preset: str
    authority: str
    """SHA-256 fingerprint of the jail's certificate authority."""
    versions: dict[str, str]
    """Name to version: egressguard, python, kernel and what else matters."""
    secrets: tuple[str, ...] = ()
    """Names of variables and files whose secrets are known and looked for."""
    canaries: tuple[str, ...] = ()
    """Names of planted decoys."""
    registries: tuple[str, ...] = ()
    """Kind of package registry and a host where its tokens are at home: `npm packages.example`."""
    published: tuple[str, ...] = ()
    """Ports of the agent's that the host may reach: `127.0.0.1:3000:3000`, host's side first."""
    guarantee: str | msgspec.UnsetType = msgspec.UNSET
    """What keeps the agent to this way, where it is less than a captive namespace: `cooperative`,
    an explicit proxy, which the agent uses because it was told to; `pod`, rules within its pod."""


class Resumed(_Event, tag="resumed", kw_only=True):
    """A guest of the gateway is served again, by another process or under another policy."""

    cause: str
    """`restart` (of the gateway), `worker` (the process that served it had ended) or `policy`."""
    policy: str
    preset: str
    authority: str
    """SHA-256 fingerprint: the same as before, or the guest does not trust it."""
    versions: dict[str, str]


class Stopped(_Event, tag="stopped", kw_only=True):
    """A jail ended."""

    code: int
    """Exit code of the command; 128+n for a signal."""
    seconds: float
    decisions: int
    refused: int
    lost: int
    """Decisions that could not be written; they were refused."""
    changed: tuple[str, ...] = ()
    """Files that run later and that the agent has changed: `made PATH`, `changed PATH`..."""


Event: TypeAlias = Decision | ProcessSeen | Completion | Gap | Started | Resumed | Stopped

_DECODER = msgspec.json.Decoder(Event)


def decode(line: bytes) -> Event:
    """Read one line.

    Raises:
        ValueError: it is not one of our events; unknown fields are allowed, as later versions
            add some.
    """
    try:
        event: Event = _DECODER.decode(line)
    except msgspec.MsgspecError as error:
        raise ValueError(f"not an evidence line: {error}") from None
    return event
