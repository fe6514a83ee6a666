"""What a relayed TCP service holds, and how it ends: the half of `Relay` that says no bytes."""

from __future__ import annotations

from typing import Final, Protocol

from interceptor.flow.context import FlowContext, Identity, Successor
from interceptor.flow.relay_states import TRANSITIONS, Stage
from interceptor.flow.states import LifecycleError
from interceptor.flow.steps import Close, EndUpstream, Finished, Record, Step, ToClient
from interceptor.flow.unopened import last_words
from interceptor.model import Kind, Target
from interceptor.verdict import Reason, Verdict
from interceptor.wire.dialect import Dialect
from interceptor.wire.dialects import DIALECTS
from interceptor.wire.farewell import farewell

IDLE_SECONDS: Final = 3600.0
"""A service may be silent for this long, or for `limits.idle_seconds` if that is longer: people and
connection pools keep such connections open."""
_PENDING: Final = 65_536  # bytes of the agent that wait for upstream
_ALPN: Final = frozenset(
    (
        *("postgresql", "imap", "pop3", "smtp", "managesieve", "ftp", "nntp", "irc"),
        *("xmpp-client", "mqtt", "x-amzn-mqtt-ca", "amqp"),
    )
)


def other_protocol(offered: tuple[str, ...]) -> tuple[str, ...]:
    """The protocol to agree to of those that an agent's TLS offers, HTTP aside; none: unknown."""
    return tuple(name for name in offered if name in _ALPN)[:1]


class Window(Protocol):
    """Judges pieces of one direction in their order."""

    def judge(self, message: bytes, /) -> Verdict | None:
        """Return None for a clean piece, else a verdict."""


class RelayEnds:
    """Base of `Relay`: what it knows, its times, its records and its ends.

    Attributes:
        exchange: number of the exchange; the whole connection is one.
    """

    __slots__ = (
        *("_address", "_agreement", "_begun", "_context", "_deadline", "_dialect", "_ended"),
        *("_full", "_hello", "_identity", "_inbound", "_opened", "_outbound", "_pending"),
        *("_protocol", "_received", "_said", "_sealed", "_sent", "_stage", "_steps"),
        *("_alpn", "_target", "_waiting"),
        "exchange",
    )

    successor: Successor | None = None

    def __init__(
        self,
        context: FlowContext,
        identity: Identity,
        protocol: str,
        steps: list[Step],
        exchange: int,
        *,
        sealed: bool = False,
        alpn: tuple[str, ...] = (),
    ) -> None:
        """Relay for `identity`, which the judge must have allowed as a stream.

        Args:
            context: of the flow.
            identity: who the connection stands for.
            protocol: what policy opened it for.
            steps: what follows is appended here.
            exchange: number of the last exchange before.
            sealed: the agent is inside of TLS.
            alpn: what was agreed upon there, to be offered upstream.
        """
        self._context = context
        self._identity = identity
        self._protocol = protocol
        self._steps = steps
        self.exchange = exchange + 1
        self._dialect: Dialect = DIALECTS[protocol]()
        self._sealed = False
        self._alpn = alpn
        self._target = Target("tcp", identity.host, identity.port)
        self._stage = Stage.FIRST
        self._deadline = 0.0
        self._begun = 0.0
        self._opened = context.judge.stream(self._target)
        self._outbound: Window = context.judge.message_window(self._target, "stream")
        self._inbound: Window | None = context.judge.inbound_window(
            "stream", self._target, apart=False
        )
        self._pending: list[bytes] = []
        self._hello = b""
        self._agreement = b""
        self._address = ""
        self._sent = self._received = self._waiting = 0
        self._said = self._full = self._ended = False
        if sealed:
            self._secure()

    @property
    def deadline(self) -> float:
        """See `Speaker`."""
        return self._deadline

    @property
    def wants_client(self) -> bool:
        """See `Speaker`."""
        if self._full or self._stage is Stage.CLOSED:
            return False
        return self._waiting < _PENDING

    @property
    def _idle(self) -> float:
        return max(self._context.limits.idle_seconds, IDLE_SECONDS)

    def _secure(self) -> None:
        """Note that both sides are, or will be, inside of TLS."""
        self._dialect.sealed()
        if self._sealed:
            return
        self._sealed = True
        if self._stage is Stage.FIRST and not self._dialect.tls_asked:
            # Nothing was dialled yet: upstream's TLS begins with the connection, too.
            self._target = Target("tls", self._identity.host, self._identity.port)

    def _to(self, stage: Stage) -> None:
        if stage not in TRANSITIONS[self._stage]:
            raise LifecycleError(f"{self._stage.value} -> {stage.value}")
        self._stage = stage

    def _record(self, verdict: Verdict) -> None:
        self._steps.append(Record(verdict, self._target, Kind.TCP_STREAM, self.exchange))
        if verdict.received is not None:
            flow, seen = self._context.origin.flow, verdict.allowed
            self._context.judge.came_back(verdict, self._target, flow, seen=seen)

    def _fail(self, reason: Reason, detail: str, now: float) -> None:
        self._refuse(self._context.judge.refuse(reason, detail), now)

    def _refuse(self, verdict: Verdict, now: float) -> None:
        """Record a block, tell the agent in its protocol where there is a way, and end."""
        self._record(verdict)
        self._finish(verdict.reason, now)
        stage = self._stage
        asked = stage is Stage.SEAL and bool(self._agreement)
        text = b""
        if asked or self._sealed or not (self._hello or stage in (Stage.SEAL, Stage.HELLO)):
            text = farewell(self._protocol, last_words(verdict), greeted=self._received > 0)
        if text:
            self._steps.append(ToClient(text))
        self._close(reset=not text)

    def _finish(self, reason: str, now: float) -> None:
        """End upstream, and say how it went."""
        if self._stage in (Stage.FIRST, Stage.CLOSED):
            return
        self._steps.append(EndUpstream(reusable=False))
        self._steps.append(
            Finished(
                self.exchange,
                0,
                self._sent,
                self._received,
                self._address,
                now - self._begun,
                reason,
                self._identity.host,
                self._identity.port,
            )
        )

    def _close(self, *, reset: bool) -> None:
        self._to(Stage.CLOSED)
        self._pending.clear()
        self._steps.append(Close(reset=reset))

    def unwritable(self) -> None:
        """See `Speaker`."""
        self._steps.clear()
        self._steps += [EndUpstream(reusable=False), Close(reset=True)]
        self._stage = Stage.CLOSED
