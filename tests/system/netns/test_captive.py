"""The captive namespace on this kernel: what arrives where, and what leads nowhere."""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import socket
import statistics
import struct
import subprocess
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from netns import maker, namespaces, nft, probe, remedies
from netns.captive import Captive, CaptiveError, Preparation, create
from netns.namespaces import Namespace

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]

ANY_IPV4 = ["198.18.0.77", "203.0.113.9", "10.0.0.1", "169.254.169.254"]
ANY_IPV6 = ["2001:db8::9", "fd65:6772:6573:7300::77", "::ffff:203.0.113.9"]
OWN = ["127.0.0.1", "127.9.9.9", "::1", nft.OWN_IPV4, nft.OWN_IPV6]
AT_ONCE = 0.2
"""Seconds; generous for a machine under load, far below any time-out of a client."""


class Inside:
    """A function running in a child that has entered a network namespace."""

    def __init__(self, network: int, user: int | None, task: Callable[[], Any]) -> None:
        self.reader, writer = os.pipe()
        self.child = os.fork()
        if self.child == 0:
            try:
                signal.alarm(20)
                namespaces.enter(network, user)
                answer = {"value": task()}
            except BaseException:  # noqa: BLE001 - carried to the parent
                answer = {"error": traceback.format_exc()}
            os.write(writer, json.dumps(answer).encode())
            os._exit(0)
        os.close(writer)

    def result(self) -> Any:
        with os.fdopen(self.reader, "rb") as stream:
            data = stream.read()
        os.waitpid(self.child, 0)
        answer = json.loads(data or '{"error": "child was killed"}')
        assert "error" not in answer, answer["error"]
        return answer["value"]


def start(jail: Captive, task: Callable[[], Any]) -> Inside:
    return Inside(jail.namespace_fd, jail.user_namespace_fd, task)


def inside(jail: Captive, task: Callable[[], Any]) -> Any:
    return start(jail, task).result()


@pytest.fixture(params=[False, True], ids=["root", "rootless"])
def jail(request: pytest.FixtureRequest) -> Iterator[Captive]:
    made = create(rootless=request.param)
    yield made
    made.close()


def family_of(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def attempt(
    address: str, port: int, kind: int = socket.SOCK_STREAM, protocol: int = 0
) -> tuple[str, float]:
    """Dial (and for datagrams send) and say what came: `ok`, or the errno's name; and seconds."""
    begin = time.monotonic()
    try:
        with socket.socket(family_of(address), kind, protocol) as dialling:
            dialling.settimeout(3)
            dialling.connect((address, port))
            if kind == socket.SOCK_DGRAM:
                dialling.send(b"x")
                dialling.recv(1)
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, repr(error)), time.monotonic() - begin
    return "ok", time.monotonic() - begin


def original_destination(accepted: socket.socket) -> tuple[str, int]:
    """SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST, `<linux/netfilter_ipv4.h>` and `_ipv6`."""
    if accepted.family == socket.AF_INET:
        data = accepted.getsockopt(socket.IPPROTO_IP, 80, 16)
        return socket.inet_ntop(socket.AF_INET, data[4:8]), struct.unpack("!H", data[2:4])[0]
    data = accepted.getsockopt(socket.IPPROTO_IPV6, 80, 28)
    return socket.inet_ntop(socket.AF_INET6, data[8:24]), struct.unpack("!H", data[2:4])[0]


def accept(listeners: list[socket.socket]) -> socket.socket:
    ready, _, _ = select.select(listeners, [], [], 5)
    assert ready, "nothing arrived at the listeners"
    accepted, _ = ready[0].accept()
    accepted.settimeout(5)
    return accepted


def idle(listeners: list[socket.socket]) -> bool:
    return not select.select(listeners, [], [], 0)[0]


def talk(address: str, port: int, protocol: int = 0) -> str:
    with socket.socket(family_of(address), socket.SOCK_STREAM, protocol) as dialling:
        dialling.settimeout(5)
        dialling.connect((address, port))
        dialling.sendall(b"ping")
        assert dialling.getpeername()[0] == address  # the client sees whom it dialled
        return dialling.recv(16).decode()


@pytest.mark.parametrize("port", [1, 22, 443, 853, 61443, 65535])
@pytest.mark.parametrize("address", [*ANY_IPV4, *ANY_IPV6[:2]])
def test_every_tcp_address_and_port_reaches_the_listener(address: str, port: int) -> None:
    jail = create(rootless=False)
    client = start(jail, lambda: talk(address, port))
    with accept(jail.tcp) as accepted:
        assert original_destination(accepted) == (address, port)
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert accepted.recv(16) == b"ping"
        accepted.sendall(b"pong")
        assert client.result() == "pong"
    jail.close()


@pytest.mark.parametrize("address", [*ANY_IPV4[:2], *ANY_IPV6])
def test_both_modes_capture_tcp(jail: Captive, address: str) -> None:
    client = start(jail, lambda: talk(address, 443))
    with accept(jail.tcp) as accepted:
        assert original_destination(accepted) == (address.removeprefix("::ffff:"), 443)
        accepted.sendall(accepted.recv(16))
        assert client.result() == "ping"


@pytest.mark.parametrize("address", OWN)
@pytest.mark.parametrize("port", [53, 443, 3000])
def test_the_agents_own_servers_are_untouched(jail: Captive, address: str, port: int) -> None:
    def serve_and_dial() -> str:
        with (
            socket.create_server((address, port), family=family_of(address)) as server,
            socket.create_connection((address, port), 5) as client,
        ):
            client.sendall(b"mine")
            accepted, _ = server.accept()
            with accepted:
                assert accepted.recv(16) == b"mine"
        with socket.socket(family_of(address), socket.SOCK_DGRAM) as server:
            server.settimeout(5)
            server.bind((address, port))
            with socket.socket(family_of(address), socket.SOCK_DGRAM) as client:
                client.sendto(b"datagram", (address, port))
            return server.recv(16).decode()

    assert inside(jail, serve_and_dial) == "datagram"
    assert idle(jail.tcp + jail.dns_udp + jail.dns_tcp)
    assert set(jail.read_refusals().values()) == {0}


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", nft.OWN_IPV4, nft.OWN_IPV6])
@pytest.mark.parametrize("port", [nft.TCP_PORT, nft.DNS_PORT, *nft.QUIC_PORTS.values()])
def test_our_listeners_cannot_be_dialled_directly(jail: Captive, address: str, port: int) -> None:
    outcome, seconds = inside(jail, lambda: attempt(address, port))
    assert (outcome, seconds < AT_ONCE) == ("ECONNREFUSED", True)
    outcome, seconds = inside(jail, lambda: attempt(address, port, socket.SOCK_DGRAM))
    assert (outcome, seconds < AT_ONCE) == ("EPERM", True)
    assert idle(jail.tcp + jail.dns_udp + jail.dns_tcp + jail.quic)
    refused = jail.read_refusals()
    ours = port in (nft.TCP_PORT, nft.DNS_PORT)  # else nobody listens, and that is the agent's own
    assert (refused["tcp"], refused["udp"]) == (int(ours), 1)


def answer_datagram(
    listeners: list[socket.socket],
    answer: Callable[[bytes], bytes] = lambda query: b"answer:" + query,
    asked: list[str] | None = None,
) -> bytes:
    """What serve/dns does: answer from the address that was asked, which `asked` is told."""
    ready, _, _ = select.select(listeners, [], [], 5)
    assert ready, "no query arrived"
    data, ancillary, _, peer = ready[0].recvmsg(4096, 256)
    ((level, kind, info),) = ancillary
    if asked is not None:
        ipv4 = level == socket.IPPROTO_IP
        asked.append(socket.inet_ntop(ready[0].family, info[8:12] if ipv4 else info[:16]))
    if level == socket.IPPROTO_IP:  # in_pktinfo: index, local address, header address; ip(7)
        info = struct.pack("=I4s4s", 0, info[8:12], b"\0" * 4)
    else:
        info = info[:16] + struct.pack("=I", 0)
    ready[0].sendmsg([answer(data)], [(level, kind, info)], 0, peer)
    return data


@pytest.mark.parametrize("connected", [True, False])
@pytest.mark.parametrize("resolver", ["198.18.0.1", "203.0.113.53", "2001:db8::53"])
def test_dns_over_udp_to_any_resolver(jail: Captive, resolver: str, connected: bool) -> None:
    def query() -> list[Any]:
        with socket.socket(family_of(resolver), socket.SOCK_DGRAM) as asking:
            asking.settimeout(5)
            if connected:
                asking.connect((resolver, 53))
                asking.send(b"query")
                return [asking.recv(64).decode(), resolver, 53]
            asking.sendto(b"query", (resolver, 53))
            data, peer = asking.recvfrom(64)
            return [data.decode(), *peer[:2]]

    client = start(jail, query)
    told: list[str] = []
    assert answer_datagram(jail.dns_udp, asked=told) == b"query"
    assert told == [resolver]
    assert client.result() == ["answer:query", resolver, 53]


@pytest.mark.parametrize("resolver", ["198.18.0.1", "203.0.113.53", "2001:db8::53"])
def test_dns_over_tcp_to_any_resolver(jail: Captive, resolver: str) -> None:
    client = start(jail, lambda: talk(resolver, 53))
    with accept(jail.dns_tcp) as accepted:
        assert original_destination(accepted) == (resolver, 53)
        accepted.sendall(accepted.recv(16))
        assert client.result() == "ping"
    assert idle(jail.tcp)


@pytest.mark.parametrize("address", [*ANY_IPV4[:2], *ANY_IPV6])
@pytest.mark.parametrize("port", [80, 123, *nft.QUIC_PORTS])
def test_udp_is_refused_at_once_and_counted(jail: Captive, address: str, port: int) -> None:
    outcome, seconds = inside(jail, lambda: attempt(address, port, socket.SOCK_DGRAM))
    assert outcome in {"EPERM", "EHOSTUNREACH", "EACCES"}
    assert seconds < AT_ONCE
    expected = {refusal.name: int(refusal.name == "udp") for refusal in nft.REFUSALS}
    assert jail.read_refusals() == expected


OPENING = bytes.fromhex("c3 00000001 08") + bytes(1194)
"""What begins like a client's first QUIC packet: 1200 bytes."""


def ask(address: str, port: int, *datagrams: bytes) -> list[Any]:
    """Send datagrams from one unconnected socket; the outcome, or the last answer and its place."""
    with socket.socket(family_of(address), socket.SOCK_DGRAM) as asking:
        asking.settimeout(5)
        try:
            for data in datagrams:
                asking.sendto(data, (address, port))
            answer, peer = asking.recvfrom(2048)
        except OSError as error:
            return [errno.errorcode[error.errno or 0]]
    return [answer.decode(), *peer[:2]]


@pytest.mark.parametrize("address", [*ANY_IPV4[:2], *ANY_IPV6[:2]])
@pytest.mark.parametrize("port", nft.QUIC_PORTS)
def test_quic_reaches_the_listener_of_its_port(jail: Captive, address: str, port: int) -> None:
    client = start(jail, lambda: ask(address, port, OPENING, b"later, of any form"))
    listeners = [sock for sock, dialled in zip(jail.quic, jail.quic_ports, strict=True)
                 if dialled == port]  # fmt: skip
    told: list[str] = []
    assert answer_datagram(listeners, lambda data: b"answer:%d" % len(data), told) == OPENING
    assert told == [address]
    assert client.result() == ["answer:1200", address, port]
    assert set(jail.read_refusals().values()) == {0}


@pytest.mark.parametrize(
    "data",
    [
        OPENING[:-1],
        b"\x43" + OPENING[1:],
        b"\x83" + OPENING[1:],
        b"\xc3\0\0\0\0" + OPENING[5:],
        b"\x16\xfe\xfd" + bytes(1300),
    ],
    ids=["short", "short header", "no fixed bit", "version negotiation", "DTLS"],
)
@pytest.mark.parametrize("address", ["203.0.113.9", "2001:db8::9"])
def test_what_does_not_open_quic_is_refused_on_its_ports(
    jail: Captive, address: str, data: bytes
) -> None:
    assert inside(jail, lambda: ask(address, 443, data)) == ["EPERM"]
    assert idle(jail.quic)
    assert jail.read_refusals()["udp"] == 1


@pytest.mark.parametrize("port", [80, 444, 8444])
def test_quic_elsewhere_is_refused_like_all_udp(jail: Captive, port: int) -> None:
    assert inside(jail, lambda: ask("203.0.113.9", port, OPENING)) == ["EPERM"]
    assert jail.read_refusals()["udp"] == 1


@pytest.mark.parametrize("address", ["224.0.0.251", "255.255.255.255", "ff02::fb"])
def test_quic_to_many_is_refused(jail: Captive, address: str) -> None:
    def send() -> str:
        with socket.socket(family_of(address), socket.SOCK_DGRAM) as sending:
            sending.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            try:
                sending.sendto(OPENING, (address, 443))
            except OSError as error:
                return errno.errorcode[error.errno or 0]
        return "sent"

    assert inside(jail, send) == "EPERM"
    assert idle(jail.quic)


@pytest.mark.parametrize("port", nft.NEIGHBOUR_PORTS)
@pytest.mark.parametrize("address", ["224.0.0.251", "224.0.0.252", "ff02::fb"])
def test_questions_to_neighbours_reach_the_listener_of_their_port(
    jail: Captive, address: str, port: int
) -> None:
    def send() -> int:
        with socket.socket(family_of(address), socket.SOCK_DGRAM) as sending:
            return sending.sendto(b"question", (address, port))

    assert inside(jail, send) == 8
    listeners = [sock for sock, dialled in zip(jail.quic, jail.quic_ports, strict=True)
                 if dialled == port]  # fmt: skip
    (listener,) = [sock for sock in listeners if sock.family == family_of(address)]
    listener.settimeout(5)
    assert listener.recv(100) == b"question"
    assert set(jail.read_refusals().values()) == {0}


@pytest.mark.parametrize("port", nft.NEIGHBOUR_PORTS)
def test_other_datagrams_to_their_ports_are_refused_like_all_udp(jail: Captive, port: int) -> None:
    assert inside(jail, lambda: ask("203.0.113.9", port, b"question")) == ["EPERM"]
    assert jail.read_refusals()["udp"] == 1


def test_an_icmp_error_tells_the_sender_why(jail: Captive) -> None:
    """A client that does not look at what send says still learns it from the error queue."""

    def errors() -> list[list[int]]:
        seen: list[list[int]] = []
        for address in ("203.0.113.9", "2001:db8::9"):
            level = socket.IPPROTO_IPV6 if ":" in address else socket.IPPROTO_IP
            option = 25 if ":" in address else 11  # IPV6_RECVERR, IP_RECVERR
            with socket.socket(family_of(address), socket.SOCK_DGRAM) as sending:
                sending.setsockopt(level, option, 1)
                with pytest.raises(PermissionError):
                    sending.sendto(b"x", (address, 443))
                select.select([], [], [sending], 2)
                _, ancillary, _, _ = sending.recvmsg(64, 512, socket.MSG_ERRQUEUE)
                number, origin, kind, code = struct.unpack_from("=IBBB", ancillary[0][2])
                seen.append([number, origin, kind, code])
        return seen

    # sock_extended_err: origin 2 is ICMP, 3 is ICMPv6; 3/13 and 1/1: administratively prohibited
    assert inside(jail, errors) == [[errno.EHOSTUNREACH, 2, 3, 13], [errno.EACCES, 3, 1, 1]]


def asked_types(jail: Captive, hosts: Path) -> set[int]:
    """Query types that getaddrinfo(3) with AI_ADDRCONFIG sends for one name."""
    real = Path("/etc/resolv.conf").resolve()
    if not real.exists():
        pytest.skip("this machine has no resolv.conf to cover")

    def lookup() -> str:
        namespaces.unshare(Namespace.MOUNT)
        private = namespaces.MountFlag.PRIVATE | namespaces.MountFlag.REC
        namespaces.mount(None, "/", None, private)
        namespaces.mount(str(hosts), str(real), None, namespaces.MountFlag.BIND)
        try:
            socket.getaddrinfo("asked.example", 443, flags=socket.AI_ADDRCONFIG)
        except socket.gaierror:
            return "no such name"
        return "found"

    client = start(jail, lookup)
    asked = set()
    waiting: list[Any] = [*jail.dns_udp, client.reader]
    while select.select(waiting, [], [], 10)[0] != [client.reader]:
        data = answer_datagram(jail.dns_udp, lambda query: query[:2] + b"\x81\x83" + query[4:])
        end = data.index(b"\0", 12)  # QNAME, QTYPE; RFC 1035 4.1.2
        asked.add(int.from_bytes(data[end + 1 : end + 3], "big"))
    assert client.result() == "no such name"
    return asked


def test_address_lookup_asks_for_ipv4_and_ipv6(tmp_path: Path) -> None:
    resolver = tmp_path / "resolv.conf"
    resolver.write_text("nameserver 198.18.0.1\n")
    both = create(rootless=False)
    assert asked_types(both, resolver) == {1, 28}  # A, AAAA
    both.close()
    only_ipv4 = create(rootless=False, ipv6=False)  # control: AI_ADDRCONFIG does look
    assert asked_types(only_ipv4, resolver) == {1}
    only_ipv4.close()


def test_there_is_no_link_and_no_route_that_leads_out(jail: Captive) -> None:
    def ip(*arguments: str) -> Any:
        return json.loads(
            subprocess.run(["ip", "-j", *arguments], capture_output=True, check=True).stdout or "[]"
        )

    def configuration() -> list[Any]:
        return [
            [link["ifname"] for link in ip("link")],
            [[r.get("type"), r["dev"]] for r in ip("-4", "route", "show", "table", "all")],
            [[r.get("type"), r["dev"]] for r in ip("-6", "route", "show", "table", "all")],
            [r["type"] for r in ip("-4", "route", "show", "table", "all") if r["dst"] == "default"],
            [r["type"] for r in ip("-6", "route", "show", "table", "all") if r["dst"] == "default"],
            [
                Path("/proc/sys/net", path).read_text().strip()
                for path in ("ipv4/ip_forward", "ipv6/conf/all/forwarding")
            ],
        ]

    links, routes4, routes6, default4, default6, forwarding = inside(jail, configuration)
    assert links == ["lo"]
    assert {device for _, device in routes4 + routes6} == {"lo"}
    assert (default4, default6) == (["local"], ["local"])
    assert forwarding == ["0", "0"]


def oracle_namespace() -> Inside:
    """A namespace where every address answers: the outside that nothing may reach."""

    def serve() -> list[str]:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        subprocess.run(["ip", "route", "add", "local", "0.0.0.0/0", "dev", "lo"], check=True)
        subprocess.run(["ip", "-6", "route", "add", "local", "::/0", "dev", "lo"], check=True)
        with (
            socket.create_server(("::", 443), family=socket.AF_INET6, dualstack_ipv6=True) as tcp,
            socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as udp,
        ):
            udp.bind(("::", 443))
            Path("/proc/self/comm").write_text("oracle-ready")
            seen: list[str] = []
            while True:
                for ready in select.select([tcp, udp], [], [])[0]:
                    if ready is udp:
                        data = udp.recv(64)
                        if data == b"stop":
                            return seen
                    else:
                        accepted, _ = tcp.accept()
                        with accepted:
                            accepted.settimeout(1)
                            data = accepted.recv(64)
                    seen.append(data.decode())

    network = os.open("/proc/self/ns/net", os.O_RDONLY)

    def unshared() -> list[str]:
        namespaces.unshare(Namespace.NET)
        return serve()

    running = Inside(network, None, unshared)
    os.close(network)
    deadline = time.monotonic() + 5
    while Path(f"/proc/{running.child}/comm").read_text().strip() != "oracle-ready":
        assert time.monotonic() < deadline, "the oracle did not start"
        time.sleep(0.01)
    return running


EVERYWHERE = [
    *((address, kind) for address in (*ANY_IPV4, *ANY_IPV6) for kind in ("tcp", "udp")),
    ("fe80::1%lo", "udp"),
    ("fe80::1%lo", "tcp"),
    ("ff02::fb%lo", "udp"),
    ("224.0.0.251", "udp"),
    ("255.255.255.255", "udp"),
]


def try_everywhere(mark: bytes) -> int:
    """Send `mark` to each of `EVERYWHERE`; how many sends and connects the kernel took."""
    taken = 0
    for address, kind in EVERYWHERE:
        target = socket.getaddrinfo(address, 443, type=socket.SOCK_STREAM)[0][4]
        number = socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM
        with socket.socket(family_of(address), number) as sending:
            sending.settimeout(0.3)
            sending.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            try:
                sending.connect(target)
                sending.send(mark)
                taken += 1
            except OSError:
                pass
    return taken


@pytest.mark.parametrize("rules", ["kept", "flushed"])
def test_nothing_reaches_an_outside_that_listens_everywhere(jail: Captive, rules: str) -> None:
    oracle = oracle_namespace()
    outside = os.open(f"/proc/{oracle.child}/ns/net", os.O_RDONLY)
    if rules == "flushed":
        flush(jail)
        for listener in jail.tcp:
            listener.close()
    taken = inside(jail, lambda: try_everywhere(b"captive"))
    if rules == "kept":  # what was taken went to our listeners, where an interceptor would decide
        assert taken >= len([*ANY_IPV4, *ANY_IPV6])
        assert not idle(jail.tcp)

    def stop() -> None:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sending:
            sending.sendto(b"stop", ("::1", 443))

    try:
        Inside(outside, None, lambda: try_everywhere(b"control")).result()
        Inside(outside, None, stop).result()
    finally:
        os.close(outside)
    seen = oracle.result()
    assert seen.count("control") >= 2 * len([*ANY_IPV4, *ANY_IPV6])
    assert "captive" not in seen


def flush(jail: Captive) -> None:
    def run() -> None:
        namespaces.keep_over_exec(namespaces.CAP_NET_ADMIN)
        subprocess.run(["/usr/sbin/nft", "flush", "ruleset"], check=True)

    inside(jail, run)


@pytest.mark.parametrize("address", ["203.0.113.9", "2001:db8::9", "198.18.0.77"])
def test_without_rules_there_is_only_connection_refused(jail: Captive, address: str) -> None:
    flush(jail)
    for port in (22, 53, 443):
        outcome, seconds = inside(jail, lambda port=port: attempt(address, port))  # type: ignore[misc]
        assert (outcome, seconds < AT_ONCE) == ("ECONNREFUSED", True)
        outcome, seconds = inside(
            jail,
            lambda port=port: attempt(address, port, socket.SOCK_DGRAM),  # type: ignore[misc]
        )
        assert (outcome, seconds < AT_ONCE) == ("ECONNREFUSED", True)
    with pytest.raises(CaptiveError, match="refusals failed"):
        jail.read_refusals()


@pytest.mark.parametrize("address", ["203.0.113.9", "2001:db8::9"])
def test_closed_listeners_mean_refused_at_once(jail: Captive, address: str) -> None:
    for listener in (*jail.tcp, *jail.dns_tcp, *jail.dns_udp):
        listener.close()
    for port in (53, 443):
        outcome, seconds = inside(jail, lambda port=port: attempt(address, port))  # type: ignore[misc]
        assert (outcome, seconds < AT_ONCE) == ("ECONNREFUSED", True)
    outcome, seconds = inside(jail, lambda: attempt(address, 53, socket.SOCK_DGRAM))
    assert (outcome, seconds < AT_ONCE) == ("ECONNREFUSED", True)


def test_multipath_tcp_ends_at_the_listener_too(jail: Captive) -> None:
    protocol = 262  # IPPROTO_MPTCP

    def available() -> bool:
        try:
            socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol).close()
        except OSError:
            return False
        return True

    if not inside(jail, available):
        pytest.skip("this kernel has no MPTCP")
    client = start(jail, lambda: talk("203.0.113.9", 443, protocol))
    with accept(jail.tcp) as accepted:
        assert original_destination(accepted) == ("203.0.113.9", 443)
        accepted.sendall(accepted.recv(16))
        assert client.result() == "ping"


@pytest.mark.parametrize(("own", "other"), [("127.0.0.1", "203.0.113.9"), ("::1", "2001:db8::9")])
def test_raw_packets_are_refused_and_counted_even_for_root_inside(
    jail: Captive, own: str, other: str
) -> None:
    def send() -> list[Any]:
        with socket.socket(family_of(own), socket.SOCK_RAW, 253) as raw:  # RFC 3692 experiments
            raw.settimeout(2)
            raw.bind((own, 0))
            raw.sendto(b"self", (own, 0))
            control = raw.recv(2048)[-4:].decode()
        outcomes = []
        icmp = socket.IPPROTO_ICMPV6 if ":" in own else socket.IPPROTO_ICMP
        for protocol, data in (
            (253, b"leak"),
            (icmp, bytes([128 if ":" in own else 8]) + b"\0" * 7),
        ):
            with socket.socket(family_of(own), socket.SOCK_RAW, protocol) as raw:
                try:
                    raw.sendto(data, (other, 0))
                    outcomes.append("sent")
                except OSError as error:
                    outcomes.append(errno.errorcode[error.errno or 0])
        return [control, outcomes]

    assert inside(jail, send) == ["self", ["EPERM", "EPERM"]]
    refused = jail.read_refusals()
    assert (refused["other"], refused["icmp"]) == (1, 1)


def test_sctp_has_no_path(jail: Captive) -> None:
    outcome, seconds = inside(
        jail, lambda: attempt("203.0.113.9", 443, socket.SOCK_STREAM, socket.IPPROTO_SCTP)
    )
    assert outcome != "ok"
    assert seconds < AT_ONCE


def test_a_user_without_rights_makes_the_same_namespace() -> None:
    def as_nobody() -> list[Any]:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        made = create(rootless=True)
        captured = start(made, lambda: talk("203.0.113.9", 443))
        with accept(made.tcp) as accepted:
            destination = original_destination(accepted)
            accepted.sendall(accepted.recv(16))
        refused = inside(made, lambda: attempt("203.0.113.9", 443, socket.SOCK_DGRAM))
        owner = inside(made, os.getuid)
        return [captured.result(), destination, refused[0], made.read_refusals(), owner]

    network = os.open("/proc/self/ns/net", os.O_RDONLY)
    said, destination, refused, counters, owner = Inside(network, None, as_nobody).result()
    os.close(network)
    assert (said, destination, refused) == ("ping", ["203.0.113.9", 443], "EPERM")
    assert counters["udp"] == 1
    assert owner == 65534


def test_without_ipv6_the_agent_finds_it_unreachable() -> None:
    jail = create(rootless=False, ipv6=False)
    assert [len(jail.tcp), len(jail.dns_udp), len(jail.dns_tcp)] == [1, 1, 1]
    assert jail.quic_ports == (*nft.QUIC_PORTS, *nft.NEIGHBOUR_PORTS)
    assert len(jail.quic) == len(jail.quic_ports)
    assert inside(jail, lambda: attempt("2001:db8::9", 443))[0] == "ENETUNREACH"
    client = start(jail, lambda: talk("203.0.113.9", 443))
    with accept(jail.tcp) as accepted:
        accepted.sendall(accepted.recv(16))
    assert client.result() == "ping"
    jail.close()


def host_state() -> dict[str, str]:
    """Everything of this machine's own network that a captive namespace might touch."""
    commands = {
        "links": ["ip", "-o", "link"],
        "addresses": ["ip", "-o", "address"],
        "routes4": ["ip", "-4", "route", "show", "table", "all"],
        "routes6": ["ip", "-6", "route", "show", "table", "all"],
        "rules": ["ip", "rule"],
        "nft": ["nft", "list", "ruleset"],
        "mounts": ["cat", "/proc/self/mountinfo"],
        "sysctls": ["sysctl", "net.ipv4.ip_forward", "net.ipv4.ping_group_range"],
    }
    state = {
        name: subprocess.run(command, capture_output=True, text=True, check=False).stdout
        for name, command in commands.items()
    }
    names = Path("/run/netns")
    state["names"] = repr(sorted(names.iterdir())) if names.exists() else "absent"
    return state


def test_the_host_is_untouched_while_it_lives_and_after(jail: Captive) -> None:
    jail.close()
    before = host_state()
    assert "lo" in before["links"]
    rootless = create(rootless=True)
    with_rights = create(rootless=False)
    during = host_state()
    inside(with_rights, lambda: attempt("203.0.113.9", 443, socket.SOCK_DGRAM))
    rootless.close()
    with_rights.close()
    assert during == before
    assert host_state() == before
    # control: the same look at the inside of a captive namespace does see a difference
    other = create(rootless=False)
    assert inside(other, host_state)["nft"] != before["nft"]
    other.close()


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def namespaces_alive() -> set[str]:
    found = set()
    for process in Path("/proc").glob("[0-9]*/ns/net"):
        try:
            found.add(str(process.readlink()))
        except OSError:
            continue
    return found


def children() -> str:
    """Pids of this process's children; the lab of other tests may be among them."""
    return Path("/proc/thread-self/children").read_text("ascii")


def test_nothing_remains_after_close() -> None:
    offspring = children()
    before = descriptors()
    jail = create(rootless=True)
    inode = os.fstat(jail.namespace_fd).st_ino
    jail.close()
    jail.close()
    assert descriptors() == before
    assert f"net:[{inode}]" not in namespaces_alive()
    assert children() == offspring


def test_broken_rules_are_an_error_that_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    before = descriptors()
    monkeypatch.setattr(nft, "transaction", lambda _: "table inet egressguard { broken }")
    with pytest.raises(CaptiveError, match="syntax error") as caught:
        create(rootless=False)
    assert (caught.value.step, caught.value.fix) == ("rules", remedies.LOAD_NFT)
    assert descriptors() == before


def test_missing_nft_names_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(remedies, "SYSTEM_PATH", str(tmp_path))
    with pytest.raises(CaptiveError, match="apt-get install nftables") as caught:
        create(rootless=False)
    assert caught.value.step == "nft"


def test_missing_rights_say_sudo() -> None:
    def as_nobody() -> str:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        try:
            create(rootless=False)
        except CaptiveError as error:
            return f"{error.step}|{error}"
        return "made"

    network = os.open("/proc/self/ns/net", os.O_RDONLY)
    said = Inside(network, None, as_nobody).result()
    os.close(network)
    assert said.startswith("namespace|")
    assert "unshare(NET): Operation not permitted" in said
    assert "sudo" in said


def test_a_child_that_hangs_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    offspring = children()
    monkeypatch.setattr(maker.Maker, "make", lambda self: time.sleep(60))
    begin = time.monotonic()
    with pytest.raises(CaptiveError, match=r"time limit failed: no answer after 0\.2 s"):
        create(rootless=False, timeout=0.2)
    assert time.monotonic() - begin < 2
    assert children() == offspring


def test_a_child_that_is_killed_is_an_error() -> None:
    preparation = Preparation(rootless=False)
    os.kill(preparation._child, signal.SIGKILL)
    with pytest.raises(CaptiveError, match="was killed"):
        preparation.finish()


def test_the_child_dies_with_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    """kill -9 of the supervisor in the middle of the set-up."""
    monkeypatch.setattr(maker.Maker, "_configure", lambda *_: time.sleep(60))
    reader, writer = os.pipe()
    supervisor = os.fork()
    if supervisor == 0:
        preparation = Preparation(rootless=True)
        os.write(writer, str(preparation._child).encode())
        time.sleep(60)
        os._exit(0)
    os.close(writer)
    child = int(os.read(reader, 32))
    os.close(reader)
    handle = os.pidfd_open(child)
    own = Path("/proc/self/ns/net").readlink()
    deadline = time.monotonic() + 5
    while Path(f"/proc/{child}/ns/net").readlink() == own:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.05)  # past the request for the signal
    os.kill(supervisor, signal.SIGKILL)
    os.waitpid(supervisor, 0)
    ended = select.select([handle], [], [], 5)[0]
    os.close(handle)
    assert ended, "the child outlived its parent"


def test_set_up_takes_less_than_fifty_milliseconds() -> None:
    for rootless in (False, True):
        seconds = []
        for _ in range(5):
            jail = create(rootless=rootless)
            seconds.append(jail.seconds)
            jail.close()
        assert statistics.median(seconds) < 0.05, seconds


def test_doctor_leaves_the_host_as_it_was_and_finds_what_is_here() -> None:
    before, open_before = host_state(), descriptors()
    features = {feature.name: feature for feature in probe.probe()}
    assert host_state() == before
    assert descriptors() == open_before
    assert features[probe.CAPTIVE_ROOT].present
    assert "ready in" in features[probe.CAPTIVE_ROOT].detail
    assert probe.choose(list(features.values()), root=True).runs


def test_doctor_says_what_mends_a_missing_nft(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(remedies, "SYSTEM_PATH", str(tmp_path))
    features = probe.probe()
    found = {feature.name: feature for feature in features}
    assert not found["nft"].present
    assert found["nft"].fix == "sudo apt-get install nftables"
    assert found[probe.CAPTIVE_ROOT].fix == "sudo apt-get install nftables"
    assert found["bubblewrap"].fix == "sudo apt-get install bubblewrap"
    assert not probe.choose(features, root=True).runs
