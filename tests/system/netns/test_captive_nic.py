"""A captive namespace with a NIC in it: what a guest's packets reach, and what they do not."""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import resource
import select
import signal
import socket
import struct
import subprocess
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from netns import anyip, guard, link_messages, namespaces, nft, tap
from netns.adoption import Orphan, adopt
from netns.captive import Captive, create
from netns.namespaces import Namespace
from netns.nic import GATEWAY_MAC, Kind, Nic, mac_of
from netns.packets import Sighting
from netns.shared_guard import SharedGuard

pytestmark = [pytest.mark.lab, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

MAC = mac_of("guest")
ANY_IPV4 = ["198.18.0.77", "198.18.77.77", "203.0.113.9", "10.0.0.1", "169.254.169.254"]
ANY_IPV6 = ["2001:db8::9", "fd65:6772:6573:7300::77", "fd65:6772:6573:7301::77"]


class Guest(NamedTuple):
    """A network namespace whose only link leads into a captive one."""

    jail: Captive
    network: int

    def inside(self, task: Callable[[], Any], network: int = -1) -> Any:
        """What `task` returns in the guest's namespace."""
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                signal.alarm(20)
                namespaces.setns(self.network if network < 0 else network, Namespace.NET)
                answer = {"value": task()}
            except BaseException:  # noqa: BLE001 - carried to the parent
                answer = {"error": traceback.format_exc()}
            os.write(writer, json.dumps(answer).encode())
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader, "rb") as stream:
            answer = json.loads(stream.read() or b'{"error": "child was killed"}')
        os.waitpid(child, 0)
        assert "error" not in answer, answer["error"]
        return answer["value"]


def empty_namespace() -> int:
    """A descriptor of a new network namespace."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        namespaces.unshare(Namespace.NET)
        os.write(writer, b"x")
        signal.pause()
    os.read(reader, 1)
    found = os.open(f"/proc/{child}/ns/net", os.O_RDONLY)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reader)
    os.close(writer)
    return found


@pytest.fixture
def guest() -> Iterator[Guest]:
    network = empty_namespace()
    jail = create(rootless=False, nic=Nic(Kind.VETH, MAC, peer=network))
    yield Guest(jail, network)
    jail.close()
    os.close(network)


def family_of(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def dial(address: str, port: int, kind: int = socket.SOCK_STREAM) -> str:
    """Dial and, for datagrams, send: `ok`, `timeout`, or the errno's name."""
    try:
        with socket.socket(family_of(address), kind) as dialling:
            dialling.settimeout(2)
            dialling.connect((address, port))
            if kind == socket.SOCK_DGRAM:
                dialling.send(b"x")
                dialling.recv(1)
    except TimeoutError:
        return "timeout"
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, repr(error))
    return "ok"


def original_destination(accepted: socket.socket) -> tuple[str, int]:
    if accepted.family == socket.AF_INET:
        data = accepted.getsockopt(socket.IPPROTO_IP, 80, 16)
        return socket.inet_ntop(socket.AF_INET, data[4:8]), struct.unpack("!H", data[2:4])[0]
    data = accepted.getsockopt(socket.IPPROTO_IPV6, 80, 28)
    return socket.inet_ntop(socket.AF_INET6, data[8:24]), struct.unpack("!H", data[2:4])[0]


def accepted_from(listeners: list[socket.socket]) -> list[tuple[str, int]]:
    """What waits at the listeners, as it was dialled."""
    found = []
    while ready := select.select(listeners, [], [], 0.2)[0]:
        for listener in ready:
            with listener.accept()[0] as accepted:
                found.append(original_destination(accepted))
    return found


def test_every_address_and_port_reaches_the_listener(guest: Guest) -> None:
    wanted = [(address, port) for address in (*ANY_IPV4, *ANY_IPV6) for port in (1, 443, 61443)]
    assert guest.inside(lambda: [dial(*place) for place in wanted]) == ["ok"] * len(wanted)
    assert sorted(accepted_from(guest.jail.tcp)) == sorted(wanted)
    assert guest.inside(lambda: dial("203.0.113.9", 53)) == "ok"
    assert accepted_from(guest.jail.dns_tcp) == [("203.0.113.9", 53)]


def test_questions_of_names_arrive_and_are_answered(guest: Guest) -> None:
    from interceptor.serve.datagrams import answer_from, received

    places = ["198.18.0.1", "203.0.113.9", "2001:db8::53", "fd65:6772:6573:7301::1"]

    def ask() -> list[str]:
        said = []
        for place in places:
            with socket.socket(family_of(place), socket.SOCK_DGRAM) as asking:
                asking.settimeout(5)
                asking.connect((place, 53))
                asking.send(b"who")
                said.append(asking.recv(64).decode())
        return said

    child = os.fork()
    if child == 0:
        buffer = bytearray(512)
        while True:
            for sock in select.select(guest.jail.dns_udp, [], [])[0]:
                for data, address, interface, sender in received(sock, buffer, 4):
                    answer = data + address.encode()
                    sock.sendmsg([answer], answer_from(address, interface), 0, sender)
    try:
        assert guest.inside(ask) == [f"who{place}" for place in places]
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_all_else_is_refused_at_once_and_counted(guest: Guest) -> None:
    def attempts() -> list[str]:
        datagrams = [dial(place, 4444, socket.SOCK_DGRAM) for place in ("9.9.9.9", "2001:db8::1")]
        begin = time.monotonic()
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, 47) as raw:
            raw.sendto(bytes(20), ("9.9.9.9", 0))
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
            raw.sendto(b"\x08\x00\xf7\xff" + bytes(4), ("9.9.9.9", 0))
        assert time.monotonic() - begin < 5
        return datagrams

    assert guest.inside(attempts) == ["EHOSTUNREACH", "EACCES"]  # RFC 1122 3.2.2.1, RFC 4443 3.1
    counts = guest.jail.read_refusals()
    assert counts["udp"] == 2
    assert counts["icmp"] == 1
    assert counts["other"] >= 1
    assert counts["spoofed"] == 0


def _dials(address: str, ports: Sequence[int], kind: int = socket.SOCK_STREAM) -> list[str]:
    return [dial(address, port, kind) for port in ports]


def test_our_listeners_cannot_be_dialled(guest: Guest) -> None:
    ports = (nft.TCP_PORT, nft.DNS_PORT)
    for gateway in ("198.18.0.1", "fd65:6772:6573:7301::1"):
        outcomes = guest.inside(functools.partial(_dials, gateway, ports))
        # The listener for TCP is where all of it goes: only its own port is not redirected.
        assert outcomes[0] == "ECONNREFUSED"
        datagrams = (nft.DNS_PORT, *nft.QUIC_PORTS.values(), *nft.NEIGHBOUR_PORTS.values())
        said = guest.inside(functools.partial(_dials, gateway, datagrams, socket.SOCK_DGRAM))
        assert set(said) <= {"EHOSTUNREACH", "EACCES"}
    assert all(port != nft.TCP_PORT for _, port in accepted_from(guest.jail.tcp))
    assert not select.select(guest.jail.dns_udp + guest.jail.quic + guest.jail.dns_tcp, [], [], 0)[
        0
    ]


def frame(source: str, protocol: int, packet: bytes, to: str = GATEWAY_MAC) -> bytes:
    octets = [bytes.fromhex(mac.replace(":", "")) for mac in (to, source)]
    return b"".join(octets) + protocol.to_bytes(2, "big") + packet


def syn(source: str, target: str) -> bytes:
    """IPv4 and TCP, from one's own hand: RFC 791, RFC 9293. No checksum is left out."""

    def checksum(data: bytes) -> bytes:
        total = sum(struct.unpack(f"!{len(data) // 2}H", data))
        total = (total & 0xFFFF) + (total >> 16)
        return struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF)

    ends = socket.inet_aton(source) + socket.inet_aton(target)
    segment = struct.pack("!HHIIBBHHH", 4000, 443, 1, 0, 0x50, 2, 1024, 0, 0)
    pseudo = ends + struct.pack("!BBH", 0, 6, len(segment))
    segment = segment[:16] + checksum(pseudo + segment) + segment[18:]
    head = struct.pack("!BBHHHBBH", 0x45, 0, 40, 7, 0, 64, 6, 0) + ends
    return head[:10] + checksum(head) + head[12:] + segment


def accepted_syn(cable: int) -> str:
    """Flags of the first TCP segment that comes out of a tap, behind a virtio header."""
    while select.select([cable], [], [], 3)[0]:
        answer = os.read(cable, 2048)
        if answer[22:24] == b"\x08\x00" and answer[10 + 14 + 9] == 6:
            return f"{answer[10 + 14 + 20 + 13]:#x}"
    return "none"


def _send_frames(*frames: bytes) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind(("eth0", 0))
        for each in frames:
            wire.send(each)


def test_a_guest_has_its_own_addresses_only(guest: Guest) -> None:
    honest = frame(MAC, 0x0800, syn("198.18.0.10", "203.0.113.9"))
    spoofed = [
        frame("02:65:67:aa:bb:cc", 0x0800, syn("198.18.0.10", "203.0.113.9")),
        frame(MAC, 0x0800, syn("198.18.0.11", "203.0.113.9")),
        frame(MAC, 0x0800, syn("198.18.0.1", "203.0.113.9")),
        frame(MAC, 0x0800, syn("127.0.0.1", "203.0.113.9")),
        frame(MAC, 0x0800, syn("9.9.9.9", "203.0.113.9")),
    ]

    def half_open() -> str:
        return subprocess.run(
            ["ss", "-Htan"], capture_output=True, text=True, check=True
        ).stdout  # fmt: skip

    guest.inside(lambda: _send_frames(*spoofed))
    assert guest.jail.read_refusals()["spoofed"] == len(spoofed)
    inside = guest.jail.namespace_fd
    assert "SYN-RECV" not in guest.inside(half_open, inside)
    guest.inside(lambda: _send_frames(honest))  # the control: the same by its own name
    assert guest.jail.read_refusals()["spoofed"] == len(spoofed)


def test_more_addresses_than_a_guest_has_are_refused(guest: Guest) -> None:
    """A guest may choose addresses in its /64, but not fill the kernel's table of neighbours."""

    def many() -> int:
        reached = 0
        for number in range(40):
            address = f"fd65:6772:6573:7301::1:{number:x}"
            subprocess.run(
                ["ip", "addr", "add", f"{address}/64", "dev", "eth0", "nodad"], check=True
            )
            with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as dialling:
                dialling.settimeout(0.3)
                dialling.bind((address, 0))
                with contextlib.suppress(OSError):
                    dialling.connect(("2001:db8::9", 443))
                    reached += 1
        return reached

    reached = guest.inside(many)
    assert 8 <= reached <= 16
    assert guest.jail.read_refusals()["spoofed"] > 0


def test_nothing_is_forwarded(guest: Guest) -> None:
    """With a second link in the namespace, which we never make: packets do not go on to it."""

    def settings() -> list[str]:
        names = ("ipv4/ip_forward", "ipv4/conf/nic0/forwarding", "ipv6/conf/all/forwarding",
                 "ipv4/conf/all/accept_redirects", "ipv6/conf/nic0/accept_redirects",
                 "ipv6/conf/nic0/accept_ra")  # fmt: skip
        return [Path("/proc/sys/net", name).read_text("ascii").strip() for name in names]

    assert guest.inside(settings, guest.jail.namespace_fd) == ["0"] * 6

    def second_link() -> None:
        for command in ("link add wan0 type veth peer name wan1", "link set wan0 up",
                        "link set wan1 up", "addr add 203.0.113.1/24 dev wan0",
                        "route add 9.9.9.0/24 via 203.0.113.9 dev wan0",
                        "neigh add 203.0.113.9 lladdr 02:00:00:00:00:09 dev wan0",
                        "addr add 2d00:9::1/64 dev wan0 nodad",
                        "-6 route add 2d00:99::/32 via 2d00:9::9 dev wan0",
                        "neigh add 2d00:9::9 lladdr 02:00:00:00:00:09 dev wan0"):  # fmt: skip
            subprocess.run(["ip", *command.split()], check=True)

    guest.inside(second_link, guest.jail.namespace_fd)
    with _sniffer(guest.jail.namespace_fd, "wan1") as wire:
        for place in ("9.9.9.9", "2d00:99::1"):
            guest.inside(functools.partial(dial, place, 4444, socket.SOCK_DGRAM))
            guest.inside(functools.partial(dial, place, 25))
        assert _targets(wire) == set()

        def own() -> None:  # the control: what this namespace itself sends is seen
            for family, place in ((socket.AF_INET, "203.0.113.9"), (socket.AF_INET6, "2d00:9::9")):
                with (
                    socket.socket(family, socket.SOCK_RAW, 200) as raw,
                    contextlib.suppress(OSError),
                ):
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"wan0")
                    raw.sendto(b"x", (place, 0))

        subprocess_rules = ["nft", "flush", "ruleset"]
        guest.inside(
            lambda: bool(subprocess.run(subprocess_rules, check=True)), guest.jail.namespace_fd
        )
        for place in ("9.9.9.9", "2d00:99::1"):
            guest.inside(functools.partial(dial, place, 4444, socket.SOCK_DGRAM))
        assert _targets(wire) == set()  # without rules neither
        guest.inside(own, guest.jail.namespace_fd)
        assert _targets(wire) == {"203.0.113.9", "2d00:9::9"}


def _sniffer(namespace: int, device: str) -> socket.socket:
    """A packet socket on a device of another network namespace."""
    made: list[socket.socket] = []

    def make() -> None:
        namespaces.setns(namespace, Namespace.NET)  # of this thread only
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
        wire.bind((device, 3))
        wire.settimeout(0.3)
        made.append(wire)

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    return made[0]


def _targets(wire: socket.socket) -> set[str]:
    """Unicast addresses that packets on the wire were for, as far as they have come."""
    found = set()
    with contextlib.suppress(TimeoutError):
        while packet := wire.recv(2048):
            if packet[0] >> 4 == 4 and packet[16] < 224:
                found.add(socket.inet_ntop(socket.AF_INET, packet[16:20]))
            elif packet[0] >> 4 == 6 and packet[24] != 0xFF:
                found.add(socket.inet_ntop(socket.AF_INET6, packet[24:40]))
    return found


@pytest.mark.skipif(not os.path.exists("/dev/net/tun"), reason="no tun driver")  # noqa: PTH110
@pytest.mark.parametrize("rootless", [False, True])
def test_a_tap_is_made_inside_and_ends_with_its_holder(rootless: bool) -> None:
    def make() -> list[str]:
        if rootless:
            _device_for_everybody()
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            anyip.load_messages(links=True)
        jail = create(rootless=rootless, nic=Nic(Kind.TAP, MAC))
        assert jail.tap_fd >= 0
        assert os.get_inheritable(jail.tap_fd) is False
        # A virtio header, then a frame: a SYN by hand comes to the listener's queue.
        os.write(jail.tap_fd, bytes(10) + frame(MAC, 0x0800, syn("198.18.0.10", "203.0.113.9")))
        flags = accepted_syn(jail.tap_fd)
        network, user = jail.namespace_fd, jail.user_namespace_fd
        jail.close_tap()
        if user is not None:
            namespaces.enter(network, user)
        else:
            namespaces.setns(network, Namespace.NET)
        return [flags, *sorted(name for _, name in socket.if_nameindex())]

    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            said = make()
        except BaseException:  # noqa: BLE001
            said = [traceback.format_exc()]
        os.write(writer, json.dumps(said).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        said = json.loads(stream.read())
    os.waitpid(child, 0)
    assert said == ["0x12", "lo"]  # SYN and ACK; and no link any more


def _device_for_everybody() -> None:
    """As most systems have it: /dev/net/tun with mode 0666, in a mount namespace of our own."""
    namespaces.unshare(Namespace.MOUNT)
    namespaces.mount(None, "/", flags=namespaces.MountFlag.REC | namespaces.MountFlag.PRIVATE)
    namespaces.mount("tmpfs", "/dev/net", "tmpfs")
    os.mknod("/dev/net/tun", 0o020666, os.makedev(10, 200))
    os.chmod("/dev/net/tun", 0o666)  # noqa: PTH101, S103


def test_a_link_that_exists_is_taken_in(guest: Guest) -> None:
    """In a throw-away namespace that plays the host."""

    def host() -> list[str]:
        modules = anyip.load_messages(links=True)
        made = Nic(Kind.VETH, MAC, peer_name="guest0")
        anyip.apply(link_messages.pair(modules, made))
        subprocess.run(["ip", "link", "set", "nic0", "name", "vnet7"], check=True)
        jail = create(rootless=False, nic=Nic(Kind.VETH, MAC, existing="vnet7"))
        assert jail.tap_fd == -1
        left = sorted(name for _, name in socket.if_nameindex())
        namespaces.setns(jail.namespace_fd, Namespace.NET)
        return left + sorted(name for _, name in socket.if_nameindex())

    network = empty_namespace()
    assert guest.inside(host, network) == ["guest0", "lo", "lo", "nic0"]
    os.close(network)


def test_a_guest_that_asks_for_its_router_hears_that_it_is_one(guest: Guest) -> None:
    """Or it forgets its way to everywhere (RFC 4861 section 7.3.3); nothing is forwarded for it."""

    def asking() -> int:
        index = socket.if_nametoindex("eth0")
        target = socket.inet_pton(socket.AF_INET6, "fe80::1")
        question = b"\x87" + bytes(7) + target + b"\1\1" + bytes.fromhex(MAC.replace(":", ""))
        with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as raw:
            raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 255)
            raw.settimeout(5)
            raw.sendto(question, ("fe80::1", 0, 0, index))
            while (answer := raw.recv(200))[0] != 136 or answer[8:24] != target:
                pass
        return answer[4] & 0x80

    assert guest.inside(asking) == 0x80

    def settings() -> list[str]:
        folder = Path("/proc/sys/net/ipv6/conf")
        return [(folder / link / "forwarding").read_text("ascii").strip()
                for link in ("all", "default", "lo")]  # fmt: skip

    assert guest.inside(settings, guest.jail.namespace_fd) == ["0", "0", "0"]


def test_the_guard_names_what_a_guest_sends(guest: Guest) -> None:
    pytest.importorskip("netfilterqueue")
    nic = guest.jail.nic
    assert nic is not None
    watch = guard.Guard(guest.jail.namespace_fd, None, 61_999, nic)
    try:
        watch_backend = watch.ready()
        assert watch_backend in {guard.NATIVE, guard.XTABLES}
        watch.channel.send(guard.BEGIN)

        def sending() -> str:
            with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as raw:
                raw.sendto(b"\x8f\0\0\0\0\0\0\0", ("ff02::16", 0))  # chatter: MLDv2
            return dial("9.9.9.9", 123, socket.SOCK_DGRAM)

        # What comes before the guard has read that it begins is not named.
        for _ in range(20):
            assert guest.inside(sending) == "EHOSTUNREACH"
            if select.select([watch.channel], [], [], 1)[0]:
                break
        watch.channel.settimeout(20)
        seen = msgspec.msgpack.decode(watch.channel.recv(65_536), type=Sighting)
        assert (seen.source, seen.address, seen.port) == ("198.18.0.10", "9.9.9.9", 123)
        if watch_backend == guard.XTABLES:
            return  # what is dropped before the input hook does not come to that target
        stranger = frame(MAC, 0x0800, syn("9.9.9.1", "203.0.113.9"))
        guest.inside(functools.partial(_send_frames, stranger))
        while seen.source != "9.9.9.1":
            seen = msgspec.msgpack.decode(watch.channel.recv(65_536), type=Sighting)
        assert (seen.protocol, seen.address, seen.port) == ("tcp", "203.0.113.9", 443)
    finally:
        watch.close()


@pytest.mark.parametrize("restarted", [False, True])
def test_the_guard_of_many_guests_names_what_each_sends(restarted: bool) -> None:
    """Also after a restart, and with more descriptors than select(2) knows."""
    with contextlib.ExitStack() as undo:
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, limits[1]), limits[1]))
        undo.callback(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
        for _ in range(1100):
            undo.callback(os.close, os.open("/dev/null", os.O_RDONLY))
        watching = SharedGuard()
        undo.callback(watching.close)
        guests, channels = [], []
        for _ in range(2):
            network = empty_namespace()
            undo.callback(os.close, network)
            jail = create(rootless=False, nic=Nic(Kind.VETH, MAC, peer=network), notices=True)
            if restarted:
                held = os.dup(jail.namespace_fd)
                undo.callback(os.close, held)
                jail.close()
                (adopted,) = adopt([Orphan(held, Nic(Kind.VETH, MAC))])
                assert isinstance(adopted, Captive)
                jail = adopted
            undo.callback(jail.close)
            guests.append(Guest(jail, network))
            assert jail.namespace_fd > 1023
            assert jail.notices is not None
            channels.append(watching.watch(jail.notices))
            undo.callback(channels[-1].close)
            channels[-1].settimeout(20)
        for number, each in enumerate(guests):
            dialled = functools.partial(dial, f"9.9.9.{number}", 123, socket.SOCK_DGRAM)
            assert each.inside(dialled) == "EHOSTUNREACH"  # refused, and at once
            stranger = frame(MAC, 0x0800, syn("9.9.9.77", f"203.0.113.{number}"))
            each.inside(functools.partial(_send_frames, stranger))
        for number, channel in enumerate(channels):
            seen = [_sighting(channel) for _ in range(2)]
            assert [(each.protocol, each.address, each.port) for each in seen] == [
                ("udp", f"9.9.9.{number}", 123),
                ("tcp", f"203.0.113.{number}", 443),
            ]
            channel.setblocking(False)
            with pytest.raises(BlockingIOError):  # nothing of the other's
                channel.recv(1)
            channel.settimeout(20)
        assert guests[0].inside(functools.partial(dial, "9.9.9.5", 5, socket.SOCK_DGRAM))
        channels[0].send(guard.END)
        assert _sighting(channels[0]).port == 5  # what waits is named, then it ends
        assert channels[0].recv(1) == b""
        assert watching.lives()
        assert not any(Path(f"/proc/{watching.pid}/net/dev").read_text().count(f"nic{n}")
                       for n in range(2))  # fmt: skip
        status = Path(f"/proc/{watching.pid}/status").read_text("ascii")
        assert {line.split()[1] for line in status.splitlines() if line.startswith("Cap")} == {
            "0000000000000000"
        }


def _sighting(channel: socket.socket) -> Sighting:
    return msgspec.msgpack.decode(channel.recv(65_536), type=Sighting)


@pytest.mark.skipif(not os.path.exists("/dev/net/tun"), reason="no tun driver")  # noqa: PTH110
def test_a_tap_that_a_monitor_holds_is_taken_in(guest: Guest) -> None:
    """As libvirt and Firecracker make it: on the host, with a name, attached before it is ours."""

    def host() -> list[str]:
        held = tap.make("vnet7")
        jail = create(rootless=False, nic=Nic(Kind.TAP, MAC, existing="vnet7"))
        left = sorted(name for _, name in socket.if_nameindex())
        os.write(held, bytes(10) + frame(MAC, 0x0800, syn("198.18.0.10", "203.0.113.9")))
        reached = accepted_syn(held)
        jail.close()
        return [*left, reached]

    network = empty_namespace()
    assert guest.inside(host, network) == ["lo", "0x12"]
    os.close(network)


def test_without_rules_there_is_still_no_way_out(guest: Guest) -> None:
    """The missing path decides, not the rules: flushed, everything ends at a port of ours."""

    def flush() -> None:
        subprocess.run(["nft", "flush", "ruleset"], check=True)

    guest.inside(flush, guest.jail.namespace_fd)
    places = [(place, port) for place in ("203.0.113.9", "2001:db8::9") for port in (443, 53)]
    assert guest.inside(lambda: [dial(*place) for place in places]) == ["ECONNREFUSED"] * 4
    said = guest.inside(lambda: [dial(*place, socket.SOCK_DGRAM) for place in places])
    assert set(said) == {"ECONNREFUSED"}
