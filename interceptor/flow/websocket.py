"""A WebSocket: messages of both directions, each judged whole before any of it is released.

What may pass goes on as it came: the same opcode, the same payload (deflated if it was), framed
and masked afresh. Pings, pongs and close frames are relayed, not answered; the payloads of the
agent's are judged as well, since they are bytes that it sends out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from interceptor.decide.judge import Judge
from interceptor.decide.messages import RememberingWindow
from interceptor.flow.channel import NOTHING, Passed
from interceptor.flow.context import FlowContext
from interceptor.model import Kind, Target
from interceptor.policy.schema import Limits
from interceptor.scan.window import HOLD
from interceptor.verdict import Reason, Verdict
from interceptor.wire.http1 import RequestHead, ResponseHead
from interceptor.wire.websocket import Message, MessageReader, MessageWriter
from interceptor.wire.websocket_close import (
    GOING_AWAY,
    POLICY_VIOLATION,
    UNEXPECTED,
    WebSocketError,
)
from interceptor.wire.websocket_deflate import Deflate, Inflater
from interceptor.wire.websocket_frames import CLOSE, TEXT, Masks
from interceptor.wire.websocket_handshake import upgrade_request, verify_response, write_upgrade

if TYPE_CHECKING:
    from interceptor.flow.mcp_socket import SocketConversation

_WHERE = "ws_message"
_CONTROL = 8  # bit of the opcodes of control frames


class Window(Protocol):
    """Judges the messages of one sequence, as `interceptor.scan.window.MessageWindow` does."""

    def judge(self, message: bytes) -> Verdict | None:
        """Return None for a clean message, else a verdict."""
        ...


class WebSocketUpgrade:
    """The agent's wish to open a WebSocket; an `interceptor.flow.channel.Upgrade`."""

    __slots__ = ("_head", "_inbound", "_wish")

    def __init__(
        self, head: RequestHead, inbound: Callable[[Target], Window | None] | None = None
    ) -> None:
        """Check the opening handshake of `head`.

        Args:
            head: for which `wants_websocket` is true.
            inbound: gives the window for what upstream sends; without, that is not judged.

        Raises:
            HttpError: the handshake is malformed, or of another version.
        """
        self._head = head
        self._wish = upgrade_request(head)
        self._inbound = inbound

    def wire_head(self, path: bytes, authority: bytes) -> bytes:
        """See `interceptor.flow.channel.Upgrade`."""
        return write_upgrade(self._head, self._wish, path, authority)

    def channel(self, head: ResponseHead, context: FlowContext, target: Target) -> WebSocketChannel:
        """See `interceptor.flow.channel.Upgrade`."""
        agreed = verify_response(self._wish, head)
        inbound = self._inbound(target) if self._inbound is not None else None
        conversations = context.conversations
        rpc = None if conversations is None else conversations.socket(target)
        return WebSocketChannel(
            context.judge, target, context.limits, context.random, agreed, inbound, rpc
        )


class WebSocketChannel:
    """An open WebSocket; an `interceptor.flow.channel.Channel`."""

    __slots__ = ("_in", "_judge", "_out", "_over", "_rpc", "reason", "received", "sent")

    def __init__(
        self,
        judge: Judge,
        target: Target,
        limits: Limits,
        random: Callable[[int], bytes],
        agreed: Deflate | None = None,
        inbound: Window | None = None,
        rpc: SocketConversation | None = None,
    ) -> None:
        """Begin after the handshake.

        Args:
            judge: of the jail.
            target: of the request that asked for the WebSocket.
            limits: `message_bytes` and `expansion` hold here.
            random: source of unpredictable bytes, for masks.
            agreed: permessage-deflate as agreed upon, if it was.
            inbound: judges what upstream sends; None: that is not judged.
            rpc: judges what is said where it is MCP.
        """
        self._judge = judge
        self._rpc = rpc
        self._out = _Direction(
            _reader(limits, agreed, from_client=True),
            MessageWriter(Masks(random)),
            _Spoken(judge.message_window(target, _WHERE)),
        )
        self._in = _Direction(
            _reader(limits, agreed, from_client=False), MessageWriter(None), inbound
        )
        self._over = False
        self.sent = self.received = 0
        self.reason = ""

    def from_client(self, data: bytes) -> Passed:
        """See `interceptor.flow.channel.Channel`."""
        return self._pass(self._out, data)

    def from_upstream(self, data: bytes) -> Passed:
        """See `interceptor.flow.channel.Channel`."""
        return self._pass(self._in, data)

    def client_ended(self) -> Passed:
        """See `interceptor.flow.channel.Channel`."""
        return self._ended(Reason.CLIENT_CLOSED)

    def upstream_ended(self) -> Passed:
        """See `interceptor.flow.channel.Channel`."""
        return self._ended(Reason.UPSTREAM_CLOSED)

    def _pass(self, way: _Direction, data: bytes) -> Passed:
        if self._over or way.closed:  # nothing may follow a close frame (RFC 6455 section 5.5.1)
            return NOTHING
        out: list[bytes] = []
        back: list[bytes] = []
        records: list[tuple[Verdict, Kind]] = []
        code = 0
        refused: Verdict | None = None
        try:
            for received in way.reader.feed(data):
                message = self._converse(way, received, back, records)
                if message is None:
                    continue
                verdict = way.judge(message)
                if verdict is not None:
                    records.append((verdict, Kind.WS_MESSAGE))
                    if not verdict.allowed:
                        refused, code = verdict, POLICY_VIOLATION
                        break
                out.append(way.write(message))
                if message.opcode == CLOSE:
                    break
        except WebSocketError as error:
            refused, code = self._judge.refuse(error.reason, error.detail), error.code
            records.append((refused, Kind.WS_MESSAGE))
        if refused is not None:
            return self._refuse(way, b"".join(out), refused, code, tuple(records))
        if not out and not records:
            return NOTHING
        self._over = self._out.closed and self._in.closed
        return self._passed(way, b"".join(out), b"".join(back), tuple(records))

    def _converse(
        self,
        way: _Direction,
        message: Message,
        back: list[bytes],
        records: list[tuple[Verdict, Kind]],
    ) -> Message | None:
        """Judge a message that may be one of MCP; None: it does not go on."""
        if self._rpc is None or message.opcode & _CONTROL:
            return message
        ruling = self._rpc.judge(message.payload, client=way is self._out)
        if ruling is None:
            return message
        if ruling.verdict is not None:
            records.append((ruling.verdict, Kind.MCP_MESSAGE))
        other = self._in if way is self._out else self._out
        if ruling.answer is not None and not other.closed:
            back.append(other.write(Message(TEXT, ruling.answer, ruling.answer)))
        if ruling.forward is None:
            return None
        # Never deflated: what was left out would be missed by what is deflated after it.
        return Message(message.opcode, ruling.forward, ruling.forward)

    def _refuse(
        self,
        way: _Direction,
        passed: bytes,
        verdict: Verdict,
        code: int,
        records: tuple[tuple[Verdict, Kind], ...],
    ) -> Passed:
        """End the connection on both sides. The agent is told why; upstream only what it did."""
        self._over = True
        self.reason = verdict.reason.value
        why = f"{self.reason}: {verdict.rule}" if verdict.rule else self.reason
        if way is self._out:
            forward = way.close(GOING_AWAY, "")
            back = self._in.close(code, why)
        else:
            forward = way.close(code if code == POLICY_VIOLATION else UNEXPECTED, why)
            back = self._out.close(code, "")
        return self._passed(way, passed + forward, back, records)

    def _passed(
        self,
        way: _Direction,
        forward: bytes,
        back: bytes,
        records: tuple[tuple[Verdict, Kind], ...],
    ) -> Passed:
        if way is self._out:
            self.sent = way.relayed
            return Passed(forward, back, records, self._over)
        self.received = way.relayed
        return Passed(back, forward, records, self._over)

    def _ended(self, reason: Reason) -> Passed:
        """One side is gone. Without a close frame the other sees the connection break off."""
        if self._over:
            return NOTHING
        self._over = True
        if not self._out.closed and not self._in.closed:
            self.reason = reason.value
        return Passed(over=True)


class _Direction:
    """One direction: reads, judges, writes.

    Attributes:
        closed: a close frame was written; nothing follows it.
        relayed: payload bytes of messages that went on.
    """

    __slots__ = ("_window", "_writer", "closed", "reader", "relayed")

    def __init__(
        self, reader: MessageReader, writer: MessageWriter, window: Window | _Spoken | None
    ) -> None:
        self.reader = reader
        self._writer = writer
        self._window = window
        self.closed = False
        self.relayed = 0

    def judge(self, message: Message) -> Verdict | None:
        window = self._window
        if window is None or not message.payload:
            return None
        if isinstance(window, _Spoken):
            return window.judge(message)
        return window.judge(message.payload)

    def write(self, message: Message) -> bytes:
        self.closed = message.opcode == CLOSE
        self.relayed += len(message.payload)
        return self._writer.write(message)

    def close(self, code: int, reason: str) -> bytes:
        """Write a close frame, unless one was written."""
        if self.closed:
            return b""
        self.closed = True
        return self._writer.close(code, reason)


class _Spoken:
    """What the agent says, in every order in which a receiver may put it together.

    Messages follow each other and so do the payloads of control frames; a receiver may also read
    all as they come. The third is only scanned while it differs from the first.
    """

    __slots__ = ("_all", "_control", "_messages", "_since")

    def __init__(self, messages: RememberingWindow) -> None:
        self._messages = messages
        self._control = messages.copy()
        self._all: RememberingWindow | None = None
        self._since = 0

    def judge(self, message: Message) -> Verdict | None:
        """Judge a message or a control frame."""
        payload = message.payload
        if message.opcode & _CONTROL:
            if message.opcode == CLOSE:
                payload = payload[2:]
                if not payload:
                    return None
            if self._all is None:
                self._all = self._messages.copy()
            self._since = 0
            return _graver(self._control.judge(payload), self._all.judge(payload))
        verdict = self._messages.judge(payload)
        if self._all is not None:
            verdict = _graver(verdict, self._all.judge(payload))
            self._since += len(payload)
            if self._since >= HOLD:
                self._all = None
        return verdict


def _graver(first: Verdict | None, second: Verdict | None) -> Verdict | None:
    return second if first is None or (second is not None and not second.allowed) else first


def _reader(limits: Limits, agreed: Deflate | None, *, from_client: bool) -> MessageReader:
    fault = Reason.HTTP_MALFORMED if from_client else Reason.UPSTREAM_MALFORMED
    inflater = None
    if agreed is not None:
        if from_client:
            bits, fresh = agreed.client_max_window_bits, agreed.client_no_context_takeover
        else:
            bits, fresh = agreed.server_max_window_bits, agreed.server_no_context_takeover
        inflater = Inflater(
            bits or 15,
            takeover=not fresh,
            limit=limits.message_bytes,
            expansion=limits.expansion,
            fault=fault,
        )
    return MessageReader(
        masked=from_client, limit=limits.message_bytes, fault=fault, inflater=inflater
    )
