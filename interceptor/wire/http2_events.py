"""What an HTTP/2 codec tells: events, the connection error, and the limits it holds (RFC 9113)."""

from __future__ import annotations

import enum

import msgspec

from interceptor.verdict import Reason
from interceptor.wire.fields import Field
from interceptor.wire.http1 import RequestHead, ResponseHead


class Code(enum.IntEnum):
    """Error codes of RST_STREAM and GOAWAY (RFC 9113 section 7)."""

    NO_ERROR = 0x0
    PROTOCOL_ERROR = 0x1
    INTERNAL_ERROR = 0x2
    FLOW_CONTROL_ERROR = 0x3
    SETTINGS_TIMEOUT = 0x4
    STREAM_CLOSED = 0x5
    FRAME_SIZE_ERROR = 0x6
    REFUSED_STREAM = 0x7
    CANCEL = 0x8
    COMPRESSION_ERROR = 0x9
    CONNECT_ERROR = 0xA
    ENHANCE_YOUR_CALM = 0xB
    INADEQUATE_SECURITY = 0xC
    HTTP_1_1_REQUIRED = 0xD


class Started(msgspec.Struct, frozen=True, gc=False):
    """A request head, checked (server role)."""

    stream: int
    head: RequestHead
    end: bool
    """No body and no trailers follow."""
    scheme: str
    """`:scheme` in lower case; empty for CONNECT."""


class Answered(msgspec.Struct, frozen=True, gc=False):
    """A response head, checked; informational ones (1xx) too (client role)."""

    stream: int
    head: ResponseHead
    end: bool


class Data(msgspec.Struct, frozen=True, gc=False):
    """A piece of a body; never empty."""

    stream: int
    data: bytes
    flow: int
    """Size under flow control, padding included: acknowledge it when the data was passed on."""


class Ended(msgspec.Struct, frozen=True, gc=False):
    """The body is complete, of the length that Content-Length said. Not told where `end` was."""

    stream: int
    trailers: tuple[Field, ...]


class Reset(msgspec.Struct, frozen=True, gc=False):
    """The peer gave the stream up, or (REFUSED_STREAM) said that it never began with it."""

    stream: int
    code: int


class Broken(msgspec.Struct, frozen=True, gc=False):
    """The message is malformed; RST_STREAM is queued, nothing more comes (RFC 9113 section 8.1.1).

    It may come for a stream that was never `Started`.
    """

    stream: int
    reason: Reason
    detail: str


class GoneAway(msgspec.Struct, frozen=True, gc=False):
    """The peer takes no new streams; those up to `last` may still complete."""

    code: int
    last: int


Event = Started | Answered | Data | Ended | Reset | Broken | GoneAway


class Http2Error(ValueError):
    """A connection error: GOAWAY is queued, nothing more is read (RFC 9113 section 5.4.1).

    Attributes:
        reason: whose fault, or LIMIT_EXCEEDED.
        detail: one clause for people.
        events: what came whole before the error, in the same call. All streams are over.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.events: list[Event] = []


class Http2Limits(msgspec.Struct, frozen=True):
    """Bounds of one connection. Sizes in bytes."""

    header_bytes: int = 65_536
    """Names and values of one header section."""
    header_count: int = 200
    streams: int = 128
    """Streams open at once."""
    window: int = 262_140
    """Flow-control window of a stream."""
    connection_window: int = 1_048_560
    """Flow-control window of all streams together."""
