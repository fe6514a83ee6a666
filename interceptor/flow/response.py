"""One response on its way in: parsed, and written afresh for the agent."""

from __future__ import annotations

from interceptor.policy.schema import Limits
from interceptor.verdict import Reason
from interceptor.wire.http1 import (
    Framing,
    HttpError,
    RequestHead,
    chunk,
    read_response,
    write_response,
    write_trailers,
)
from interceptor.wire.http1_body import BodyReader


class Response:
    """The response to one request, in constant memory.

    Attributes:
        status: final status, 0 before it is known.
        touched: upstream has sent at least one byte.
        started: the head was given to the agent.
        done: the response is complete.
        reusable: upstream's connection may serve another request.
        closes_client: the agent's connection ends with this response.
        received: payload bytes relayed.
    """

    __slots__ = (
        *("_body", "_buffer", "_framing", "_head_limit", "_limits", "_request"),
        *("closes_client", "done", "received", "reusable", "started", "status", "touched"),
    )

    def __init__(self, request: RequestHead, limits: Limits) -> None:
        self._request = request
        self._limits = limits
        self._buffer = b""
        self._body: BodyReader | None = None
        self._framing = Framing.NONE
        self.status = 0
        self.touched = self.started = self.done = False
        self.reusable = False
        self.closes_client = not request.keep_alive
        self.received = 0

    def feed(self, data: bytes, *, close: bool) -> bytes:
        """Take bytes from upstream, give bytes for the agent.

        Args:
            data: as received.
            close: the request is not sent completely, so the agent's connection cannot be kept.

        Raises:
            HttpError: UPSTREAM_MALFORMED.
        """
        self.touched = True
        out = b""
        if self._body is None:
            self._buffer = self._buffer + data if self._buffer else data
            out = self._read_head(close=close)
            if not self.started:
                return b""
            data, self._buffer = self._buffer, b""
        return out + self._relay(data)

    def _read_head(self, *, close: bool) -> bytes:
        limits, request = self._limits, self._request
        while True:
            found = read_response(
                self._buffer, request.method, limits.header_bytes, limits.header_count
            )
            if found is None:
                return b""
            head, used = found
            self._buffer = self._buffer[used:]
            if head.status == 101:
                # No upgrade was asked for: the field is never sent on.
                raise HttpError(Reason.UPSTREAM_MALFORMED, "101 without an upgrade")
            if head.status >= 200:
                break
        self.status = head.status
        self.reusable = head.keep_alive
        self.closes_client = self.closes_client or close
        framing = head.framing
        if framing in (Framing.CHUNKED, Framing.CLOSE):
            # HTTP/1.0 knows no chunks; for HTTP/1.1 they keep the agent's connection usable.
            framing = Framing.CHUNKED if request.minor else Framing.CLOSE
            self.closes_client = self.closes_client or framing is Framing.CLOSE
        self._framing = framing
        self._body = BodyReader(head.framing, head.length, Reason.UPSTREAM_MALFORMED)
        self.started = True
        return write_response(head, framing, close=self.closes_client, method=request.method)

    def _relay(self, data: bytes) -> bytes:
        body = self._body
        assert body is not None  # noqa: S101
        payload = body.feed(data) if data else b""
        self.received += len(payload)
        out = chunk(payload) if self._framing is Framing.CHUNKED else payload
        if body.done and not self.done:
            self.done = True
            if self._framing is Framing.CHUNKED:
                out += write_trailers(body.trailers)
        if body.rest:
            # Bytes that answer nothing: never taken for the next response.
            self.reusable = False
            body.rest = b""
        return out

    def eof(self) -> bytes:
        """Upstream has ended its side.

        Raises:
            HttpError: when the response was not complete.
        """
        self.reusable = False
        if self._body is None:
            raise HttpError(Reason.UPSTREAM_CLOSED, "upstream closed within the response head")
        self._body.eof()
        return self._relay(b"")
