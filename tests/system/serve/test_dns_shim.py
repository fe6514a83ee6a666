"""The DNS shim on sockets: on loopback for its manners, in a namespace of its own for real clients.

Run as a program this file is the shim inside that namespace.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import dnslib
import pytest
import uvloop

from interceptor.flow.dns_flow import DnsFlow
from interceptor.flow.names import Leases
from interceptor.flow.steps import Record
from interceptor.model import Origin
from interceptor.serve import dns as shim
from interceptor.serve import dns_stream
from interceptor.verdict import Action, Reason, Verdict

pytestmark = pytest.mark.lab

V4 = ipaddress.ip_network("198.18.0.0/15")
V6 = ipaddress.ip_network("fd65:6772:6573:7300::/64")


class FakeJudge:
    def name(self, name: str) -> Verdict:
        if "secret" in name:
            return Verdict(reason=Reason.SECRET_IN_NAME)
        return Verdict(action=Action.ALLOW, reason=Reason.ALLOWED)

    def records(self, name: str, texts: Sequence[bytes]) -> Verdict:
        raise AssertionError("nothing is fetched for a shim without look-ups")


def new_loop(kind: str) -> asyncio.AbstractEventLoop:
    return uvloop.new_event_loop() if kind == "uvloop" else asyncio.new_event_loop()


def bound(address: str, kind: socket.SocketKind, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, kind)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind((address, port))
    if kind == socket.SOCK_STREAM:
        sock.listen(256)
    return sock


class Shim:
    """A shim on loopback, its loop in a thread."""

    def __init__(self, kind: str) -> None:
        self.written: list[tuple[Record, Origin]] = []
        self.broken = False
        self.loop = new_loop(kind)
        self.sockets = [
            bound("127.0.0.1", socket.SOCK_DGRAM, 0),
            bound("127.0.0.1", socket.SOCK_STREAM, 0),
        ]
        self.udp, self.tcp = (sock.getsockname() for sock in self.sockets)
        flow = DnsFlow(FakeJudge(), Leases(b"seed"), "test")
        self.server = shim.serve(self.sockets, flow, self.write, self.loop)
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()

    def write(self, record: Record, origin: Origin) -> None:
        if self.broken:
            raise OSError("disk full")
        self.written.append((record, origin))

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

    def ask(self, data: bytes, timeout: float = 5.0) -> bytes:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(timeout)
            client.sendto(data, self.udp)
            return client.recv(4_096)


@pytest.fixture(params=["asyncio", "uvloop"])
def local(request: pytest.FixtureRequest) -> Iterator[Shim]:
    running = Shim(request.param)
    yield running
    running.stop()


def question(name: str = "api.example.com", qtype: str = "A", ident: int = 1) -> bytes:
    record = dnslib.DNSRecord.question(name, qtype)
    record.header.id = ident
    return bytes(record.pack())


def framed(data: bytes) -> bytes:
    return struct.pack(">H", len(data)) + data


def answers(client: socket.socket, count: int) -> list[dnslib.DNSRecord]:
    stream = client.makefile("rb")
    found = []
    with stream:
        for _ in range(count):
            (size,) = struct.unpack(">H", stream.read(2))
            found.append(dnslib.DNSRecord.parse(stream.read(size)))
    return found


def test_udp(local: Shim) -> None:
    seen = dnslib.DNSRecord.parse(local.ask(question()))
    assert ipaddress.ip_address(str(seen.a.rdata)) in V4
    record, origin = local.written[0]
    assert (record.target.host, origin) == (
        "api.example.com",
        Origin(jail="test", flow="d1", address="127.0.0.1", port=53),
    )


def test_garbage_does_not_stop_it(local: Shim) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        for data in (b"", b"x", os.urandom(500), bytes(60_000), b"\xff" * 12):
            client.sendto(data, local.udp)
    with socket.create_connection(local.tcp) as client:
        client.sendall(framed(b"rubbish"))
        assert client.recv(10) == b""
    assert dnslib.DNSRecord.parse(local.ask(question())).a.rdata


def test_a_failing_evidence_sink_is_servfail(local: Shim) -> None:
    assert dnslib.DNSRecord.parse(local.ask(question("a.example"))).header.rcode == 0
    local.broken = True
    assert dnslib.DNSRecord.parse(local.ask(question("b.example"))).header.rcode == 2
    local.broken = False
    assert dnslib.DNSRecord.parse(local.ask(question("c.example"))).header.rcode == 0


def test_tcp_pipelined_and_byte_by_byte(local: Shim) -> None:
    with socket.create_connection(local.tcp, timeout=5) as client:
        client.sendall(b"".join(framed(question(f"h{i}.example", "A", i)) for i in range(500)))
        assert [seen.header.id for seen in answers(client, 500)] == list(range(500))
        for byte in framed(question(ident=9)):
            client.sendall(bytes([byte]))
        assert answers(client, 1)[0].header.id == 9
        client.sendall(framed(question(ident=10)) + framed(question(ident=11))[:-1])
        client.shutdown(socket.SHUT_WR)  # half a query is dropped, a whole one answered
        assert answers(client, 1)[0].header.id == 10
        assert client.recv(1) == b""
    assert local.written[-1][1].address == "127.0.0.1"
    assert local.written[-1][1].port == local.tcp[1]


def test_an_agent_that_does_not_read_is_not_buffered_for(local: Shim) -> None:
    query = framed(question())
    for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):  # bounded, so that the test is short
        local.sockets[1].setsockopt(socket.SOL_SOCKET, option, 200_000)
    with socket.create_connection(local.tcp, timeout=5) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 200_000)
        client.settimeout(1)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 100_000_000:
                sent += client.send(query * 200)
        assert sent < 30_000_000
        assert dnslib.DNSRecord.parse(local.ask(question())).a.rdata  # others are served
        client.settimeout(10)
        assert len(answers(client, 5_000)) == 5_000  # and it goes on when it reads


def test_idle_connections_end_even_when_bytes_trickle(
    local: Shim, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dns_stream, "IDLE", 0.5)
    start = time.monotonic()
    with socket.create_connection(local.tcp, timeout=5) as client:
        client.sendall(framed(question()))
        answers(client, 1)
        with pytest.raises(OSError):  # noqa: PT012 - the reset shows at any of the writes
            while time.monotonic() - start < 4:
                client.sendall(b"\1")
                time.sleep(0.05)
                if not local.server._streams:
                    raise ConnectionResetError
    assert 0.4 < time.monotonic() - start < 3


def test_connections_are_bounded_and_come_back(local: Shim) -> None:
    with contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection(local.tcp, timeout=5))
            for _ in range(shim.CONNECTIONS)
        ]
        for client in clients:
            client.sendall(framed(question()))
            answers(client, 1)
        with pytest.raises(OSError):  # noqa: PT012 - the reset shows at any of these
            extra = stack.enter_context(socket.create_connection(local.tcp, timeout=5))
            extra.sendall(framed(question()))
            if extra.recv(1) == b"":
                raise ConnectionResetError
    deadline = time.monotonic() + 5
    while local.server._streams and time.monotonic() < deadline:
        time.sleep(0.01)
    with socket.create_connection(local.tcp, timeout=5) as client:
        client.sendall(framed(question()))
        assert answers(client, 1)


# In a namespace of its own -----------------------------------------------------------------


class Namespace:
    """A network and mount namespace with the shim on port 53 of every address."""

    def __init__(self, kind: str) -> None:
        self.directory = Path(tempfile.mkdtemp())
        self.process = subprocess.Popen(
            ["unshare", "--net", "--mount", "--propagation", "private", sys.executable, __file__,
             kind, str(self.directory)],
            stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        )  # fmt: skip
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["nsenter", "--target", str(self.process.pid), "--net", "--mount", *command],
            capture_output=True,
            check=False,
            text=True,
            timeout=60,
        )

    def dig(self, *arguments: str) -> str:
        done = self.run("dig", "+tries=1", "+timeout=3", *arguments)
        return done.stdout + done.stderr

    def events(self) -> list[tuple[str, str, str, str]]:
        lines = (self.directory / "events").read_text().splitlines()
        return [tuple(json.loads(line)) for line in lines]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        shutil.rmtree(self.directory)


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def namespace(request: pytest.FixtureRequest) -> Iterator[Namespace]:
    if os.geteuid():
        pytest.skip("needs root")
    made = Namespace(request.param)
    yield made
    made.close()


@pytest.mark.parametrize("over", ["+notcp", "+tcp"])
@pytest.mark.parametrize(
    "resolver",
    ["127.0.0.1", "::1", "198.18.0.1", "192.0.2.53", "2001:db8::53", "fd65:6772:6573:7300::1"],
)
def test_dig_at_any_resolver(namespace: Namespace, resolver: str, over: str) -> None:
    for qtype, network in (("A", V4), ("AAAA", V6)):
        seen = namespace.dig("+short", over, f"@{resolver}", "www.Example.com", qtype).strip()
        assert ipaddress.ip_address(seen) in network
    host = f"{resolver.replace(':', '').replace('.', '')}-{over[1:]}.example"
    namespace.dig(over, f"@{resolver}", host)
    assert ("dns_query", host, "A", resolver) in namespace.events()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["www.example.com", "HTTPS"], ["status: NOERROR", "ANSWER: 0", "SOA"]),
        (["www.example.com", "TXT"], ["status: NOERROR", "ANSWER: 0"]),
        (["www.example.com", "ANY"], ["status: NOERROR", "ANSWER: 2", "198.1"]),
        (["www.example.com", "TYPE65280"], ["status: NOERROR", "ANSWER: 0"]),
        (["+dnssec", "+bufsize=4096", "www.example.com"],
         ["status: NOERROR", "flags: qr aa rd ra", "flags: do; udp: 1232"]),
        (["+noedns", "www.example.com"], ["status: NOERROR", "ADDITIONAL: 0"]),
        (["+edns=1", "+noednsneg", "www.example.com"], ["status: BADVERS"]),
        (["+nocookie", "+subnet=192.0.2.0/24", "www.example.com"], ["status: NOERROR"]),
        (["+opcode=UPDATE", "example.com"], ["status: REFUSED"]),
        (["+opcode=NOTIFY", "example.com"], ["status: REFUSED"]),
        (["+opcode=STATUS", "example.com"], ["status: NOTIMP"]),
        (["+header-only"], ["status: FORMERR"]),
        (["CH", "TXT", "version.bind"], ["status: REFUSED"]),
        (["example.com", "AXFR"], ["Transfer failed"]),
        ([".", "NS"], ["status: NOERROR", "ANSWER: 0"]),
        (["a.secret.example.com"], ["status: NXDOMAIN", "EDE: 15 (Blocked): (secret_in_name)"]),
        (["x.onion"], ["status: NXDOMAIN"]),
    ],
)  # fmt: skip
def test_dig_reads_every_answer(
    namespace: Namespace, arguments: list[str], expected: list[str]
) -> None:
    seen = namespace.dig("@198.18.0.1", *arguments)
    for text in expected:
        assert text in seen
    for complaint in ("WARNING", "Warning", "malformed", "mismatch", "unexpected source"):
        assert complaint not in seen


def test_dig_reverse(namespace: Namespace) -> None:
    for qtype in ("A", "AAAA"):
        address = namespace.dig("+short", "reverse.example.com", qtype).strip()
        assert namespace.dig("+short", "-x", address).strip() == "reverse.example.com."
    assert "NXDOMAIN" in namespace.dig("-x", "192.0.2.1")


def test_getent(namespace: Namespace) -> None:
    assert ipaddress.ip_address(namespace.run("getent", "ahostsv4", "a.example").stdout.split()[0])
    v6 = namespace.run("getent", "ahostsv6", "a.example").stdout.split()[0]
    assert ipaddress.ip_address(v6) in V6
    back = namespace.run("getent", "hosts", v6).stdout.split()
    assert back[1] == "a.example"
    assert namespace.run("getent", "ahosts", "wpad").returncode == 2


PYTHON = """
import json, socket
found = {i[4][0] for i in socket.getaddrinfo("b.example", 443, type=socket.SOCK_STREAM)}
back = socket.gethostbyaddr(sorted(found)[0])[0]
try:
    socket.getaddrinfo("x.secret.example", 443)
    blocked = "resolved"
except socket.gaierror as error:
    blocked = error.errno == socket.EAI_NONAME
print(json.dumps([sorted(found), back, blocked, socket.gethostbyname("localhost")]))
"""


def test_python(namespace: Namespace) -> None:
    done = namespace.run(sys.executable, "-c", PYTHON)
    found, back, blocked, local_address = json.loads(done.stdout)
    assert [ipaddress.ip_address(text) in network for text, network in
            zip(found, (V4, V6), strict=True)] == [True, True]  # fmt: skip
    assert (back, blocked, local_address) == ("b.example", True, "127.0.0.1")


NODE = """
const dns = require("dns").promises;
(async () => {
  const looked = await dns.lookup("c.example", {all: true});
  const four = await dns.resolve4("c.example"), six = await dns.resolve6("c.example");
  const text = await dns.resolveTxt("c.example").catch(e => e.code);
  const blocked = await dns.resolve4("x.secret.example").catch(e => e.code);
  console.log(JSON.stringify([looked.map(a => a.family).sort(), four, six, text, blocked]));
})();
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_node(namespace: Namespace) -> None:
    done = namespace.run("node", "-e", NODE)
    families, four, six, text, blocked = json.loads(done.stdout)
    assert (families, text, blocked) == ([4, 6], "ENODATA", "ENOTFOUND")
    assert ipaddress.ip_address(four[0]) in V4
    assert ipaddress.ip_address(six[0]) in V6


def test_without_the_shim_nothing_resolves() -> None:
    """The positive control: the answers above came from the shim and from nowhere else."""
    if os.geteuid():
        pytest.skip("needs root")
    made = Namespace("asyncio")
    try:
        assert made.run("getent", "ahosts", "a.example").returncode == 0
        os.kill(made.process.pid, signal.SIGUSR1)  # ends serving, keeps the namespace
        assert made.process.stdout is not None
        assert made.process.stdout.readline() == "stopped\n"
        assert made.run("getent", "ahosts", "a.example").returncode == 2
        assert "connection refused" in made.dig("@198.18.0.1", "a.example")
        assert "connection refused" in made.dig("+tcp", "@198.18.0.1", "a.example")
    finally:
        made.close()


def _serve_inside(kind: str, directory: Path) -> None:
    """The program of the namespace: set it up, serve, say so."""
    for command in (
        "ip link set lo up",
        "ip address add 198.18.0.2/32 dev lo",
        "ip -6 address add fd65:6772:6573:7300::2/128 dev lo nodad",
        "ip route add local 0.0.0.0/0 dev lo table main",
        "ip -6 route add local ::/0 dev lo table main",
    ):
        subprocess.run(command.split(), check=True)
    for path, text in (
        ("/etc/resolv.conf", "nameserver 198.18.0.1\noptions timeout:2 attempts:1\n"),
        ("/etc/nsswitch.conf", "hosts: files dns\n"),
        ("/etc/hosts", ""),
    ):
        own = directory / Path(path).name
        own.write_text(text)
        subprocess.run(["mount", "--bind", str(own), path], check=True)
    loop = new_loop(kind)
    sockets = [
        bound(address, form, 53)
        for address in ("0.0.0.0", "::")
        for form in (socket.SOCK_DGRAM, socket.SOCK_STREAM)
    ]
    events = (directory / "events").open("w", buffering=1)

    def write(record: Record, origin: Origin) -> None:
        line = (record.kind, record.target.host, record.target.method, origin.address)
        events.write(json.dumps(line) + "\n")

    server = shim.serve(sockets, DnsFlow(FakeJudge(), Leases(b"seed"), "test"), write, loop)

    def stop() -> None:
        server.close()
        for sock in sockets:
            sock.close()
        print("stopped", flush=True)

    loop.add_signal_handler(signal.SIGUSR1, stop)
    print("ready", flush=True)
    loop.run_forever()


if __name__ == "__main__":
    _serve_inside(sys.argv[1], Path(sys.argv[2]))
