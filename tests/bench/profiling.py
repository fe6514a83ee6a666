"""Where the time of a request goes: the product's own code in one process, without a kernel.

    python -m tests.bench.profiling [--post] [--calls] [--requests N]

A client and an upstream are played over memory; the connection, the flow, TLS on both sides, the
judge with all rules and the evidence log are the real ones. Without an option, functions are
wrapped one by one with a clock, so that no figure carries the cost of profiling another: inclusive
microseconds and calls for each request. `--calls` runs cProfile instead.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import datetime as dt
import gc
import importlib
import os
import pstats
import ssl
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self

from interceptor.decide.judge import Judge
from interceptor.evidence.log import EvidenceLog
from interceptor.flow.names import Leases
from interceptor.policy.loading import load
from interceptor.scan.engine import Scanner
from interceptor.scan.injection.scanner import InjectionScanner
from interceptor.scan.ruleset import load_rules
from interceptor.serve import dialler as dialler_module
from interceptor.serve import service as service_module
from interceptor.serve import tcp, upstream
from interceptor.tls.authority import Authority
from interceptor.tls.session import TlsSession
from tests.lab.nginx import text

HOST = "bench.example.com"
_KEY = b"k" * 32
_ADDRESS = "11.22.33.80"
# Every request and every answer is another one, as with real agents: no head is met twice.
_GET = f"GET /1k?n=%d HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
_ANSWER = (
    b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Mon, 23 Nov 2026 12:00:00 GMT\r\n"
    b"Content-Type: application/json\r\nContent-Length: 1024\r\n"
    b"Last-Modified: Mon, 23 Nov 2026 11:00:00 GMT\r\nConnection: keep-alive\r\n"
    b'X-Request-Id: %032x\r\nETag: "6924f0f0-400"\r\nAccept-Ranges: bytes\r\n\r\n'
) + text(1024)
_POST = (
    f"POST /post?n=%d HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
    "Content-Length: 1024\r\n\r\n"
).encode() + text(1024)

FUNCTIONS = (
    "interceptor.serve.tcp:AgentConnection.buffer_updated",
    "interceptor.serve.tcp:AgentConnection._act",
    "interceptor.serve.tcp:AgentConnection._send",
    "interceptor.serve.tcp:AgentConnection._arm",
    "interceptor.serve.tcp:AgentConnection._adjust_reading",
    "interceptor.serve.tcp:AgentConnection._end_upstream",
    "interceptor.serve.upstream:UpstreamConnection.buffer_updated",
    "interceptor.serve.upstream:UpstreamConnection.write",
    "interceptor.serve.dialler:Dialler.pooled",
    "interceptor.serve.dialler:Dialler.keep",
    "interceptor.serve.outbox:Outbox.write",
    "interceptor.serve.outbox:Outbox.flush",
    "interceptor.tls.session:TlsSession.receive",
    "interceptor.tls.session:TlsSession.send",
    "interceptor.flow.tcp_flow:TcpFlow.client_bytes",
    "interceptor.flow.tcp_flow:TcpFlow.connected",
    "interceptor.flow.tcp_flow:TcpFlow.upstream_bytes",
    "interceptor.flow.tcp_flow:TcpFlow._settle",
    "interceptor.flow.http1_agent:Http1Connection.client_bytes",
    "interceptor.flow.http1_agent:read_request",
    "interceptor.flow.http1_agent:read_target",
    "interceptor.flow.http1_agent:Http1Connection._begin",
    "interceptor.flow.http1_agent:Http1Connection.connected",
    "interceptor.flow.http1_agent:Http1Connection.answer",
    "interceptor.flow.http1_agent:write_response",
    "interceptor.flow.http1_lane:Http1Lane.request",
    "interceptor.flow.http1_lane:Http1Lane.feed",
    "interceptor.flow.http1_lane:read_response",
    "interceptor.flow.request:Request.judge",
    "interceptor.flow.request:Request.wire_head",
    "interceptor.flow.exchange:Exchange.__init__",
    "interceptor.flow.exchange:Exchange.begin",
    "interceptor.flow.exchange:Exchange.content",
    "interceptor.flow.exchange:Exchange.connected",
    "interceptor.flow.exchange:Exchange.response_head",
    "interceptor.flow.exchange:Exchange.response_data",
    "interceptor.flow.exchange:Exchange.response_end",
    "interceptor.flow.exchange:Exchange._finish",
    "interceptor.flow.inbound:Inbound.feed",
    "interceptor.decide.judge:Judge.request",
    "interceptor.decide.judge:Judge.connection",
    "interceptor.scan.engine:Scanner.scan",
    "interceptor.wire.fields:split_fields",
    "interceptor.wire.fields:read_fields",
    "interceptor.evidence.log:EvidenceLog.write",
    "interceptor.evidence.log:EvidenceLog.finished",
    "interceptor.evidence.log:EvidenceLog._append",
    "interceptor.evidence.log:EvidenceLog._write_whole",
    "interceptor.evidence.masking:path",
)
"""`module:name` as it is looked up by its caller; what is not there any more is passed over."""


class _Transport:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written = bytearray()

    def write(self, data: bytes) -> None:
        self.written += data

    def writelines(self, pieces: Iterable[bytes]) -> None:
        self.written += b"".join(pieces)

    def take(self) -> bytes:
        data = bytes(self.written)
        self.written.clear()
        return data

    def is_closing(self) -> bool:
        return False

    def get_extra_info(self, _name: str) -> None:
        return None

    def set_write_buffer_limits(self, high: int) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def abort(self) -> None: ...
    def close(self) -> None: ...


class Rig:
    """One agent's connection and one upstream connection, over memory."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, post: bool) -> None:
        """Connect both sides and finish both handshakes."""
        self._loop = loop
        self._ask = _POST if post else _GET
        self._answer = _ANSWER
        self._count = 0
        policy = load(None, "balanced")
        authority = Authority("rig", dt.datetime.now(dt.UTC))
        outside = Authority("outside", dt.datetime.now(dt.UTC))
        inbound = InjectionScanner.build(None)
        judge = Judge(policy, Scanner.build(load_rules(), None), _KEY, inbound)
        leases = Leases(_KEY, 100)
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
        log = EvidenceLog(self._file.fileno(), "rig")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=outside.certificate_pem.decode("ascii"))
        dialler = dialler_module.Dialler(loop, context, 5.0)
        self._outbox = dialler.outbox
        service = service_module.Service(
            jail="rig",
            loop=loop,
            judge=judge,
            limits=policy.limits,
            leases=leases,
            authority=authority,
            dialler=dialler,
            record=lambda record, origin: log.write(record, origin, time.time()),
            finished=lambda step, origin: log.finished(step, origin, time.time(), step.host),
        )
        address, _ = leases.lease(HOST, loop.time())
        vars(tcp)["original_destination"] = lambda sock: (address, 443)
        trusted = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        trusted.load_verify_locations(cadata=authority.certificate_pem.decode("ascii"))

        self.near, self.far = _Transport(), _Transport()
        self.upstream = upstream.UpstreamConnection(
            ("https", HOST, 443, judge.epoch),
            _ADDRESS,
            TlsSession(context, server_name=HOST),
            self._outbox,
        )
        self._server = TlsSession(outside.server_context(HOST, ("http/1.1",)), server_side=True)
        self.upstream.connection_made(self.far)  # type: ignore[arg-type]
        self._outbox.flush()
        for _ in range(3):
            self._server.receive(self.far.take())
            self._feed_upstream(self._server.outgoing())
        dialler.keep(self.upstream)

        self.agent = tcp.AgentConnection(service)
        self.agent.connection_made(self.near)  # type: ignore[arg-type]
        self._client = TlsSession(trusted, server_name=HOST)
        self._client.receive(b"")
        for _ in range(3):
            self._feed_agent(self._client.outgoing())
            self._client.receive(self.near.take())
        assert self._client.established

    def exchange(self) -> float:
        """One request and its response; seconds spent in our code."""
        self._count += 1
        data = self._client.send(self._ask % self._count)
        tcp._BUFFER[: len(data)] = data
        begin = time.perf_counter()
        self.agent.buffer_updated(len(data))
        self._outbox.flush()
        middle = time.perf_counter()
        asked = self._server.receive(self.far.take())
        assert asked
        back = self._server.send(self._answer % self._count)
        upstream._BUFFER[: len(back)] = back
        resumed = time.perf_counter()
        self.upstream.buffer_updated(len(back))
        self._outbox.flush()
        end = time.perf_counter()
        answer = self._client.receive(self.near.take())
        assert answer.startswith(b"HTTP/1.1 200 OK")
        return middle - begin + end - resumed

    def _feed_agent(self, data: bytes) -> None:
        if data:
            tcp._BUFFER[: len(data)] = data
            self.agent.buffer_updated(len(data))
            self._outbox.flush()

    def _feed_upstream(self, data: bytes) -> None:
        if data:
            upstream._BUFFER[: len(data)] = data
            self.upstream.buffer_updated(len(data))
            self._outbox.flush()


def _usual(times: Sequence[float]) -> float:
    """What a call takes when nothing else wants the machine: the first decile."""
    return sorted(times)[len(times) // 10]


def _usual_exchange(rig: Rig, number: int) -> float:
    """Microseconds a request."""
    return _usual([rig.exchange() for _ in range(number)]) * 1e6


class _Clock:
    """Wraps one function; counts its calls and its inclusive time."""

    def __init__(self, path: str) -> None:
        module, _, name = path.partition(":")
        self._owner: Any = importlib.import_module(module)
        *outer, self._name = name.split(".")
        for part in outer:
            self._owner = getattr(self._owner, part)
        self._original: Callable[..., Any] = getattr(self._owner, self._name)
        self.times: list[float] = []

    def __enter__(self) -> Self:
        original, times, clock = self._original, self.times, time.perf_counter

        def timed(*args: Any, **kwargs: Any) -> Any:
            begin = clock()
            result = original(*args, **kwargs)
            times.append(clock() - begin)
            return result

        setattr(self._owner, self._name, timed)
        return self

    def __exit__(self, *_: object) -> None:
        setattr(self._owner, self._name, self._original)


def _is_there(path: str) -> bool:
    module, _, name = path.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError):
        return False
    return True


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--post", action="store_true", help="1 KB POST instead of 1 KB GET")
    parser.add_argument("--calls", action="store_true", help="cProfile")
    parser.add_argument("--requests", type=int, default=3000)
    chosen = parser.parse_args()
    loop = asyncio.new_event_loop()
    rig = Rig(loop, post=chosen.post)
    gc.collect()
    gc.freeze()
    _usual_exchange(rig, chosen.requests)
    if chosen.calls:
        with cProfile.Profile() as profile:
            for _ in range(chosen.requests):
                rig.exchange()
        pstats.Stats(profile).sort_stats("tottime").print_stats(45)
        return
    whole = _usual_exchange(rig, chosen.requests)
    print(f"{'a request in our code':<62}{whole:>8.1f} us")
    rows = []
    for path in filter(_is_there, FUNCTIONS):
        with _Clock(path) as clock:
            _usual_exchange(rig, chosen.requests)
        if clock.times:
            calls = len(clock.times) / chosen.requests
            rows.append((_usual(clock.times) * 1e6 * calls, calls, path))
    for cost, calls, path in rows:
        print(f"{path:<62}{cost:>8.2f} us {calls:>5.1f} calls")
    loop.close()
    os._exit(0)  # sessions over memory need no farewell


if __name__ == "__main__":
    main()
