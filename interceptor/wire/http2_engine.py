"""hyper-h2 as we run it: our settings and coders, whole frames instead of bytes (RFC 9113).

It keeps the states of streams, the windows and the settings. Frames are cut, screened and taken
apart before they come here, so its own frame buffer and its checks of fields are not used.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, Final

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import Event
from h2.settings import SettingCodes, Settings
from hyperframe.flags import Flags
from hyperframe.frame import DataFrame, Frame, HeadersFrame

from interceptor.wire.http2_events import Http2Limits
from interceptor.wire.http2_hpack import FieldDecoder, FieldEncoder

FRAME_SIZE: Final = 16_384
"""Largest payload of a frame we take: the least that may be told, and what most senders use."""
CLOSED_STREAMS: Final = 1024
"""Streams that are over of which it is remembered how they ended."""
_DEFAULT_WINDOW: Final = 65_535
_NO_LIMIT: Final = 2**31 - 1


class _Section(HeadersFrame):
    """A HEADERS frame with a whole block.

    hyper-h2 makes the `repr` of each frame for a log that is off, and picks the handler by
    `__class__`.
    """

    @property  # type: ignore[misc]
    def __class__(self) -> type[Any]:
        return HeadersFrame

    def __repr__(self) -> str:
        return "HEADERS"


class _Body(DataFrame):
    """A DATA frame; the `repr` of 16 KB would take longer than all the rest. See `_Section`."""

    @property  # type: ignore[misc]
    def __class__(self) -> type[Any]:
        return DataFrame

    def __repr__(self) -> str:
        return "DATA"


def _flags(kind: type[Frame], *names: str) -> Flags:
    flags = Flags(kind.defined_flags)
    for name in names:
        flags.add(name)
    return flags


_SECTION_FLAGS: Final = (
    _flags(HeadersFrame, "END_HEADERS"),
    _flags(HeadersFrame, "END_HEADERS", "END_STREAM"),
)
_BODY_FLAGS: Final = (
    _flags(DataFrame),
    _flags(DataFrame, "END_STREAM"),
    _flags(DataFrame, "PADDED"),
    _flags(DataFrame, "PADDED", "END_STREAM"),
)


class _Frames:
    """Stands where hyper-h2 has its frame buffer: gives it the one frame that was handed in."""

    __slots__ = ("_frame", "max_frame_size")

    def add_data(self, frame: Frame) -> None:
        self._frame = frame

    def __iter__(self) -> Iterator[Frame]:
        return iter((self._frame,))


@functools.lru_cache(8)
def _settings(limits: Http2Limits, client: bool, *, unlimited: bool = False) -> Settings:  # noqa: FBT001
    """What we tell the peer; nothing changes it, so connections share it.

    hyper-h2 is let to believe that streams are unlimited: their number is held by us, so that one
    too many costs that stream alone.
    """
    values = {
        SettingCodes.ENABLE_PUSH: 0,
        SettingCodes.MAX_CONCURRENT_STREAMS: _NO_LIMIT if unlimited else limits.streams,
        # Not below the default: the peer may send that much before it knows ours.
        SettingCodes.INITIAL_WINDOW_SIZE: max(limits.window, _DEFAULT_WINDOW),
        SettingCodes.MAX_FRAME_SIZE: FRAME_SIZE,
        SettingCodes.MAX_HEADER_LIST_SIZE: limits.header_bytes,
    }
    return Settings(client=client, initial_values=values)


class Engine(H2Connection):
    """One connection's state. Its preface is in `data_to_send`."""

    MAX_CLOSED_STREAMS = CLOSED_STREAMS

    def __init__(
        self, limits: Http2Limits, encoder: FieldEncoder, decoder: FieldDecoder, *, client: bool
    ) -> None:
        super().__init__(
            H2Configuration(
                client_side=client,
                header_encoding=False,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
                validate_inbound_headers=False,
                normalize_inbound_headers=False,
            )
        )
        self.local_settings = _settings(limits, client)
        self.initiate_connection()
        self.local_settings = _settings(limits, client, unlimited=True)
        if limits.connection_window > _DEFAULT_WINDOW:
            self.increment_flow_control_window(limits.connection_window - _DEFAULT_WINDOW)
        self.encoder = encoder
        self.decoder = decoder
        self.incoming_buffer = _Frames()  # type: ignore[assignment]
        # Used again and again: hyper-h2 keeps no frame.
        self._section = _Section(1)
        self._body = _Body(1)

    def receive(self, frame: Frame) -> list[Event]:
        """Act on a frame; raises h2's ProtocolError, with GOAWAY queued."""
        return self.receive_data(frame)  # type: ignore[arg-type]

    def receive_section(self, stream: int, block: bytes, *, end: bool) -> list[Event]:
        """Act on a whole header block."""
        section = self._section
        section.stream_id = stream
        section.data = block
        section.flags = _SECTION_FLAGS[end]
        return self.receive(section)

    def receive_body(self, stream: int, data: bytes, padding: int, *, end: bool) -> list[Event]:
        """Act on DATA; `padding` counts its length byte, 0 is none."""
        body = self._body
        body.stream_id = stream
        body.data = data
        body.flags = _BODY_FLAGS[end + (2 if padding else 0)]
        body.pad_length = padding - 1
        return self.receive(body)
