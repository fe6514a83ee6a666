"""Steps: what a flow asks its server to do. Flows return these; only `interceptor.serve` acts.

Order matters and is the product's promise: `Resolve`, `Dial` and `ToUpstream` follow an allowing
`Record` of the same flow or do not exist. `tests/pure/flow/test_no_byte_before_verdict.py`
proves it at every cut of the input.
"""

from __future__ import annotations

import msgspec

from interceptor.model import Target
from interceptor.verdict import Verdict


class Record(msgspec.Struct, frozen=True, gc=False):
    """Write this decision to the evidence before the next step is carried out."""

    verdict: Verdict
    target: Target
    kind: str
    exchange: int = 0
    """Number of the exchange within the flow, from 1; 0 for the connection itself."""


class Finished(msgspec.Struct, frozen=True, gc=False):
    """An exchange that was allowed has ended: how, and how much."""

    exchange: int
    status: int
    """HTTP status relayed to the agent; 0 if none was."""
    sent: int
    """Body bytes relayed to upstream."""
    received: int
    """Body bytes relayed to the agent."""
    address: str
    """The literal address that was dialled; empty if none was."""
    seconds: float
    reason: str = ""
    """Reason code when the exchange did not complete, else empty."""
    host: str = ""
    """Host of the exchange's target."""
    port: int = 0
    """Port of the target; 0 for that of the connection."""


class Terminate(msgspec.Struct, frozen=True, gc=False):
    """Answer the ClientHello as `name`; feed the plaintext to the flow from now on."""

    name: str
    hello: bytes
    """Everything read so far, from the ClientHello on."""
    alpn: tuple[str, ...] = ("http/1.1",)


class Resolve(msgspec.Struct, frozen=True, gc=False):
    """Find an upstream connection for `target`: a pooled one, or the addresses of its host.

    The server answers with `pooled()`, `resolved()` or `upstream_failed()`.
    """

    target: Target
    fresh: bool = False
    """True when only a new connection will do."""
    lane: int = 0
    """Which of the flow's upstream connections this is about; a flow of HTTP/1.1 has one."""
    known: str = ""
    """The only address of the host, where policy has written it: nobody is asked."""
    judged: int = 0
    """The judgement in force (`Judge.epoch`): a connection of another one is not taken."""


class Dial(msgspec.Struct, frozen=True, gc=False):
    """Connect to these literal, judged addresses in order, with TLS verified for `target.host`.

    The server answers with `connected()` or `upstream_failed()`.
    """

    target: Target
    addresses: tuple[str, ...]
    alpn: tuple[str, ...] = ("http/1.1",)
    """Protocols to offer, in order of preference; none for what is not HTTP."""
    lane: int = 0
    port: int = 0
    """Port to dial, where it is not the target's."""
    judged: int = 0
    """See `Resolve`; the connection is kept under it."""


class Seal(msgspec.Struct, frozen=True, gc=False):
    """Begin TLS on a connected lane, verified for `name` (STARTTLS and its like).

    The server answers with `sealed()` or `upstream_failed()`.
    """

    name: str
    lane: int = 0


class ToUpstream(msgspec.Struct, frozen=True, gc=False):
    """Send these bytes upstream."""

    data: bytes
    lane: int = 0


class HoldUpstream(msgspec.Struct, frozen=True, gc=False):
    """Stop reading from a lane, because what it brings cannot be passed on; or go on."""

    hold: bool
    lane: int = 0


class ToClient(msgspec.Struct, frozen=True, gc=False):
    """Send these bytes to the agent."""

    data: bytes


class FinishUpstream(msgspec.Struct, frozen=True, gc=False):
    """Nothing more will be sent on the lane: end our side once what was sent is out.

    What comes back is still read, until `upstream_eof`.
    """

    lane: int = 0


class EndUpstream(msgspec.Struct, frozen=True, gc=False):
    """The lane is done with: keep the upstream connection for another flow, or close it."""

    reusable: bool
    lane: int = 0
    gently: bool = False
    """Close once all is sent. Else at once, so that upstream sees that it did not get all."""


class Close(msgspec.Struct, frozen=True, gc=False):
    """Close the agent's connection: after what was written, or at once with a reset."""

    reset: bool = False


Step = (
    Record
    | Finished
    | Terminate
    | Resolve
    | Dial
    | Seal
    | ToUpstream
    | HoldUpstream
    | ToClient
    | FinishUpstream
    | EndUpstream
    | Close
)
