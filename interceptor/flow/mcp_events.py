"""Server-sent events that carry JSON-RPC: each is judged when it is whole, and written afresh.

What is refused is replaced by an error, or left out, and the stream goes on. Clients take streams
apart in different ways (some end lines at U+2028 and its like), so that no event passes as it came.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from interceptor.decide.judge import Judge
from interceptor.decide.mcp.ruling import Ruling
from interceptor.flow.refusal import Explanation
from interceptor.policy.schema import Limits
from interceptor.verdict import Reason, Verdict
from interceptor.wire.content import ContentReader, content_codings
from interceptor.wire.http1 import Framing, HttpError, ResponseHead

CHANGED: Final = frozenset(
    (
        *(b"content-encoding", b"content-length", b"content-md5", b"content-digest", b"digest"),
        *(b"repr-digest", b"etag", b"accept-ranges", b"signature", b"signature-input"),
    )
)
"""Fields that say something of bytes which are written afresh."""
_ID: Final = 1024
"""Characters of an event's id; what is longer is none."""
_SEPARATORS: Final = (
    (b"\xc2\x85", b"\\u0085"),
    (b"\xe2\x80\xa8", b"\\u2028"),
    (b"\xe2\x80\xa9", b"\\u2029"),
)


class Event(msgspec.Struct, frozen=True, gc=False):
    """One event (HTML Living Standard, section 9.2.6)."""

    kind: str
    data: bytes | None
    """None where it has none: it sets the id or the pause before a new attempt, or is a comment."""
    ident: bytes
    retry: bytes

    def write(self, data: bytes | None) -> bytes:
        """Return it with other data, in the one form that all clients read alike."""
        lines = []
        if self.kind:
            lines.append(b"event: " + self.kind.encode())
        if self.ident:
            lines.append(b"id: " + self.ident)
        if self.retry:
            lines.append(b"retry: " + self.retry)
        if data is not None:
            lines += [b"data: " + line for line in data.split(b"\n")]
        return b"\n".join(lines or [b":"]) + b"\n\n"


def read_event(text: bytes) -> Event | None:
    """Read one event.

    Args:
        text: its lines, ended by LF; not the empty one behind them.

    Returns:
        None where nothing is in it.
    """
    kind = b""
    ident = retry = b""
    data: list[bytes] = []
    seen = False
    for line in text.split(b"\n"):
        if not line:
            continue
        seen = True
        name, _, value = line.partition(b":")
        value = value[1:] if value[:1] == b" " else value
        if name == b"data":
            data.append(value)
        elif name == b"event":
            kind = value
        elif name == b"id" and b"\0" not in value and len(value) <= _ID:
            ident = value
        elif name == b"retry" and value.isdigit() and len(value) < 10:
            retry = value
    if not seen:
        return None
    name_of = kind.decode("ascii", "replace") if len(kind) <= 64 else ""
    name_of = name_of if name_of.isprintable() and name_of.isascii() else ""
    return Event(name_of, b"\n".join(data) if data else None, ident, retry)


def escaped(message: bytes) -> bytes:
    """Return JSON without what some clients take for the end of a line."""
    if message.isascii():
        return message
    for raw, escape in _SEPARATORS:
        message = message.replace(raw, escape)
    return message


class EventReader:
    """Cuts a stream into events, in any pieces."""

    __slots__ = ("_begun", "_cr", "_held", "_looked")

    def __init__(self) -> None:
        """Begin a stream."""
        self._held = bytearray()
        self._looked = 0
        self._cr = False
        self._begun = False

    def __len__(self) -> int:
        """Bytes that are held."""
        return len(self._held)

    def feed(self, data: bytes) -> list[bytes]:
        """Take content; give the lines of the events that are whole by now."""
        if not data:
            return []
        if self._cr:  # a line that was ended by CR alone, or by CR LF which was cut in two
            data = self.follows(data)
        if b"\r" in data:
            self._cr = data[-1:] == b"\r"
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        held = self._held
        held += data
        if not self._begun and len(held) >= 3:
            self._begun = True
            if held.startswith(b"\xef\xbb\xbf"):
                del held[:3]
        end = held.rfind(b"\n\n", max(0, self._looked - 1))
        if end < 0:
            self._looked = len(held)
            return []
        whole = bytes(held[:end])
        del held[: end + 2]
        self._looked = len(held)
        return [event for event in whole.split(b"\n\n") if event]

    def rest(self) -> bytes:
        """Take what is held of an event that is not whole."""
        rest = bytes(self._held)
        self._held.clear()
        self._looked = 0
        return rest

    def follows(self, data: bytes) -> bytes:
        """Return what follows without the rest of an end of line that was read already."""
        cut, self._cr = self._cr and data[:1] == b"\n", False
        return data[1:] if cut else data


class RpcEvents:
    """A stream of messages; see `interceptor.flow.inbound.Inbound`."""

    __slots__ = (
        *("_content", "_converse", "_error", "_head", "_judge", "_limits", "_opened", "_reader"),
        *("holds_head", "noted", "resumable", "verdict"),
    )

    waiting: Final = False
    patience = 0.0

    def __init__(
        self,
        judge: Judge,
        head: ResponseHead,
        codings: tuple[bytes, ...],
        limits: Limits,
        converse: Callable[[Event], Ruling],
        error: Callable[[Verdict], list[bytes]],
    ) -> None:
        """Begin.

        Args:
            judge: of the agent.
            head: of the response.
            codings: that stand over the content.
            limits: `message_bytes`, `decoded_bytes` and `expansion` hold here.
            converse: judges an event that has data.
            error: the errors that end what is still asked for.
        """
        self._judge = judge
        self._limits = limits
        self._converse = converse
        self._error = error
        self._head = rewritten(head)
        self._reader = EventReader()
        self._content: ContentReader | None = None
        self.holds_head = False
        self.resumable = False
        """An event had an id: the client may come back for what it has missed."""
        self.verdict: Verdict | None = None
        self.noted: list[Verdict] = []
        if codings:
            try:
                self._content = ContentReader(codings, limits.decoded_bytes, limits.expansion)
                self._content.lift_budget()
            except HttpError as error_:
                self._cut(error_)

    def feed(self, data: bytes) -> bytes:
        """Take content as received; give what may go on."""
        if self.verdict is not None:
            return b""
        out: list[bytes] = []
        try:
            pieces = (data,) if self._content is None else self._content.feed(data)
            for piece in pieces:
                for event in self._reader.feed(piece):
                    out += self._event(event)
        except HttpError as error:
            self._cut(error)
        if len(self._reader) > self._limits.message_bytes:
            self._cut(HttpError(Reason.LIMIT_EXCEEDED, "an event over limits.message_bytes"))
        return b"".join(out)

    def flush(self) -> bytes:
        """Give nothing: what is held is not whole."""
        return b""

    def finish(self) -> bytes:
        """Content is complete; what no empty line has ended is an event for some clients."""
        rest = self._reader.rest().strip(b"\n")
        if not rest or self.verdict is not None:
            return b""
        return b"".join(self._event(rest))

    def begin(self) -> ResponseHead:
        """Return the head as the agent gets it."""
        return self._head

    def farewell(self, explanation: Explanation) -> bytes | None:  # noqa: ARG002
        """Say in the stream's own terms that it ends here."""
        assert self.verdict is not None  # noqa: S101
        return b"".join(_event_of(error) for error in self._error(self.verdict)) or b":\n\n"

    def _event(self, text: bytes) -> list[bytes]:
        event = read_event(text)
        if event is None:
            return []
        self.resumable = self.resumable or bool(event.ident)
        if not event.data:
            return [event.write(event.data)]
        ruling = self._converse(event)
        if ruling.verdict is not None:
            self.noted.append(ruling.verdict)
        if ruling.forward is not None:
            return [event.write(escaped(ruling.forward))]
        if ruling.verdict is not None and ruling.verdict.reason is Reason.RPC_MALFORMED:
            # It may have been the answer: whoever waits for it hears that there is none.
            return [_event_of(error) for error in self._error(ruling.verdict)]
        return []

    def _cut(self, error: HttpError) -> None:
        self.verdict = self._judge.refuse(error.reason, error.detail)


def _event_of(message: bytes) -> bytes:
    return b"event: message\ndata: " + escaped(message) + b"\n\n"


def rewritten(head: ResponseHead) -> ResponseHead:
    """Return the head of a stream that is written afresh: it has another length."""
    fields = tuple(field for field in head.fields if field[1] not in CHANGED)
    framing = Framing.CHUNKED if head.framing is Framing.LENGTH else head.framing
    return msgspec.structs.replace(head, fields=fields, framing=framing, length=0, content=None)


def is_stream(head: ResponseHead) -> bool:
    """Tell whether a response is a stream of events."""
    value = head.content[0] if head.content is not None else _value(head, b"content-type")
    return value.partition(b";")[0].strip(b" \t").lower() == b"text/event-stream"


def codings_of(head: ResponseHead) -> tuple[bytes, ...]:
    """Return the codings that stand over the content of a response."""
    value = head.content[1] if head.content is not None else _value(head, b"content-encoding")
    return content_codings(value) if value else ()


def _value(head: ResponseHead, name: bytes) -> bytes:
    return b",".join(value for _, lower, value in head.fields if lower == name)
