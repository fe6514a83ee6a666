"""The lab's web servers: HTTP/1.1 over asyncio streams, written out so that tests can bend it.

Reads requests of any legal framing, honours `Expect: 100-continue`, keeps connections alive and
records every request. What is answered is in `endpoints`; HTTP/2 is in `http2_server`.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from tests.lab import http2_server
from tests.lab.listening import bound_socket
from tests.lab.records import Book, Request

BODY_SAMPLE = 256 * 1024
_CHUNK = 64 * 1024
_HEAD_LIMIT = 1024 * 1024

REASONS = {200: "OK", 204: "No Content", 302: "Found", 304: "Not Modified", 404: "Not Found"}


class Exchange:
    """One request being answered: the body as it arrives, and the ways to reply."""

    def __init__(
        self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.request = request
        self.reader = reader
        self.writer = writer
        self.keep = request.field("connection").lower() != "close"
        self.body_read = False
        self._expects = request.field("expect").lower() == "100-continue"
        self._chunked = "chunked" in request.field("transfer-encoding").lower()
        self._left = int(request.field("content-length") or 0)

    @property
    def path(self) -> str:
        """Target without its query."""
        return self.request.target.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        """Query parameters, unquoted by nobody: the lab's are plain."""
        text = self.request.target.partition("?")[2]
        return dict(part.partition("=")[::2] for part in text.split("&") if part)

    async def body(self) -> AsyncIterator[bytes]:
        """Pieces of the body; sends 100 Continue first when asked to."""
        if self._expects:
            self.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        digest = hashlib.sha256()
        async for piece in self._pieces():
            digest.update(piece)
            self.request.size += len(piece)
            room = BODY_SAMPLE - len(self.request.body)
            if room > 0:
                self.request.body += piece[:room]
            yield piece
        self.request.digest = digest.hexdigest()
        self.body_read = True

    async def read_all(self) -> None:
        """Read the body to its end, keeping only what the record keeps."""
        async for _ in self.body():
            pass

    async def _pieces(self) -> AsyncIterator[bytes]:
        if not self._chunked:
            while self._left:
                piece = await self.reader.read(min(self._left, _CHUNK))
                if not piece:
                    raise EOFError("body ended early")
                self._left -= len(piece)
                yield piece
            return
        while size := int((await self.reader.readuntil(b"\r\n")).partition(b";")[0], 16):
            while size:
                piece = await self.reader.read(min(size, _CHUNK))
                if not piece:
                    raise EOFError("chunk ended early")
                size -= len(piece)
                yield piece
            await self.reader.readexactly(2)
        while (line := await self.reader.readuntil(b"\r\n")) != b"\r\n":
            key, _, value = line.decode("latin-1").partition(":")
            self.request.trailers.append((key.lower(), value.strip()))

    @property
    def has_body(self) -> bool:
        """True when the request carries a body that is not read yet."""
        return (self._chunked or self._left > 0) and not self.body_read

    def head(self, status: int, fields: list[tuple[str, str]], reason: str = "") -> None:
        """Write a status line and header section."""
        lines = [f"HTTP/1.1 {status} {reason or REASONS.get(status, 'Status')}"]
        lines += [f"{key}: {value}" for key, value in [("Server", "lab"), *fields]]
        if not self.keep:
            lines.append("Connection: close")
        self.writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))

    async def reply(
        self,
        body: bytes,
        kind: str = "text/plain; charset=utf-8",
        status: int = 200,
        fields: list[tuple[str, str]] | None = None,
    ) -> None:
        """Write a whole response with Content-Length; no body for HEAD, 204 and 304."""
        if self.has_body:
            await self.read_all()
        own = [("Content-Type", kind), ("Content-Length", str(len(body)))]
        if status == 204:
            own = []
        self.head(status, [*own, *(fields or [])])
        if self.request.method != "HEAD" and status not in (204, 304):
            await self.send(body)

    async def send(self, data: bytes) -> None:
        """Write bytes as they are and wait for room."""
        self.writer.write(data)
        await self.writer.drain()

    # A body without a length, in pieces: the same three calls in HTTP/1.1 and HTTP/2

    def stream(self, fields: list[tuple[str, str]]) -> None:
        """Begin a response whose body follows in pieces."""
        self.head(200, [*fields, ("Transfer-Encoding", "chunked")])

    async def piece(self, data: bytes) -> None:
        """Send one piece of the body at once."""
        await self.send(b"%x\r\n%b\r\n" % (len(data), data))

    async def end(self, trailers: list[tuple[str, str]] | None = None) -> None:
        """End the body."""
        lines = "".join(f"{key}: {value}\r\n" for key, value in trailers or [])
        await self.send(f"0\r\n{lines}\r\n".encode("latin-1"))


Answerer = Callable[[Exchange], Awaitable[None]]


class WebServer:
    """Serves every lab site; which one is in the request.

    :param book: where requests are recorded
    :param answerer: writes the response
    """

    def __init__(self, book: Book, answerer: Answerer) -> None:
        self._book = book
        self._answerer = answerer
        self._numbers = itertools.count(1)

    async def handle(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        versions: tuple[str, ...] = ("HTTP/1.1",),
    ) -> None:
        """Serve one connection; `versions` are those that this listener speaks."""
        number = next(self._numbers)
        tls = writer.get_extra_info("ssl_object")
        chosen = tls.selected_alpn_protocol() if tls else None
        try:
            if "HTTP/2" in versions and (
                chosen == "h2" or (tls is None and await http2_server.is_preface(reader, versions))
            ):
                await http2_server.serve(self._book, self._answerer, reader, writer, number)
                return
            if "HTTP/1.1" not in versions:
                return
            while (request := await self._read(reader, writer, number)) is not None:
                self._book.add(request)
                exchange = Exchange(request, reader, writer)
                await self._answerer(exchange)
                if not exchange.keep or exchange.has_body:
                    break
            await writer.drain()
        except (EOFError, OSError, ssl.SSLError, asyncio.LimitOverrunError, ValueError):
            pass  # the client's doing; what was read is on record
        finally:
            writer.close()

    async def _read(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> Request | None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            if not error.partial.strip():
                return None
            head = error.partial
        lines = head.decode("latin-1").split("\r\n")
        method, _, rest = lines[0].partition(" ")
        target = rest.rpartition(" ")[0] or rest
        fields = [line.partition(":")[::2] for line in lines[1:] if line]
        tls = writer.get_extra_info("ssl_object")
        local = writer.get_extra_info("sockname")
        return Request(
            name=getattr(tls, "lab_name", "") if tls else "",
            address=str(local[0]),
            port=int(local[1]),
            source=str(writer.get_extra_info("peername")[0]),
            tls=str(tls.version()) if tls else "",
            method=method,
            target=target,
            fields=[(key.strip().lower(), value.strip()) for key, value in fields],
            head=head,
            time=time.time(),
            connection=number,
        )

    async def listen(
        self,
        address: str,
        port: int,
        tls: ssl.SSLContext | None = None,
        versions: tuple[str, ...] = ("HTTP/1.1",),
    ) -> asyncio.Server:
        """Listen on one address of the internet namespace."""
        return await asyncio.start_server(
            lambda reader, writer: self.handle(reader, writer, versions),
            sock=bound_socket(address, port),
            ssl=tls,
            limit=_HEAD_LIMIT,
            ssl_handshake_timeout=10 if tls else None,
        )
