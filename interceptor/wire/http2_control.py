"""Control frames of an HTTP/2 peer, in either role: windows, resets, settings, GOAWAY."""

from __future__ import annotations

import struct
from typing import Final, NoReturn

from h2.events import Event as H2Event
from h2.events import StreamReset
from h2.exceptions import ProtocolError
from hyperframe.frame import Frame, RstStreamFrame, SettingsFrame, WindowUpdateFrame

from interceptor.verdict import Reason
from interceptor.wire.fields import over_limit
from interceptor.wire.http2_events import (
    Broken,
    Code,
    Event,
    GoneAway,
    Http2Error,
    Http2Limits,
    Reset,
)
from interceptor.wire.http2_flood import Flood
from interceptor.wire.http2_streams import Http2Streams

ACK: Final = 1
_STREAM_MASK: Final = 2**31 - 1
_SETTING: Final = struct.Struct(">HL")
_SETTINGS_SIZE: Final = 6 * 64
_KNOWN_SETTINGS: Final = frozenset((1, 2, 3, 4, 5, 6))
_WINDOW_UPDATE: Final = 8


class Http2Control(Http2Streams):
    """What control frames do to the streams. Not used by itself."""

    __slots__ = ("_now",)

    def __init__(self, limits: Http2Limits, now: float) -> None:
        super().__init__(limits, now)
        self._now = now

    def _on_window(self, stream: int, payload: bytes, events: list[Event]) -> None:
        self._spend(Flood.WINDOWS, self._now)
        size = number31(payload)
        if size == 0:
            if stream not in self._streams:
                self._fail(Code.PROTOCOL_ERROR, "a window update of nothing")
            self._break(stream, Code.PROTOCOL_ERROR, "a window update of nothing", events)
            return
        got = self._receive(WindowUpdateFrame(stream, size))
        if got and got[0].__class__ is StreamReset:
            detail = "a flow-control window is too large"
            self._break(stream, Code.FLOW_CONTROL_ERROR, detail, events)
            return
        self._unblock(stream)

    def _on_reset(self, stream: int, payload: bytes, events: list[Event]) -> None:
        if stream > self._highest:
            self._fail(Code.PROTOCOL_ERROR, "a reset of an idle stream")
        if stream not in self._streams:
            self._spend(Flood.OTHER, self._now)
            return
        self._spend(Flood.RESETS, self._now)
        code = int.from_bytes(payload, "big")
        self._receive(RstStreamFrame(stream, code))
        self._forget(stream)
        events.append(Reset(stream, code))

    def _on_settings(self, flags: int, payload: bytes) -> None:
        self._spend(Flood.SETTINGS, self._now)
        size = len(payload)
        if size % 6 or (flags & ACK and size):
            self._fail(Code.FRAME_SIZE_ERROR, "SETTINGS of a wrong size")
        if size > _SETTINGS_SIZE:
            self._fail(Code.ENHANCE_YOUR_CALM, "too many settings")
        if flags & ACK:
            return
        # Unknown settings are ignored (RFC 9113 section 6.5.2): hyper-h2 would keep each.
        told = [pair for pair in _SETTING.iter_unpack(payload) if pair[0] in _KNOWN_SETTINGS]
        self._receive(SettingsFrame(0, dict(told)))
        self._unblock(0)

    def _on_goaway(self, payload: bytes, events: list[Event]) -> None:
        if len(payload) < 8:
            self._fail(Code.FRAME_SIZE_ERROR, "GOAWAY of a wrong size")
        self._spend(Flood.OTHER, self._now)
        last = number31(payload)
        # Not for hyper-h2, which would send nothing more: open streams go on (section 6.8).
        self._gone = True
        events.append(GoneAway(int.from_bytes(payload[4:8], "big"), last))
        if self._CLIENT:
            for stream in [stream for stream in self._streams if stream > last]:
                self._drop(stream, Code.CANCEL)
                events.append(Reset(stream, Code.REFUSED_STREAM))

    def _receive(self, frame: Frame) -> list[H2Event]:
        try:
            return self._h2.receive(frame)
        except ProtocolError as error:
            self._lost(error)

    def _lost(self, error: ProtocolError) -> NoReturn:
        """hyper-h2 gave the connection up, and has queued GOAWAY."""
        code = Code(error.error_code)
        self._stop()
        calm = code is Code.ENHANCE_YOUR_CALM
        reason: Reason = over_limit(self._REASON) if calm else self._REASON
        raise Http2Error(reason, f"HTTP/2 connection error {code.name.lower()}") from None

    def _mute(self) -> None:
        """A late frame comes for a stream that we reset.

        hyper-h2 would answer each with another RST_STREAM.
        """
        self._out.append(self._h2.data_to_send())

    def _unmute(self) -> None:
        """Of the answer to a late frame only window updates are sent."""
        answer = self._h2.data_to_send()
        for at in range(0, len(answer), 13):
            if answer[at + 3] == _WINDOW_UPDATE:
                self._out.append(answer[at : at + 13])

    def _break(
        self,
        stream: int,
        code: Code,
        detail: str,
        events: list[Event],
        reason: Reason | None = None,
    ) -> None:
        """A stream error of the peer's making. It counts as one of its resets (CVE-2025-8671)."""
        self._drop(stream, code)
        events.append(Broken(stream, reason or self._REASON, detail))
        self._spend(Flood.RESETS, self._now)


def number31(payload: bytes) -> int:
    """A stream or a window size: 31 bits, the first one is reserved."""
    return int.from_bytes(payload[:4], "big") & _STREAM_MASK
