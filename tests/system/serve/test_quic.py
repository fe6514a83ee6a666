"""The QUIC listener on sockets of the loopback: its answers, its evidence, its share of the worker.

Real clients in a real jail are in `tests/system/jail/test_quic_client.py`.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import uvloop

from interceptor.flow import quic_flow
from interceptor.flow.quic_flow import QuicFlow
from interceptor.flow.steps import Record
from interceptor.model import Origin, Target
from interceptor.serve.quic import BURST, SHARE, QuicServer
from interceptor.verdict import Action, Reason, Verdict
from interceptor.wire.quic import LARGEST, packets, refusal
from tests.quic_packets import crypto, long_packet, opening

pytestmark = pytest.mark.lab

ALLOWED = Verdict(Action.ALLOW, Reason.ALLOWED)
PORT = 443  # what agents dial; here the sockets have any


class FakeJudge:
    def name(self, name: str) -> Verdict:
        return ALLOWED

    def connection(self, target: Target) -> Verdict:
        return ALLOWED


class Listener:
    """A listener on every address of the loopback, its loop in a thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.written: list[tuple[Record, Origin]] = []
        self.broken = False
        self.loop = loop
        self.sockets = []
        for family in (socket.AF_INET, socket.AF_INET6):
            sock = socket.socket(family, socket.SOCK_DGRAM)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(("", 0))
            self.sockets.append(sock)
        self.ports = [sock.getsockname()[1] for sock in self.sockets]
        flow = QuicFlow(FakeJudge(), lambda address, now: "", "test")
        pairs = [(sock, PORT) for sock in self.sockets]
        self.server = QuicServer(pairs, flow, self.write, loop)
        self.thread = threading.Thread(target=loop.run_forever)
        self.thread.start()

    def write(self, record: Record, origin: Origin) -> None:
        if self.broken:
            raise OSError("disk full")
        self.written.append((record, origin))

    def run(self, task: Callable[[], float | None]) -> float | None:
        """The answer of a function that is called in the loop's thread."""

        async def call() -> float | None:
            return task()

        return asyncio.run_coroutine_threadsafe(call(), self.loop).result(5)

    def stop(self) -> None:
        self.run(self.server.close)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)
        self.loop.close()
        for sock in self.sockets:
            sock.close()

    def client(self, address: str = "127.0.0.1") -> socket.socket:
        """Connected, so that it takes answers from nowhere else."""
        ipv6 = ":" in address
        sock = socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET, socket.SOCK_DGRAM)
        sock.settimeout(5)
        sock.connect((address, self.ports[ipv6]))
        return sock


@pytest.fixture(params=["asyncio", "uvloop"])
def listener(request: pytest.FixtureRequest) -> Iterator[Listener]:
    uv = request.param == "uvloop"
    running = Listener(uvloop.new_event_loop() if uv else asyncio.new_event_loop())
    yield running
    running.stop()


@pytest.mark.parametrize("address", ["127.0.0.1", "127.45.6.7", "::1"])
def test_a_refusal_comes_from_the_address_that_was_dialled(
    listener: Listener, address: str
) -> None:
    data = opening()
    with listener.client(address) as client:
        client.send(data)
        assert client.recv(2048) == refusal(packets(data)[0])
    ((record, origin),) = listener.written  # before the answer
    assert (record.kind, record.target) == ("quic", Target("quic", "api.example.com", PORT))
    assert (origin.address, origin.port, origin.flow) == (address, PORT, "q1")


def test_a_refusal_takes_less_than_five_milliseconds(listener: Listener) -> None:
    taken = []
    with listener.client() as client:
        for number in range(60):
            data = opening(dcid=number.to_bytes(8))
            begin = time.perf_counter()
            client.send(data)
            client.recv(2048)
            taken.append(time.perf_counter() - begin)
    assert statistics.median(taken) < 0.005


def test_many_clients_at_once(listener: Listener) -> None:
    clients = [listener.client() for _ in range(40)]
    for number, client in enumerate(clients):
        client.send(opening(f"h{number}.example"))
    for client in clients:
        assert client.recv(2048)
        client.close()
    assert {record.target.host for record, _ in listener.written} == {
        f"h{number}.example" for number in range(40)
    }


def test_the_rest_of_a_hello_that_never_comes(listener: Listener) -> None:
    with listener.client() as client:
        begin = time.perf_counter()
        client.send(long_packet(crypto(b"rest", 4), size=1200))
        assert client.recv(2048)
        assert time.perf_counter() - begin > quic_flow.PATIENCE * 0.9
    assert "not whole" in listener.written[0][0].verdict.detail


def test_without_evidence_the_refusal_is_the_same(listener: Listener) -> None:
    listener.broken = True
    data = opening()
    with listener.client() as client:
        client.send(data)
        assert client.recv(2048) == refusal(packets(data)[0])


@pytest.mark.parametrize("size", [LARGEST, LARGEST + 1, 60_000])
def test_a_datagram_that_is_too_long_is_not_cut_into_one_that_is_not(
    listener: Listener, size: int
) -> None:
    data = opening() + bytes(size - 1200)
    with listener.client() as client:
        client.send(data)
        client.send(opening(dcid=b"12345678"))
        assert client.recv(2048)[-12:-4] == (
            b"12345678" if size > LARGEST else packets(data)[0].dcid
        )
    assert ("longer than" in listener.written[0][0].verdict.detail) == (size > LARGEST)


def test_an_answer_that_nobody_takes_harms_nobody(listener: Listener) -> None:
    for number in range(20):
        with listener.client() as gone:
            gone.send(opening(dcid=number.to_bytes(8)))
    with listener.client() as client:
        client.send(opening(dcid=b"afterall"))
        assert client.recv(2048)[-12:-4] == b"afterall"


def test_a_flood_gets_a_share_of_the_worker_and_no_more(listener: Listener) -> None:
    ids = itertools.count()
    flood = [opening(dcid=next(ids).to_bytes(8)) for _ in range(300)]
    cpu, begin = listener.run(time.thread_time), time.perf_counter()
    sent = 0
    with listener.client() as client:
        client.setblocking(False)
        while time.perf_counter() - begin < 1.5:
            client.send(flood[sent % len(flood)])
            sent += 1
    seconds = time.perf_counter() - begin
    used = (listener.run(time.thread_time) or 0.0) - (cpu or 0.0)
    assert listener.server.pauses > 0, "this was no flood"
    assert used < (SHARE * seconds + BURST) * 1.5 + 0.03
    assert listener.server.answered < sent
    assert len(listener.written) <= seconds + 2
    with listener.client() as client:  # what the kernel kept of the flood is read first
        client.settimeout(0.2)
        for _ in range(50):
            client.send(opening(dcid=b"afterall"))
            try:
                assert client.recv(2048)[-12:-4] == b"afterall"
                break
            except TimeoutError:
                continue
        else:
            pytest.fail("the listener did not come back")


def test_what_was_only_counted_is_recorded_at_the_end(listener: Listener) -> None:
    with listener.client() as client:
        for number in range(3):
            client.send(opening(dcid=number.to_bytes(8)))
            client.recv(2048)
    assert len(listener.written) == 1
    listener.run(listener.server.close)
    assert "(2 more within" in listener.written[1][0].verdict.detail
    listener.run(listener.server.close)
    assert len(listener.written) == 2
