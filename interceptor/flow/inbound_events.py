"""A stream of events on its way to the agent: each is judged when it is whole, and goes on then.

Server-sent events, lines of JSON and gRPC messages. A finding cuts the stream between two of them
and can say so in the stream's own terms. Where nothing may be cut, nothing waits either.
"""

from __future__ import annotations

from typing import Final, Protocol

import msgspec

from interceptor.decide.inbound import InboundWindow
from interceptor.decide.judge import Judge
from interceptor.flow.refusal import Explanation
from interceptor.policy.schema import Limits
from interceptor.verdict import Verdict
from interceptor.wire.content import ContentReader
from interceptor.wire.http1 import HttpError, ResponseHead

_EVENT_LIMIT: Final = 1 << 20
"""An event longer than this goes on in pieces, each judged for itself."""
_GRPC_PREFIX: Final = 5
_PLAIN: Final = 64
"""Bytes of an event beside its data that are read as well."""


class Cutter(Protocol):
    """Knows where events end, and what they carry."""

    def end(self, held: bytearray, start: int) -> int:
        """Return the offset behind the last event that is whole in `held`, 0: there is none.

        Args:
            held: bytes from the begin of an event on.
            start: bytes of it that were looked at before.
        """

    def carried(self, events: bytes) -> list[bytes]:
        """Return what each of some whole events carries."""

    def farewell(self, explanation: bytes) -> bytes | None:
        """Say that the stream ends here; None: it has no such terms."""


class Sse:
    """Server-sent events (HTML Living Standard, section 9.2)."""

    __slots__ = ()

    _ENDS: Final = (b"\n\n", b"\r\n\r\n", b"\r\r")

    def end(self, held: bytearray, start: int) -> int:
        """See `Cutter`."""
        cut = 0
        for end in self._ENDS:
            found = held.rfind(end, max(0, start - 3))
            if found >= 0:
                cut = max(cut, found + len(end))
        return cut

    def carried(self, events: bytes) -> list[bytes]:
        """See `Cutter`. Comments and other fields are read too where they are long."""
        out: list[bytes] = []
        data: list[bytes] = []
        beside: list[bytes] = []
        for line in events.splitlines():
            if line.startswith(b"data:"):
                data.append(line[6:] if line[5:6] == b" " else line[5:])
            elif not line:
                if data:
                    out.append(b"\n".join(data))
                    data = []
            elif len(line) > _PLAIN or line[:1] == b":":
                beside.append(line)
        if data:
            out.append(b"\n".join(data))
        return [*out, b"\n".join(beside)] if beside else out

    def farewell(self, explanation: bytes) -> bytes | None:
        """See `Cutter`."""
        return b"event: error\ndata: " + explanation + b"\n\n"


class Lines:
    """One value a line: NDJSON and its like."""

    __slots__ = ()

    def end(self, held: bytearray, start: int) -> int:
        """See `Cutter`."""
        return held.rfind(b"\n", start) + 1

    def carried(self, events: bytes) -> list[bytes]:
        """See `Cutter`."""
        return [line for line in events.replace(b"\x1e", b"").splitlines() if line]

    def farewell(self, explanation: bytes) -> bytes | None:
        """See `Cutter`."""
        return explanation + b"\n"


class GrpcMessages:
    """Length-prefixed messages (gRPC over HTTP/2, "Length-Prefixed-Message")."""

    __slots__ = ("_encoding", "_limits")

    def __init__(self, encoding: tuple[bytes, ...], limits: Limits) -> None:
        """Read messages of an encoding, which stands in `grpc-encoding`."""
        self._encoding = encoding
        self._limits = limits

    def end(self, held: bytearray, start: int) -> int:  # noqa: ARG002
        """See `Cutter`."""
        at = 0
        while len(held) - at >= _GRPC_PREFIX:
            end = at + _GRPC_PREFIX + int.from_bytes(held[at + 1 : at + _GRPC_PREFIX])
            if end > len(held):
                break
            at = end
        return at

    def carried(self, events: bytes) -> list[bytes]:
        """See `Cutter`. Texts stand in a message as they are, between its tags.

        Raises:
            HttpError: INCOMPLETE, a message that cannot be read.
        """
        out: list[bytes] = []
        at = 0
        while len(events) - at >= _GRPC_PREFIX:
            start = at + _GRPC_PREFIX
            end = start + int.from_bytes(events[at + 1 : start])
            message = events[start:end]
            if events[at] & 1 and self._encoding:
                reader = ContentReader(
                    self._encoding, self._limits.decoded_bytes, self._limits.expansion
                )
                message = b"".join(reader.feed(message))
            out.append(message)
            at = end
        return out

    def farewell(self, explanation: bytes) -> bytes | None:  # noqa: ARG002
        """See `Cutter`; the trailers of the call say it."""
        return None


class Events:
    """The content of one response; see `interceptor.flow.inbound.Inbound`."""

    __slots__ = (
        *("_blind", "_content", "_cutter", "_head", "_held", "_judge", "_looked", "_window"),
        *("holds_head", "noted", "verdict"),
    )

    waiting: Final = False
    patience = 0.0

    def __init__(
        self,
        judge: Judge,
        head: ResponseHead,
        window: InboundWindow,
        cutter: Cutter,
        codings: tuple[bytes, ...],
        limits: Limits,
    ) -> None:
        """Begin; the arguments are as of `interceptor.flow.inbound_document.Document`."""
        self._judge = judge
        self._head = head
        self._window = window
        self._cutter = cutter
        self._content: ContentReader | None = None
        self._held = bytearray()
        self._looked = 0
        self._blind = False
        self.holds_head = window.blocks
        self.verdict: Verdict | None = None
        self.noted: list[Verdict] = []
        if codings:
            try:
                self._content = ContentReader(codings, limits.decoded_bytes, limits.expansion)
                self._content.lift_budget()
            except HttpError as error:
                self._unreadable(error)

    def feed(self, data: bytes) -> bytes:
        """Take content as received; give what may go on.

        Nothing can be cut out of what is encoded: there pieces go on as they come, unless they
        complete an event that may not.
        """
        if self._blind or self._cut():
            return b"" if self._cut() else data
        try:
            out = self._whole(data) if self._content is None else self._coded(data)
        except HttpError as error:
            self._unreadable(error)
            out = data
        if self._cut():
            return b""
        return out if self._window.blocks else data

    def _cut(self) -> bool:
        return self.verdict is not None

    def _coded(self, data: bytes) -> bytes:
        assert self._content is not None  # noqa: S101
        for piece in self._content.feed(data):
            if not self._cut():
                self._whole(piece)
        return data

    def _whole(self, data: bytes) -> bytes:
        """Judge the events that are whole by now and return them; the rest is held."""
        held = self._held
        held += data
        cut = self._cutter.end(held, self._looked)
        if not cut and len(held) > _EVENT_LIMIT:
            cut = len(held)
        out = bytes(held[:cut])
        del held[:cut]
        self._looked = len(held)
        if out:
            self._judge_all(self._cutter.carried(out))
        return out

    def _judge_all(self, carried: list[bytes]) -> None:
        for text in carried:
            verdict = self._window.judge(text)
            if verdict is None:
                continue
            if not verdict.allowed:
                self.verdict = verdict
                return
            self.noted.append(verdict)

    def flush(self) -> bytes:
        """Give nothing: what is held is not whole."""
        return b""

    def finish(self) -> bytes:
        """Content is complete; give what is left of it."""
        rest = bytes(self._held)
        self._held.clear()
        if not rest or self._blind or self._cut():
            return b""
        try:
            self._judge_all(self._cutter.carried(rest))
        except HttpError as error:
            self._unreadable(error)
        passed = self._cut() or self._content is not None or not self._window.blocks
        return b"" if passed else rest

    def begin(self) -> ResponseHead:
        """Return the head as the agent gets it."""
        return self._head

    def farewell(self, explanation: Explanation) -> bytes | None:
        """Say in the stream's own terms that it ends here; None where it has no such terms."""
        if not self._window.blocks or self._content is not None:
            return None
        return self._cutter.farewell(msgspec.json.encode(explanation))

    def _unreadable(self, error: HttpError) -> None:
        self._blind = True
        if self._window.blocks:
            self.verdict = self._judge.refuse(error.reason, error.detail)
