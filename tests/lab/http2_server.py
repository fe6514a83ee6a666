"""The lab's web sites over HTTP/2 (RFC 9113): one task for each stream, the same endpoints.

Each stream is a `Request` on record, with `version` HTTP/2.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, cast

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

from tests.lab.records import Book, Request

if TYPE_CHECKING:
    from tests.lab.web_server import Exchange

BODY_SAMPLE = 256 * 1024
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "upgrade"})


async def is_preface(reader: asyncio.StreamReader, versions: tuple[str, ...]) -> bool:
    """Does a connection in clear begin with the preface (prior knowledge, RFC 9113 section 3.3)?

    What was read is put back; a listener without HTTP/1.1 takes anything for HTTP/2.
    """
    if "HTTP/1.1" not in versions:
        return True
    seen = b""
    while len(seen) < len(_PREFACE) and _PREFACE.startswith(seen):
        piece = await reader.read(65536)
        if not piece:
            break
        seen += piece
    buffered = reader._buffer  # type: ignore[attr-defined]  # asyncio has no way to unread
    buffered[:0] = seen
    return seen.startswith(_PREFACE)


class StreamExchange:
    """One stream being answered: the part of `web_server.Exchange` that endpoints use."""

    def __init__(self, request: Request, connection: _Connection, number: int) -> None:
        self.request = request
        self.keep = True
        self.body_read = False
        self.pieces: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.has_body = False
        self.over = False
        self._connection = connection
        self._number = number

    @property
    def path(self) -> str:
        """Target without its query."""
        return self.request.target.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        """Query parameters, as they came."""
        text = self.request.target.partition("?")[2]
        return dict(part.partition("=")[::2] for part in text.split("&") if part)

    async def body(self) -> AsyncIterator[bytes]:
        """Pieces of the body."""
        digest = hashlib.sha256()
        while (piece := await self.pieces.get()) is not None:
            digest.update(piece)
            self.request.size += len(piece)
            room = BODY_SAMPLE - len(self.request.body)
            if room > 0:
                self.request.body += piece[:room]
            yield piece
        self.request.digest = digest.hexdigest()
        self.body_read, self.has_body = True, False

    async def read_all(self) -> None:
        """Read the body to its end."""
        async for _ in self.body():
            pass

    def head(self, status: int, fields: list[tuple[str, str]], reason: str = "") -> None:
        """Send the header section; HTTP/2 has no reason phrase."""
        own = [(":status", str(status)), ("server", "lab")]
        own += [(key.lower(), value) for key, value in fields if key.lower() not in _HOP_BY_HOP]
        self._connection.send_head(self._number, own)

    async def send(self, data: bytes) -> None:
        """Send bytes of the body, waiting for the window."""
        await self._connection.send_data(self._number, data)

    async def reply(
        self,
        body: bytes,
        kind: str = "text/plain; charset=utf-8",
        status: int = 200,
        fields: list[tuple[str, str]] | None = None,
    ) -> None:
        """Send a whole response."""
        if self.has_body:
            await self.read_all()
        own = [("content-type", kind), ("content-length", str(len(body)))]
        self.head(status, [*([] if status == 204 else own), *(fields or [])])
        if self.request.method != "HEAD" and status not in (204, 304):
            await self.send(body)

    def stream(self, fields: list[tuple[str, str]]) -> None:
        """Begin a response whose body follows in pieces."""
        self.head(200, fields)

    piece = send

    async def end(self, trailers: list[tuple[str, str]] | None = None) -> None:
        """End the stream, once."""
        if not self.over:
            self.over = True
            fields = [(key.lower(), value) for key, value in trailers or []]
            await self._connection.end(self._number, fields)


class _Connection:
    """One connection: `h2` for the protocol, asyncio streams for the bytes."""

    def __init__(
        self,
        book: Book,
        answerer: Callable[[Exchange], Awaitable[None]],
        writer: asyncio.StreamWriter,
        number: int,
    ) -> None:
        self._book = book
        self._answerer = answerer
        self._writer = writer
        self._number = number
        self._http = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding="latin-1")
        )
        self._streams: dict[int, StreamExchange] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._room = asyncio.Event()
        """Set when a window has grown or a stream has ended."""

    async def run(self, reader: asyncio.StreamReader) -> None:
        self._http.initiate_connection()
        self._flush()
        try:
            while data := await reader.read(65536):
                for event in self._http.receive_data(data):
                    self._take(event)
                self._flush()
                await self._writer.drain()
        except h2.exceptions.ProtocolError:
            self._flush()  # GOAWAY with the code
        finally:
            for task in self._tasks.values():
                task.cancel()

    def _flush(self) -> None:
        if data := self._http.data_to_send():
            self._writer.write(data)

    def _take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived():
                self._open(event)
            case h2.events.DataReceived(stream_id=number, data=data):
                if (exchange := self._streams.get(number)) is not None:
                    exchange.pieces.put_nowait(bytes(data or b""))
                if length := event.flow_controlled_length:
                    self._http.acknowledge_received_data(length, number)
            case h2.events.TrailersReceived(stream_id=number, headers=headers):
                if (exchange := self._streams.get(number)) is not None:
                    exchange.request.trailers += _texts(headers)
            case h2.events.StreamEnded(stream_id=number):
                if (exchange := self._streams.get(number)) is not None:
                    exchange.pieces.put_nowait(None)
            case h2.events.StreamReset(stream_id=number):
                if number in self._tasks:
                    self._tasks[number].cancel()
                self._room.set()
            case h2.events.WindowUpdated() | h2.events.RemoteSettingsChanged():
                self._room.set()
            case _:
                pass

    def _open(self, event: h2.events.RequestReceived) -> None:
        number = event.stream_id
        fields = _texts(event.headers)
        pseudo = dict(fields)
        tls = self._writer.get_extra_info("ssl_object")
        local = self._writer.get_extra_info("sockname")
        request = Request(
            name=getattr(tls, "lab_name", "") if tls else "",
            address=str(local[0]),
            port=int(local[1]),
            source=str(self._writer.get_extra_info("peername")[0]),
            tls=str(tls.version()) if tls else "",
            method=pseudo.get(":method", ""),
            target=pseudo.get(":path", ""),
            fields=fields,
            head=b"",
            time=time.time(),
            connection=self._number,
            version="HTTP/2",
        )
        self._book.add(request)
        exchange = StreamExchange(request, self, number)
        exchange.has_body = event.stream_ended is None
        self._streams[number] = exchange
        task = asyncio.create_task(self._answer(exchange))
        self._tasks[number] = task
        task.add_done_callback(lambda _: self._forget(number))

    def _forget(self, number: int) -> None:
        self._tasks.pop(number, None)
        self._streams.pop(number, None)

    async def _answer(self, exchange: StreamExchange) -> None:
        try:
            await self._answerer(cast("Exchange", exchange))
            await exchange.end()
        except (h2.exceptions.ProtocolError, OSError, EOFError, ValueError):
            pass  # the stream was reset or the client is gone

    def send_head(self, number: int, fields: list[tuple[str, str]]) -> None:
        self._http.send_headers(number, fields)
        self._flush()

    async def send_data(self, number: int, data: bytes) -> None:
        view = memoryview(data)
        while view:
            room = min(
                self._http.local_flow_control_window(number), self._http.max_outbound_frame_size
            )
            if room <= 0:
                self._room.clear()
                await self._room.wait()
                continue
            self._http.send_data(number, bytes(view[:room]))
            view = view[room:]
            self._flush()
            await self._writer.drain()

    async def end(self, number: int, trailers: list[tuple[str, str]]) -> None:
        if trailers:
            self._http.send_headers(number, trailers, end_stream=True)
        else:
            self._http.end_stream(number)
        self._flush()
        await self._writer.drain()


async def serve(
    book: Book,
    answerer: Callable[[Exchange], Awaitable[None]],
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    number: int,
) -> None:
    """Serve one connection to its end; `number` names it in the records."""
    await _Connection(book, answerer, writer, number).run(reader)


def _texts(headers: object) -> list[tuple[str, str]]:
    return [(str(key), str(value)) for key, value in cast("list[tuple[str, str]]", headers)]
