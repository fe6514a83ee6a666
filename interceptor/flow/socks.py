"""SOCKS, answered by us: a client that was told to use a proxy gets one, whatever its address."""

from __future__ import annotations

from interceptor.flow.alone import Alone
from interceptor.flow.context import FlowContext, Identity, Successor
from interceptor.flow.steps import Record, Step, ToClient
from interceptor.flow.tunnel import identify, tunnel
from interceptor.model import Kind
from interceptor.verdict import Reason, Verdict
from interceptor.wire.socks import Answer, Command, SocksError, SocksReader, SocksRequest, reply


class SocksProxy(Alone):
    """A `Speaker` for the negotiation; what is inside is a connection of its own."""

    __slots__ = ("_context", "_identity", "_reader")

    def __init__(
        self,
        context: FlowContext,
        identity: Identity,
        steps: list[Step],
        exchange: int,
        now: float,
    ) -> None:
        """Answer on a connection of `identity`; what follows is appended to `steps`."""
        super().__init__(steps, exchange, now + context.limits.header_seconds)
        self._context = context
        self._identity = identity
        self._reader = SocksReader()

    def client_bytes(self, data: bytes, now: float) -> None:
        """See `Speaker`."""
        if self._closed:
            return
        try:
            self._say(self._reader.feed(data))
        except SocksError as error:
            self._say(error.reply)
            self._refuse(self._context.judge.refuse(error.reason, str(error)), self._identity)
            return
        if self._reader.request is not None:
            self._answer(self._reader.request, now)

    def _answer(self, request: SocksRequest, now: float) -> None:
        judge = self._context.judge
        inner = identify(self._context, "tcp", request.host, request.port, now)
        version = request.version
        if request.command != Command.CONNECT:
            name = "BIND" if request.command == Command.BIND else "UDP ASSOCIATE"
            self._say(reply(version, Answer.NO_SUCH_COMMAND))
            refused = judge.refuse(Reason.PROTOCOL_REFUSED, f"{name} of SOCKS is not relayed")
            self._refuse(refused, inner)
            return
        asked = request.asked if inner.host == request.host else ""
        inside, verdict = tunnel(judge, self._identity, inner, asked)
        if verdict is not None:
            self._say(reply(version, Answer.NOT_ALLOWED))
            self._refuse(verdict, inner)
            return
        self._say(reply(version, Answer.GRANTED))
        self._closed = True
        self.successor = Successor(inside, self._reader.rest)

    def _say(self, data: bytes) -> None:
        if data:
            self._steps.append(ToClient(data))

    def _refuse(self, verdict: Verdict, about: Identity) -> None:
        self._steps.append(Record(verdict, about.target(), Kind.CONNECTION))
        self._close()

    def timer(self, now: float) -> None:  # noqa: ARG002
        """See `Speaker`."""
        if not self._closed:
            verdict = self._context.judge.refuse(Reason.TIMEOUT, "the SOCKS request was not ended")
            self._refuse(verdict, self._identity)
