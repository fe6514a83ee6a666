"""The lab's only resolver: authoritative for every name there is, from a table (`world.NAMES`)."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Callable, Mapping
from typing import Any

import dnslib

from tests.lab.records import Book, Question
from tests.lab.world import Answer, lookup

_UDP_SIZE = 1232  # RFC 9715: what goes over any path without fragments


class Names:
    """The table and what has been asked of it."""

    def __init__(self, table: Mapping[str, Answer], book: Book) -> None:
        self._table = dict(table)
        self._book = book
        self._asked: dict[tuple[str, str], int] = {}

    def set(self, name: str, answer: Answer) -> None:
        """Add or replace a name while the lab runs."""
        self._table[name] = answer
        self._asked = {key: count for key, count in self._asked.items() if key[0] != name}

    def answer(self, data: bytes, over: str, source: str) -> tuple[bytes | None, float]:
        """Reply to a query, and the seconds to wait before sending it; None: say nothing."""
        try:
            query = dnslib.DNSRecord.parse(data)
        except dnslib.DNSError:
            return None, 0.0
        name = str(query.q.qname).rstrip(".").lower()
        kind = str(dnslib.QTYPE[query.q.qtype])
        self._book.add(Question(name, kind, over, source, time.time()))
        entry = lookup(self._table, name)
        reply = query.reply()
        if entry is None:
            reply.header.rcode = dnslib.RCODE.NXDOMAIN
            return bytes(reply.pack()), 0.0
        if entry.silent:
            return None, 0.0
        reply.header.rcode = getattr(dnslib.RCODE, entry.rcode)
        self._fill(reply, name, kind, entry)
        packed = bytes(reply.pack())
        if over == "udp" and len(packed) > _UDP_SIZE:
            short = query.reply()
            short.header.tc = 1
            packed = bytes(short.pack())
        return packed, entry.delay

    def _fill(self, reply: Any, name: str, kind: str, entry: Answer) -> None:
        seen = 0
        turn = self._turn(name, kind, entry)
        while (alias := _alias(entry, turn)) and seen < 8:
            row = dnslib.CNAME(alias)
            reply.add_answer(dnslib.RR(name, dnslib.QTYPE.CNAME, ttl=entry.ttl, rdata=row))
            name, seen = alias, seen + 1
            entry = lookup(self._table, name) or Answer()
            turn = self._turn(name, kind, entry)
        addresses = entry.addresses
        if entry.turns:
            addresses = entry.turns[min(turn, len(entry.turns) - 1)]
        for text in addresses:
            address = ipaddress.ip_address(text)
            version = address.version
            if kind in ("A", "ANY") and version == 4:
                row = dnslib.RR(name, dnslib.QTYPE.A, ttl=entry.ttl, rdata=dnslib.A(text))
                reply.add_answer(row)
            elif kind in ("AAAA", "ANY") and version == 6:
                row = dnslib.RR(
                    name, dnslib.QTYPE.AAAA, ttl=entry.ttl, rdata=dnslib.AAAA(tuple(address.packed))
                )
                reply.add_answer(row)
        for form, data in entry.records:
            if form == kind:
                reply.add_answer(*dnslib.RR.fromZone(f"{name}. {entry.ttl} IN {form} {data}"))

    def _turn(self, name: str, kind: str, entry: Answer) -> int:
        """How often this type of an entry that changes was asked for before."""
        if not entry.turns and not entry.cnames:
            return 0
        turn = self._asked.get((name, kind), 0)
        self._asked[(name, kind)] = turn + 1
        return turn


def _alias(entry: Answer, turn: int) -> str:
    if entry.cnames:
        return entry.cnames[min(turn, len(entry.cnames) - 1)]
    return entry.cname


class UdpResolver(asyncio.DatagramProtocol):
    """Answers datagrams."""

    def __init__(self, names: Names) -> None:
        self._names = names

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        reply, delay = self._names.answer(data, "udp", str(addr[0]))
        if reply is None:
            return
        send = self._transport.sendto  # type: ignore[attr-defined]
        asyncio.get_running_loop().call_later(delay, send, reply, addr)


def tcp_resolver(
    names: Names,
) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]:
    """Handler for `asyncio.start_server`: length-prefixed messages (RFC 1035 section 4.2.2)."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                size = int.from_bytes(await reader.readexactly(2), "big")
                source = str(writer.get_extra_info("peername")[0])
                reply, delay = names.answer(await reader.readexactly(size), "tcp", source)
                if reply is None:
                    break
                await asyncio.sleep(delay)
                writer.write(len(reply).to_bytes(2, "big") + reply)
        except (EOFError, OSError):
            pass
        finally:
            writer.close()

    return handle
