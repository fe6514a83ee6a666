"""The stub resolver on loopback, against nameservers that lie, are silent, or are not there."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path

import dnslib
import pytest

from interceptor.serve import resolving
from interceptor.serve.resolver import Resolved, ResolveError
from interceptor.serve.resolving import LookupFailed, Lookups, existence, nameservers
from interceptor.wire import dns
from interceptor.wire.dns_records import Found

NAME = "mail.example.com"
Answers = Callable[[dnslib.DNSRecord, bytes], list[bytes]]


def text(query: dnslib.DNSRecord, said: bytes = b"hello", count: int = 1) -> bytes:
    reply = query.reply()
    for _ in range(count):
        reply.add_answer(dnslib.RR(NAME, dnslib.QTYPE.TXT, ttl=9, rdata=dnslib.TXT(said)))
    return bytes(reply.pack())


class Nameserver(asyncio.DatagramProtocol):
    """Answers over UDP with what a function says, over TCP with sixty records."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.asked: list[tuple[int, int]] = []  # source port, id

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dnslib.DNSRecord.parse(data)
        self.asked.append((addr[1], query.header.id))
        for reply in self.answers(query, data):
            self.transport.sendto(reply, addr)  # type: ignore[attr-defined]

    async def stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = int.from_bytes(await reader.readexactly(2))
        reply = text(dnslib.DNSRecord.parse(await reader.readexactly(size)), count=60)
        for byte in struct.pack(">H", len(reply)) + reply:
            writer.write(bytes([byte]))
        await writer.drain()
        writer.close()


async def nobody(name: str) -> bool:
    raise LookupFailed(name)


def asking(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    answers: Answers,
    use: Callable[[Lookups, Nameserver], Awaitable[None]],
    *,
    servers: str = "nameserver 127.0.0.1\n",
) -> Nameserver:
    """Run `use` beside a nameserver on 127.0.0.1."""
    conf = tmp_path / "resolv.conf"
    conf.write_text(servers)
    monkeypatch.setattr(resolving, "ATTEMPT", 0.3)
    server = Nameserver(answers)

    async def run() -> None:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as stream:
            stream.bind(("127.0.0.1", 0))
            port = stream.getsockname()[1]
            monkeypatch.setattr(resolving, "PORT", port)
            transport, _ = await loop.create_datagram_endpoint(
                lambda: server, local_addr=("127.0.0.1", port)
            )
            listener = await asyncio.start_server(server.stream, sock=stream)
            try:
                await use(Lookups(loop, nobody, str(conf)), server)
            finally:
                transport.close()
                listener.close()

    asyncio.run(run())
    return server


def finds(*said: bytes) -> Callable[[Lookups, Nameserver], Awaitable[None]]:
    async def use(lookups: Lookups, _: Nameserver) -> None:
        assert (await lookups.look_up(NAME, dns.TXT)).texts == said

    return use


async def fails(lookups: Lookups, _: Nameserver) -> None:
    with pytest.raises(LookupFailed):
        await lookups.look_up(NAME, dns.TXT)


def test_an_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asking(monkeypatch, tmp_path, lambda query, _: [text(query)], finds(b"hello"))


def test_guesses_are_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def answers(query: dnslib.DNSRecord, data: bytes) -> list[bytes]:
        guess = bytearray(text(query, b"forged"))
        guess[1] ^= 1
        other = text(dnslib.DNSRecord(q=dnslib.DNSQuestion("other.example.com", 16)), b"forged")
        return [b"", b"x", data, bytes(guess), data[:2] + other[2:], text(query)]

    asking(monkeypatch, tmp_path, answers, finds(b"hello"))


def test_a_truncated_answer_is_asked_for_over_tcp(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def answers(query: dnslib.DNSRecord, _: bytes) -> list[bytes]:
        reply = query.reply()
        reply.header.tc = 1
        return [bytes(reply.pack())]

    asking(monkeypatch, tmp_path, answers, finds(*[b"hello"] * 60))


def test_a_failure_is_tried_again_and_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def answers(query: dnslib.DNSRecord, _: bytes) -> list[bytes]:
        reply = query.reply()
        reply.header.rcode = dns.SERVFAIL
        return [bytes(reply.pack())]

    server = asking(monkeypatch, tmp_path, answers, fails)
    assert len(server.asked) == resolving.ROUNDS
    assert len(set(server.asked)) == len(server.asked)  # another id, another port


def test_silence_ends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    server = asking(monkeypatch, tmp_path, lambda _query, _data: [], fails)
    assert len(server.asked) == resolving.ROUNDS


def test_the_next_server_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    servers = "nameserver 127.0.0.2\nnameserver 127.0.0.1\n"  # nobody listens at the first
    asking(monkeypatch, tmp_path, lambda query, _: [text(query)], finds(b"hello"), servers=servers)


def test_one_look_up_however_many_wait_for_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def use(lookups: Lookups, server: Nameserver) -> None:
        async def leave() -> None:
            await lookups.look_up(NAME, dns.TXT)

        gone = asyncio.ensure_future(leave())
        await asyncio.sleep(0)
        found = asyncio.gather(*(lookups.look_up(NAME, dns.TXT) for _ in range(50)))
        gone.cancel()  # one who gives up takes nothing from the others
        assert len(await found) == 50
        assert len(server.asked) == 1
        await lookups.look_up(NAME, dns.TXT)
        assert len(server.asked) == 2

    asking(monkeypatch, tmp_path, lambda query, _: [text(query)], use)


class FakeResolver:
    async def resolve(self, name: str) -> Resolved:
        if name == "there.example":
            return Resolved(("11.0.0.1",))
        raise ResolveError("no", absent=name == "absent.example")


def test_existence_is_asked_of_the_diallers_resolver() -> None:
    async def run() -> None:
        lookups = Lookups(asyncio.get_running_loop(), existence(FakeResolver()))  # type: ignore[arg-type]
        assert await lookups.look_up("there.example", dns.A) == Found()
        assert await lookups.look_up("absent.example", dns.A) == Found(rcode=dns.NXDOMAIN)
        with pytest.raises(LookupFailed):
            await lookups.look_up("unknown.example", dns.A)

    asyncio.run(run())


def test_resolv_conf() -> None:
    assert nameservers("") == ["127.0.0.1"]
    found = nameservers(
        "# nameserver 11.0.0.9\nsearch corp.example\noptions timeout:1\n"
        "nameserver 11.0.0.1\nnameserver\t2d00::1 \nnameserver nonsense\n"
        "nameserver fe80::1%eth0\nnameserver 11.0.0.2\n"
    )
    assert found == ["11.0.0.1", "2d00::1", "fe80::1%eth0"]
