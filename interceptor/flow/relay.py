"""An opened TCP service: relayed, with what both sides say judged piece by piece.

The order of steps is that of every flow: an allowing `Record` precedes `Resolve`, which precedes
`Dial`, which precedes `ToUpstream`. Where the client speaks first, its first unit has been judged
by then. Where TLS begins in the middle, upstream's is established and verified first; then the
agent's client hello is answered, and what is said inside goes on being judged.
"""

from __future__ import annotations

from typing import Final

from interceptor.flow.hello import judge_hello
from interceptor.flow.relay_ends import RelayEnds, other_protocol
from interceptor.flow.relay_states import Stage
from interceptor.flow.steps import (
    EndUpstream,
    FinishUpstream,
    Seal,
    Terminate,
    ToClient,
    ToUpstream,
)
from interceptor.flow.way import ask, dial
from interceptor.verdict import Reason, Verdict
from interceptor.wire.dialect import DialectError, Told
from interceptor.wire.tls_hello import ClientHello, HelloError, looks_like_tls

_HELLO_LIMIT: Final = 65_536
_IMPLICIT: Final = frozenset((465, 989, 990, 993, 995))
"""Ports on which a server that would speak first waits for the client's TLS (RFC 8314)."""
_IMPLICIT_SECONDS: Final = 1.0
_LINGER_SECONDS: Final = 30.0
"""After the agent has ended its side: time in which upstream may still answer."""


class Relay(RelayEnds):
    """A `Speaker` for one connection to an opened service."""

    __slots__ = ()

    def begin(self, now: float) -> None:
        """Start: ask upstream at once where its server speaks first."""
        self._begun = now
        limits = self._context.limits
        self._deadline = now + limits.header_seconds
        if self._dialect.server_first:
            if self._identity.port in _IMPLICIT and not self._sealed:
                self._deadline = now + _IMPLICIT_SECONDS
            else:
                self._ask(now)

    def greet(self, now: float) -> None:
        """The agent is silent: let the server speak first, whatever the protocol."""
        if self._stage is Stage.FIRST:
            self._ask(now)

    def client_bytes(self, data: bytes, now: float) -> None:
        """See `Speaker`."""
        stage = self._stage
        if stage in (Stage.CLOSED, Stage.ENDING):
            return
        if stage is Stage.OPEN:
            self._deadline = now + self._idle
        handshake = stage in (Stage.SEAL, Stage.HELLO) and not self._sealed
        if handshake or self._begins_tls(data):
            self._read_hello(data, now)
            return
        if self._hello:  # it looked like TLS for a byte or two
            data, self._hello = self._hello + data, b""
        self._said = True
        try:
            told = self._dialect.from_client(data)
        except DialectError as error:
            self._fail(error.reason, str(error), now)
            return
        self._out(told, now)

    def client_eof(self, now: float) -> None:
        """See `Speaker`."""
        if self._ended:
            return
        self._ended = True
        rest = self._dialect.remainder(client=True)
        if rest and self._stage in (Stage.ASK, Stage.OPEN):
            self._out(Told(rest), now)
        if self._stage is Stage.OPEN:
            self._end_sending(now)
        elif self._stage not in (Stage.ASK, Stage.ENDING, Stage.CLOSED):
            self._finish(Reason.CLIENT_CLOSED, now)
            self._close(reset=False)

    def client_lost(self, now: float) -> None:
        """See `Speaker`."""
        if self._stage is not Stage.CLOSED:
            self._finish("" if self._stage is Stage.ENDING else Reason.CLIENT_CLOSED, now)
            self._stage = Stage.CLOSED

    # -- Speaker: upstream -------------------------------------------------------------------

    def resolved(
        self,
        addresses: tuple[str, ...],
        now: float,
        lane: int,  # noqa: ARG002
        canonical: str = "",
    ) -> None:
        """See `Speaker`."""
        if self._stage is not Stage.ASK:
            return
        judge = self._context.judge
        verdict, step = dial(judge, self._target, addresses, canonical, self._alpn)
        if step is None:
            self._refuse(verdict, now)
            return
        self._steps.append(step)

    def connected(
        self,
        address: str,
        now: float,
        lane: int,  # noqa: ARG002
        *,
        reused: bool,  # noqa: ARG002
        alpn: str,  # noqa: ARG002
    ) -> None:
        """See `Speaker`."""
        if self._stage is not Stage.ASK:
            self._steps.append(EndUpstream(reusable=False))
            return
        self._address = address
        self._to(Stage.OPEN)
        self._deadline = now + self._idle
        try:
            if self._hello:
                self._read_hello(b"", now)
                return
            if self._sealed and self._target.scheme == "tcp":
                self._steps.append(ToUpstream(self._dialect.preamble()))
                self._to(Stage.PREAMBLE)
                self._deadline = now + self._context.limits.connect_seconds
                return
        except DialectError as error:
            self._fail(error.reason, str(error), now)
            return
        self._flush(now)

    def upstream_bytes(self, data: bytes, now: float, lane: int) -> None:  # noqa: ARG002
        """See `Speaker`."""
        stage = self._stage
        if stage is Stage.OPEN:
            self._deadline = now + self._idle
        elif stage in (Stage.SEAL, Stage.HELLO):
            detail = "bytes stand behind the agreement to TLS"
            self._fail(Reason.UPSTREAM_MALFORMED, detail, now)
            return
        elif stage not in (Stage.PREAMBLE, Stage.ENDING):
            return
        try:
            told = self._dialect.from_server(data)
        except DialectError as error:
            self._fail(error.reason, str(error), now)
            return
        self._bring(told, now)

    def _bring(self, told: Told, now: float) -> None:
        """Judge what the server said, and pass it back."""
        if told.data and self._inbound is not None:
            verdict = self._inbound.judge(told.data)
            if verdict is not None and not self._pass(verdict, now):
                return
        if told.seal:
            self._agreement = told.data
            self._seal(now)
            return
        self._back(told.data + told.opaque)

    def sealed(self, now: float, lane: int) -> None:  # noqa: ARG002
        """See `Speaker`."""
        if self._stage is not Stage.SEAL:
            return
        self._deadline = now + self._context.limits.header_seconds
        if self._sealed:
            self._secure()
            self._to(Stage.OPEN)
            self._deadline = now + self._idle
            self._flush(now)
            return
        self._back(self._agreement)
        self._to(Stage.HELLO)
        if self._hello:
            self._read_hello(b"", now)

    def upstream_failed(self, reason: Reason, detail: str, now: float, lane: int) -> None:  # noqa: ARG002
        """See `Speaker`."""
        if self._stage is not Stage.CLOSED:
            self._fail(reason, detail, now)

    def upstream_eof(self, now: float, lane: int) -> None:  # noqa: ARG002
        """See `Speaker`."""
        if self._stage in (Stage.OPEN, Stage.ENDING):
            self._bring(Told(self._dialect.remainder(client=False)), now)
        if self._stage in (Stage.OPEN, Stage.ENDING):
            self._finish("", now)
            self._close(reset=False)
        elif self._stage is not Stage.CLOSED:
            self._fail(Reason.UPSTREAM_CLOSED, "the server closed the connection", now)

    def upstream_full(self, now: float, lane: int, *, full: bool) -> None:  # noqa: ARG002
        """See `Speaker`."""
        self._full = full

    def timer(self, now: float) -> None:
        """See `Speaker`."""
        if self._stage is Stage.FIRST and self._dialect.server_first and not self._hello:
            self._ask(now)  # no TLS came on a port that has it
        elif self._stage in (Stage.OPEN, Stage.ENDING):
            self._finish(Reason.TIMEOUT, now)
            self._close(reset=False)
        elif self._stage is not Stage.CLOSED:
            waits = self._stage in (Stage.FIRST, Stage.HELLO)
            detail = "nothing was said" if waits else "upstream was silent for too long"
            self._fail(Reason.TIMEOUT, detail, now)

    # -- towards upstream --------------------------------------------------------------------

    def _ask(self, now: float) -> None:
        """Record the allowing verdict and find the host; TLS at once where the agent has it."""
        self._to(Stage.ASK)
        self._deadline = now + self._context.limits.connect_seconds * 2
        self._record(self._opened)
        self._steps.append(ask(self._context.judge, self._target, fresh=True))

    def _out(self, told: Told, now: float) -> None:
        """Judge what the agent said, and pass it on."""
        if told.data:
            verdict = self._outbound.judge(told.data)
            if verdict is not None and not self._pass(verdict, now):
                return
        if told.reply:
            self._back(told.reply)
        data = told.data + told.opaque
        if data:
            self._pending.append(data)
            self._waiting += len(data)
            if self._stage is Stage.FIRST:
                self._ask(now)
            elif self._stage is Stage.OPEN:
                self._flush(now)
        if told.seal:
            self._hello = told.rest
            if self._stage is Stage.OPEN:
                self._seal(now)
            else:
                self._read_hello(b"", now)

    def _pass(self, verdict: Verdict, now: float) -> bool:
        """Record a verdict on a piece; False if it ends the connection."""
        if not verdict.allowed:
            self._refuse(verdict, now)
            return False
        self._record(verdict)
        return True

    def _flush(self, now: float) -> None:
        """Send what waits; end our side if the agent has ended its."""
        if self._pending:
            data = b"".join(self._pending)
            self._pending.clear()
            self._waiting = 0
            self._sent += len(data)
            self._steps.append(ToUpstream(data))
        if self._ended and self._stage is Stage.OPEN:
            self._end_sending(now)

    def _end_sending(self, now: float) -> None:
        self._steps.append(FinishUpstream())
        self._to(Stage.ENDING)
        self._deadline = now + _LINGER_SECONDS

    def _back(self, data: bytes) -> None:
        if data:
            self._received += len(data)
            self._steps.append(ToClient(data))

    # -- TLS -----------------------------------------------------------------------------------

    def _begins_tls(self, data: bytes) -> bool:
        """True while these are bytes of a client hello that was not asked for, or not yet."""
        if self._said or self._sealed:
            return bool(self._hello)
        if self._received or not self._dialect.tls_first:
            return False
        return looks_like_tls(self._hello + data)

    def _read_hello(self, data: bytes, now: float) -> None:
        """Collect the agent's client hello; go on when it is whole."""
        self._hello += data
        try:
            hello = ClientHello.parse(self._hello)
        except HelloError as error:
            self._fail(error.reason, str(error), now)
            return
        if hello is None:
            if len(self._hello) > _HELLO_LIMIT:
                self._fail(Reason.TLS_MALFORMED, "the ClientHello is too long", now)
            return
        refused = judge_hello(self._context, hello, self._identity.host)
        if refused is not None:
            self._refuse(refused, now)
            return
        if self._stage is Stage.OPEN:
            self._seal(now)
        elif self._stage in (Stage.FIRST, Stage.HELLO):
            self._terminate(hello, now)

    def _terminate(self, hello: ClientHello, now: float) -> None:
        alpn = other_protocol(hello.alpn)
        data, self._hello = self._hello, b""
        first = self._stage is Stage.FIRST
        self._secure()
        if first:
            self._alpn = alpn
        self._steps.append(Terminate(self._identity.host, data, alpn))
        if not first:
            self._to(Stage.OPEN)
            self._deadline = now + self._idle
        elif self._dialect.server_first:
            self._ask(now)
        else:
            self._deadline = now + self._context.limits.header_seconds

    def _seal(self, now: float) -> None:
        self._to(Stage.SEAL)
        self._deadline = now + self._context.limits.connect_seconds
        self._flush(now)
        self._steps.append(Seal(self._identity.host))
