"""Oracles: whatever reaches an address that nobody serves is recorded, byte for byte.

Two instruments look at the internet side. A packet socket on the veth sees the first packet of
every TCP connection and every packet of any other protocol, whatever nftables and listeners make
of it. A listener, to which nftables redirects every TCP port that is not served, completes
connections and reads their first bytes, through TLS as well. The host's own services (loopback and
LAN address) are listeners of the host namespace.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import socket
import struct
import time
from typing import Any

from tests.lab.certificates import Authority
from tests.lab.listening import bound_socket
from tests.lab.records import Arrival, Book
from tests.lab.world import HOST_SERVICE_PORTS, INTERNET_LINK, daemons, served

TCP_PORT, UDP_PORT = 60001, 60002
"""Where nftables sends what nobody serves."""
FIRST_BYTES = 4096
_ANSWER = b"you reached the oracle\n"
_PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmp6"}
_NOISE = frozenset({130, 131, 132, 133, 134, 135, 136, 143})
"""ICMPv6 types that a link speaks by itself: MLD, router and neighbour discovery (RFC 4861)."""
_SO_ORIGINAL_DST = 80  # <linux/netfilter_ipv4.h>, and IP6T_SO_ORIGINAL_DST
_SO_ATTACH_FILTER = 26  # socket(7)
_ETH_P_ALL = 3


# Classic BPF (socket filter, kernel Documentation/networking/filter.rst): keep everything but TCP
# segments other than a first SYN, so that a large download costs the sniffer nothing.
_FILTER = (
    (0x30, 0, 0, 0),  # 0 ldb [0]
    (0x54, 0, 0, 0xF0),  # 1 and #0xf0: IP version
    (0x15, 0, 7, 0x40),  # 2 jeq #0x40, 3, 10
    (0x30, 0, 0, 9),  # 3 ldb [9]: IPv4 protocol
    (0x15, 0, 10, 6),  # 4 jeq tcp, 5, 15
    (0x28, 0, 0, 6),  # 5 ldh [6]
    (0x45, 8, 0, 0x1FFF),  # 6 jset fragment offset, 15, 7
    (0xB1, 0, 0, 0),  # 7 ldxb 4*([0]&0xf)
    (0x50, 0, 0, 13),  # 8 ldb [x + 13]: TCP flags
    (0x05, 0, 0, 3),  # 9 ja 13
    (0x30, 0, 0, 6),  # 10 ldb [6]: IPv6 next header
    (0x15, 0, 3, 6),  # 11 jeq tcp, 12, 15
    (0x30, 0, 0, 53),  # 12 ldb [40 + 13]
    (0x54, 0, 0, 0x12),  # 13 and #SYN|ACK
    (0x15, 0, 1, 0x02),  # 14 jeq SYN, 15, 16
    (0x06, 0, 0, 0x40000),  # 15 keep
    (0x06, 0, 0, 0),  # 16 drop
)


class Sniffer:
    """Records every packet that arrives from the host and is not for something served.

    The first packets of connections to daemons are kept apart, in `Book.dials`.
    """

    def __init__(self, book: Book) -> None:
        self._book = book
        self._served = served()
        self._daemons = daemons()
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        code = b"".join(struct.pack("HBBI", *line) for line in _FILTER)
        buffer = ctypes.create_string_buffer(code)
        program = struct.pack("HxxxxxxP", len(_FILTER), ctypes.addressof(buffer))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
        self._socket.setblocking(False)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to listen on the internet's end of the veth."""
        self._socket.bind((INTERNET_LINK, _ETH_P_ALL))
        loop.add_reader(self._socket, self._read)

    def _read(self) -> None:
        while True:
            try:
                packet, where = self._socket.recvfrom(65536)
            except BlockingIOError:
                return
            if where[2] != 4:  # PACKET_OUTGOING, packet(7)
                self._note(packet)

    def _note(self, packet: bytes) -> None:
        entry = parse(packet)
        if entry is None:
            return
        place = (entry.protocol, entry.destination, entry.port)
        if place in self._daemons:
            self._book.dialled(entry)
        elif place not in self._served:
            self._book.add(entry)


def parse(packet: bytes) -> Arrival | None:
    """Read one IP packet; None for what is not IP (ARP) and for a link's own noise."""
    version = packet[0] >> 4 if packet else 0
    if version == 4 and len(packet) >= 20:
        header, number, family = (packet[0] & 15) * 4, packet[9], socket.AF_INET
        source, destination = packet[12:16], packet[16:20]
    elif version == 6 and len(packet) >= 40:
        header, number, family = 40, packet[6], socket.AF_INET6
        source, destination = packet[8:24], packet[24:40]
        if number == 0 and packet[header : header + 1] == b"\x3a":  # MLD behind hop-by-hop
            header, number = header + 8 * (packet[header + 1] + 1), 58
    else:
        return None
    data = packet[header:]
    if number == 58 and data[:1] and data[0] in _NOISE:
        return None
    ports = (0, 0)
    if number in (6, 17, 132, 136) and len(data) >= 4:
        ports = struct.unpack_from(">HH", data)
        data = data[8:] if number == 17 else data[20:] if number == 6 else data
    return Arrival(
        where="internet",
        protocol=_PROTOCOLS.get(number, str(number)),
        family=version,
        source=socket.inet_ntop(family, source),
        source_port=ports[0],
        destination=socket.inet_ntop(family, destination),
        port=ports[1],
        time=time.time(),
        data=data[:FIRST_BYTES] if number != 6 else b"",
    )


class TcpOracle:
    """Accepts what arrives, reads first bytes (also inside TLS) and answers like an HTTP server."""

    def __init__(self, book: Book, authority: Authority, where: str) -> None:
        self._book = book
        self._where = where
        self._tls = authority.listener("oracle.example.com")
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, loop: asyncio.AbstractEventLoop, listener: socket.socket) -> None:
        """Serve one listening socket."""
        loop.add_reader(listener, self._accept, loop, listener)

    def _accept(self, loop: asyncio.AbstractEventLoop, listener: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                accepted, source = listener.accept()
                accepted.setblocking(False)
                task = loop.create_task(self._serve(loop, accepted, source))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _serve(
        self, loop: asyncio.AbstractEventLoop, accepted: socket.socket, source: Any
    ) -> None:
        entry = self._entry(accepted, source)
        with contextlib.suppress(OSError, EOFError, TimeoutError), accepted:
            async with asyncio.timeout(5):
                entry.data = await self._peek(loop, accepted)
                secured = entry.data[:1] == b"\x16"
                if secured:
                    reader, writer = await self._secured(loop, accepted)
                else:
                    reader, writer = await asyncio.open_connection(sock=accepted.dup())
                first = await reader.read(FIRST_BYTES)
                if secured:
                    entry.plaintext = first
                else:
                    entry.data = first
                head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
                writer.write(head % len(_ANSWER) + _ANSWER)
                await writer.drain()
                writer.close()

    def _entry(self, accepted: socket.socket, source: Any) -> Arrival:
        six = accepted.family == socket.AF_INET6
        destination, port = accepted.getsockname()[:2]
        if self._where == "internet":
            destination, port = original_destination(accepted)
            for entry in reversed(self._book.arrivals):  # the sniffer saw its SYN
                if (entry.source_port, entry.port) == (source[1], port) and (
                    entry.protocol == "tcp" and entry.destination == destination
                ):
                    return entry
        entry = Arrival(
            where=self._where,
            protocol="tcp",
            family=6 if six else 4,
            source=str(source[0]),
            source_port=int(source[1]),
            destination=str(destination),
            port=int(port),
            time=time.time(),
        )
        self._book.add(entry)
        return entry

    async def _peek(self, loop: asyncio.AbstractEventLoop, accepted: socket.socket) -> bytes:
        ready = asyncio.Event()
        loop.add_reader(accepted, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_reader(accepted)
        return accepted.recv(FIRST_BYTES, socket.MSG_PEEK)

    async def _secured(
        self, loop: asyncio.AbstractEventLoop, accepted: socket.socket
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await loop.connect_accepted_socket(
            lambda: protocol, accepted.dup(), ssl=self._tls
        )
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


class UdpOracle(asyncio.DatagramProtocol):
    """Answers every datagram; records it where no sniffer does (the host's own services)."""

    def __init__(self, book: Book | None) -> None:
        self._book = book

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        own = self._transport.get_extra_info("sockname")
        if self._book is not None:
            family = 6 if ":" in addr[0] else 4
            self._book.add(
                Arrival("host", "udp", family, addr[0], addr[1], own[0], own[1], time.time(), data)
            )
        self._transport.sendto(_ANSWER, addr)  # type: ignore[attr-defined]


def original_destination(accepted: socket.socket) -> tuple[str, int]:
    """Destination before nftables redirected it."""
    if accepted.family == socket.AF_INET6:
        raw = accepted.getsockopt(socket.IPPROTO_IPV6, _SO_ORIGINAL_DST, 28)
        return socket.inet_ntop(socket.AF_INET6, raw[8:24]), int.from_bytes(raw[2:4], "big")
    raw = accepted.getsockopt(socket.IPPROTO_IP, _SO_ORIGINAL_DST, 16)
    return socket.inet_ntop(socket.AF_INET, raw[4:8]), int.from_bytes(raw[2:4], "big")


def host_listeners() -> list[socket.socket]:
    """Listeners of the host's own services; to be made inside the host's namespace."""
    return [
        bound_socket(address, port, kind)
        for port in HOST_SERVICE_PORTS
        for address in ("0.0.0.0", "::")
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)
    ]
