"""What the lab's internet saw: the structures that tests query."""

from __future__ import annotations

import msgspec


class Arrival(msgspec.Struct):
    """A connection or packet that reached an oracle: something got out."""

    where: str
    """`internet`, or `host` for the host's own loopback and LAN services."""
    protocol: str
    """`tcp`, `udp`, `icmp`, `icmp6` or the IP protocol number as text."""
    family: int
    """4 or 6."""
    source: str
    source_port: int
    destination: str
    """Original destination, canonical text."""
    port: int
    """Original destination port; 0 where the protocol has none."""
    time: float
    """Seconds since the epoch."""
    data: bytes = b""
    """First bytes that arrived (at most 4096)."""
    plaintext: bytes = b""
    """First bytes inside TLS, when the connection began with a ClientHello."""


class Request(msgspec.Struct):
    """One request as a lab web server read it. Appended when its head is complete."""

    name: str
    """SNI, or empty without TLS."""
    address: str
    """Local address and port the connection came in on."""
    port: int
    source: str
    tls: str
    """Such as `TLSv1.3`; empty for plain HTTP."""
    method: str
    target: str
    fields: list[tuple[str, str]]
    """Header fields in order, names in lower case."""
    head: bytes
    """Request line and header section as received, with the blank line."""
    time: float
    connection: int
    """Number of the TCP connection, to tell keep-alive from new connections."""
    body: bytes = b""
    """First 256 KB of the body, transfer coding removed."""
    size: int = 0
    """Bytes of the whole body."""
    digest: str = ""
    """SHA-256 of the whole body in hex, once it was read to its end."""
    trailers: list[tuple[str, str]] = msgspec.field(default_factory=list)
    version: str = "HTTP/1.1"
    """`HTTP/2` for a stream of such a connection: pseudo-header fields stand in `fields`."""

    def field(self, name: str) -> str:
        """First value of a header field, or an empty text."""
        return next((value for key, value in self.fields if key == name.lower()), "")


class Question(msgspec.Struct):
    """One DNS query as the lab's resolver read it."""

    name: str
    """Lower case, no trailing dot."""
    kind: str
    """Such as `A`, `AAAA`, `HTTPS`."""
    over: str
    """`udp` or `tcp`."""
    source: str
    time: float


class Book:
    """Everything seen so far, bounded: the newest entries stay."""

    LIMIT = 20_000

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self.requests: list[Request] = []
        self.questions: list[Question] = []
        self.dials: list[Arrival] = []
        """Connections to the daemons (`world.daemons`)."""

    def add(self, entry: Arrival | Request | Question) -> None:
        """Append one entry to its list; forget the older half when the list is full."""
        book: list[Arrival] | list[Request] | list[Question]
        if isinstance(entry, Arrival):
            self.arrivals.append(entry)
            book = self.arrivals
        elif isinstance(entry, Request):
            self.requests.append(entry)
            book = self.requests
        else:
            self.questions.append(entry)
            book = self.questions
        if len(book) > self.LIMIT:
            del book[: self.LIMIT // 2]

    def dialled(self, entry: Arrival) -> None:
        """Note a connection to a daemon."""
        self.dials.append(entry)
        if len(self.dials) > self.LIMIT:
            del self.dials[: self.LIMIT // 2]

    def clear(self) -> None:
        """Forget everything."""
        self.arrivals.clear()
        self.requests.clear()
        self.questions.clear()
        self.dials.clear()
