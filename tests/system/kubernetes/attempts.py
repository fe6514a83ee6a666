"""What an agent in a pod tries without a proxy: prints a JSON object of what came of each attempt.

Arguments: IPv4 and IPv6 of the attacker, and of a resolver; run as the agent's uid.
"""

from __future__ import annotations

import contextlib
import errno
import json
import socket
import sys
from collections.abc import Callable

_IP_FREEBIND = 15  # linux/in.h: bind an address that is not ours; needs no rights


def outcome(attempt: Callable[[], None]) -> str:
    try:
        attempt()
    except TimeoutError:
        return "timeout"
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, "other")
    return "sent"


def stream(address: str, port: int, source: str = "") -> None:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as dialling:
        dialling.settimeout(1)
        if source:
            dialling.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
            dialling.bind((source, 0))
        dialling.connect((address, port))
        dialling.sendall(b"marker of the pod\n")
        with contextlib.suppress(OSError):
            dialling.recv(1)


def datagram(address: str, port: int, source_port: int = 0) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sending:
        sending.settimeout(1)
        sending.bind(("", source_port))
        for _ in range(2):  # an ICMP refusal comes with the second
            sending.sendto(b"marker of the pod", (address, port))


def by_link(address: str, port: int, kind: socket.SocketKind) -> None:
    """Bound to the pod's link, past the routing to loopback; needs no rights."""
    with socket.socket(socket.AF_INET, kind) as dialling:
        dialling.settimeout(0.2)
        dialling.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
        dialling.connect((address, port))
        dialling.send(b"marker of the pod\n")


def other(address: str, kind: int, protocol: int) -> None:
    """SCTP, DCCP, UDP-Lite, MPTCP: as far as the kernel has them."""
    with socket.socket(socket.AF_INET, kind, protocol) as dialling:
        dialling.settimeout(1)
        dialling.connect((address, 50_000))
        dialling.send(b"marker of the pod\n")


def ping(address: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP) as sending:
        sending.sendto(b"\x08\0\0\0\0\0\0\1marker of the pod", (address, 0))


def main(v4: str, v6: str, resolver: str) -> None:
    found = {}
    for address in (v4, v6):
        for port in (22, 53, 443, 8888, 50_000):
            found[f"tcp {address} {port}"] = outcome(lambda a=address, p=port: stream(a, p))  # type: ignore[misc]
        for port in (53, 123, 443, 50_000):
            found[f"udp {address} {port}"] = outcome(lambda a=address, p=port: datagram(a, p))  # type: ignore[misc]
    found["freebind"] = outcome(lambda: stream(v4, 443, v4))
    found["freebind dns"] = outcome(lambda: stream(resolver, 53, v4))
    for port in (53, 443, 50_000):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            name = f"by link {kind.name} {port}"
            found[name] = outcome(lambda k=kind, p=port: by_link(v4, p, k))  # type: ignore[misc]
    for protocol, number in ((132, 1), (33, 6), (136, 2), (262, 1)):
        name = f"protocol {protocol}"
        found[name] = outcome(lambda k=number, p=protocol: other(v4, k, p))  # type: ignore[misc]
    found["multicast"] = outcome(lambda: datagram("224.0.0.251", 5353))
    found["ping"] = outcome(lambda: ping(v4))
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
