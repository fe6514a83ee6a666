"""The older transport of MCP (revision 2024-11-05, "HTTP with SSE"), told by its first event."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from interceptor.flow.inbound import Inbound
from interceptor.flow.mcp_events import EventReader, RpcEvents, codings_of, read_event, rewritten
from interceptor.flow.refusal import Explanation
from interceptor.policy.schema import Limits
from interceptor.verdict import Verdict
from interceptor.wire.content import ContentReader
from interceptor.wire.http1 import Framing, HttpError, ResponseHead

_FIRST: Final = 65_536
"""Bytes of a first event; what is longer is none that names an address."""


class FirstEvent:
    """A stream of events, until its first one is there; see `interceptor.flow.inbound.Inbound`.

    Comments before it pass. From it on the stream is read as what it is.
    """

    __slots__ = (
        *("_begin", "_content", "_decided", "_head", "_other", "_otherwise", "_reader", "_rpc"),
        *("holds_head", "noted", "patience", "verdict"),
    )

    def __init__(
        self,
        head: ResponseHead,
        limits: Limits,
        begin: Callable[[ResponseHead], RpcEvents],
        otherwise: Callable[[ResponseHead], Inbound | None],
    ) -> None:
        """Begin.

        Args:
            head: of the response.
            limits: `decoded_bytes` and `expansion` hold here.
            begin: begins to read the stream of a server.
            otherwise: begins to read it as any other.
        """
        codings = codings_of(head)
        # What names the address may be cut out of a coding, or of a length: then it loses both.
        self._head = rewritten(head) if codings or head.framing is Framing.LENGTH else head
        self._content: ContentReader | None = None
        self._begin = begin
        self._other = otherwise(self._head)
        self._rpc: RpcEvents | None = None
        self._decided = False
        self._reader = EventReader()
        self.holds_head = self._other is not None and self._other.holds_head
        self.patience = 0.0 if self._other is None else self._other.patience
        self.verdict: Verdict | None = None
        self.noted: list[Verdict] = []
        if codings:
            try:
                self._content = ContentReader(codings, limits.decoded_bytes, limits.expansion)
                self._content.lift_budget()
            except HttpError:
                self._decided = True
                self._head = head
                self._other = otherwise(head)

    @property
    def _reading(self) -> Inbound | None:
        return self._other if self._rpc is None else self._rpc

    @property
    def waiting(self) -> bool:
        """See `Inbound`."""
        return self._reading is not None and self._reading.waiting

    def feed(self, data: bytes) -> bytes:
        """Take content as received; give what may go on."""
        if self._content is None:
            return self._take(data)
        try:
            return b"".join([self._take(piece) for piece in self._content.feed(data)])
        except HttpError:
            return b""  # it ends here for everybody

    def _take(self, data: bytes) -> bytes:
        if self._decided:
            return self._pass(self._reader.follows(data))
        events = self._reader.feed(data)
        out = b""
        for at, text in enumerate(events):
            event = read_event(text)
            if event is None or (event.data is None and not event.kind):
                out += self._pass(text + b"\n\n")
                continue
            if event.kind == "endpoint" and event.data:
                self._rpc = self._begin(self._head)
            return out + self._decide(b"\n\n".join([*events[at:], b""]))
        return out + (self._decide(b"") if len(self._reader) > _FIRST else b"")

    def _decide(self, whole: bytes) -> bytes:
        self._decided = True
        return self._pass(whole + self._reader.rest())

    def _pass(self, data: bytes) -> bytes:
        reading = self._reading
        if reading is None or not data:
            return data
        out = reading.feed(data)
        self._note(reading)
        return out

    def _note(self, reading: Inbound) -> None:
        self.noted += reading.noted
        reading.noted.clear()
        self.verdict = reading.verdict

    def flush(self) -> bytes:
        """See `Inbound`."""
        return b"" if self._reading is None else self._reading.flush()

    def finish(self) -> bytes:
        """Content is complete; give what is left of it."""
        out = b"" if self._decided else self._decide(b"")
        reading = self._reading
        if reading is not None and reading.verdict is None:
            out += reading.finish()
            self._note(reading)
        return out

    def begin(self) -> ResponseHead:
        """Return the head as the agent gets it."""
        return self._head

    def farewell(self, explanation: Explanation) -> bytes | None:
        """See `Inbound`."""
        return None if self._reading is None else self._reading.farewell(explanation)
