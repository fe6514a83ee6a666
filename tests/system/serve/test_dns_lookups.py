"""Queries that wait for a look-up, on the shim's sockets: nothing else waits, nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator, Sequence

import dnslib
import pytest
import uvloop

from interceptor.decide.openings import Openings
from interceptor.flow.dns_flow import DnsFlow
from interceptor.flow.names import Leases
from interceptor.flow.steps import Record
from interceptor.model import Origin
from interceptor.policy.schema import Dns, Policy
from interceptor.serve import dns as shim
from interceptor.serve import dns_stream
from interceptor.verdict import Action, Reason, Verdict
from interceptor.wire import dns
from interceptor.wire.dns_records import Found

pytestmark = pytest.mark.lab

ALLOWED = Verdict(Action.ALLOW, Reason.ALLOWED)


class AnyName:
    def name(self, name: str) -> Verdict:
        return ALLOWED

    def records(self, name: str, texts: Sequence[bytes]) -> Verdict:
        return ALLOWED


class SlowLookups:
    """`slow-` names wait until they are let go; `broken` ones fail; `gone` ones do not exist."""

    def __init__(self, recorded: list[str]) -> None:
        self.asked: list[str] = []
        self.early: list[str] = []
        """Looked up before they were recorded."""
        self.go = asyncio.Event()
        self._recorded = recorded

    async def look_up(self, name: str, qtype: int) -> Found:
        assert qtype == dns.A
        self.asked.append(name)
        if name not in self._recorded:
            self.early.append(name)
        if name.startswith("slow-"):
            await self.go.wait()
        if name.startswith("broken"):
            raise OSError("no network")
        return Found(rcode=dns.NXDOMAIN) if name.startswith("gone") else Found()


class Running:
    def __init__(self) -> None:
        self.recorded: list[str] = []
        self.reasons: list[str] = []
        self.broken = False
        self.loop = uvloop.new_event_loop()
        self.lookups = SlowLookups(self.recorded)
        self.sockets = [
            socket.socket(socket.AF_INET, kind) for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM)
        ]
        for sock in self.sockets:
            sock.bind(("127.0.0.1", 0))
        self.sockets[1].listen(16)
        policy = Policy(dns=Dns(mode="verify"))
        flow = DnsFlow(AnyName(), Leases(b"seed"), "test", Openings(policy))
        self.server = shim.serve(self.sockets, flow, self.write, self.loop, self.lookups)
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()

    def write(self, record: Record, origin: Origin) -> None:
        if self.broken:
            raise OSError("disk full")
        self.recorded.append(record.target.host)
        self.reasons.append(record.verdict.reason)

    def go(self) -> None:
        self.loop.call_soon_threadsafe(self.lookups.go.set)

    def stop(self) -> None:
        async def end() -> None:
            self.server.close()
            await asyncio.sleep(0.02)

        asyncio.run_coroutine_threadsafe(end(), self.loop).result(5)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)
        self.loop.close()
        for sock in self.sockets:
            sock.close()

    @contextlib.contextmanager
    def udp(self) -> Iterator[socket.socket]:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(10)
            client.connect(self.sockets[0].getsockname())
            yield client

    def tcp(self) -> socket.socket:
        return socket.create_connection(self.sockets[1].getsockname(), timeout=10)


@pytest.fixture
def running() -> Iterator[Running]:
    made = Running()
    yield made
    made.stop()


def question(name: str, ident: int = 1) -> bytes:
    record = dnslib.DNSRecord.question(name)
    record.header.id = ident
    return bytes(record.pack())


def framed(data: bytes) -> bytes:
    return struct.pack(">H", len(data)) + data


def answers(client: socket.socket, count: int) -> list[tuple[int, int]]:
    """(id, rcode) of each."""
    found = []
    with client.makefile("rb") as stream:
        for _ in range(count):
            (size,) = struct.unpack(">H", stream.read(2))
            seen = dnslib.DNSRecord.parse(stream.read(size))
            found.append((seen.header.id, seen.header.rcode))
    return found


def test_datagrams_overtake_one_that_waits(running: Running) -> None:
    with running.udp() as client:
        client.send(question("slow-a.example", 1))
        client.send(question("b.example", 2))
        client.send(question("gone.example", 3))
        client.send(question("broken.example", 4))
        seen = [dnslib.DNSRecord.parse(client.recv(2_048)).header for _ in range(3)]
        found = {header.id: header.rcode for header in seen}
        assert found == {2: dns.NOERROR, 3: dns.NXDOMAIN, 4: dns.SERVFAIL}
        running.go()
        assert dnslib.DNSRecord.parse(client.recv(2_048)).header.id == 1
    assert running.lookups.early == []
    assert Reason.RESOLVE_FAILED in running.reasons


def test_a_stream_answers_what_it_can_and_the_rest_when_it_can(running: Running) -> None:
    with running.tcp() as client:
        client.sendall(framed(question("slow-a.example", 1)) + framed(question("b.example", 2)))
        assert answers(client, 1) == [(2, dns.NOERROR)]
        client.sendall(framed(question("localhost", 3)))
        assert answers(client, 1) == [(3, dns.NOERROR)]
        client.shutdown(socket.SHUT_WR)  # half-closed: the answer is still owed
        time.sleep(0.05)
        running.go()
        assert answers(client, 1) == [(1, dns.NOERROR)]
        assert client.recv(1) == b""


def test_a_stream_has_only_so_many_under_way(running: Running) -> None:
    with running.tcp() as client:
        for i in range(100):
            client.sendall(framed(question(f"slow-{i}.example", i)))
        deadline = time.monotonic() + 10
        while len(running.lookups.asked) < dns_stream.PIPELINED and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)
        assert len(running.lookups.asked) == dns_stream.PIPELINED
        running.go()
        assert sorted(ident for ident, _ in answers(client, 100)) == list(range(100))


def test_who_has_gone_takes_nothing_along(running: Running) -> None:
    with running.tcp() as client:
        client.sendall(framed(question("slow-a.example", 1)))
        deadline = time.monotonic() + 10
        while not running.lookups.asked and time.monotonic() < deadline:
            time.sleep(0.01)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    running.go()
    with running.udp() as client:
        client.send(question("b.example", 2))
        assert dnslib.DNSRecord.parse(client.recv(2_048)).header.id == 2


def test_too_many_fail_at_once(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shim, "LOOKUPS", 2)
    with running.udp() as client:
        for i in range(3):
            client.send(question(f"slow-{i}.example", i))
        header = dnslib.DNSRecord.parse(client.recv(2_048)).header
        assert (header.id, header.rcode) == (2, dns.SERVFAIL)
        running.go()
        assert {dnslib.DNSRecord.parse(client.recv(2_048)).header.id for _ in "ab"} == {0, 1}


def test_a_look_up_that_never_ends_is_given_up(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shim, "PATIENCE", 0.2)
    with running.udp() as client:
        client.send(question("slow-a.example"))
        assert dnslib.DNSRecord.parse(client.recv(2_048)).header.rcode == dns.SERVFAIL


def test_without_evidence_nothing_is_looked_up(running: Running) -> None:
    running.broken = True
    with running.udp() as client:
        client.send(question("a.example"))
        assert dnslib.DNSRecord.parse(client.recv(2_048)).header.rcode == dns.SERVFAIL
    assert running.lookups.asked == []
