"""The lab's world as data: addresses, names and what they resolve to, certificates gone bad.

Public addresses are chosen so that a judge takes them for public (the documentation ranges are
reserved and would be refused): 11.0.0.0/8 has never been announced on the internet and
2d00:77::/32 is not allocated, so even a leak would end nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

HOST_V4, GATEWAY_V4, LAN_V4 = "192.168.77.2", "192.168.77.1", 24
HOST_V6, GATEWAY_V6, LAN_V6 = "2d00:77:1::2", "2d00:77:1::1", 64
RESOLVER_V4, RESOLVER_V6 = "11.22.33.53", "2d00:77::53"
HOST_LINK, INTERNET_LINK = "eth0", "wan0"

WEB = ("11.22.33.10", "2d00:77::10")
ATTACKER = ("11.22.33.66", "2d00:77::66")
LEGACY_TLS = ("11.22.33.11", "2d00:77::11")
"""Speaks TLS 1.1 and nothing newer."""
BENCH = ("11.22.33.80", "2d00:77::80")
"""nginx, once `Lab.nginx()` has started it."""
REFUSING = ("11.22.33.98", "2d00:77::98")
"""Every connect is answered by a reset."""
SILENT = ("11.22.33.99", "2d00:77::99")
"""Every packet is dropped."""
HTTP2 = ("11.22.33.20", "2d00:77::20")
"""Speaks HTTP/2 and HTTP/1.1."""
HTTP2_ONLY = ("11.22.33.21", "2d00:77::21")
GRPC = ("11.22.33.30", "2d00:77::30")
WEBSOCKET = ("11.22.33.31", "2d00:77::31")
MCP = ("11.22.33.32", "2d00:77::32")
"""MCP and A2A servers on the official SDKs."""
GIT = ("11.22.33.40", "2d00:77::40")
"""The web sites, and ssh once `ssh_server.start` has started it."""
DATABASE = ("11.22.33.50", "2d00:77::50")
CACHE = ("11.22.33.51", "2d00:77::51")
MAIL = ("11.22.33.52", "2d00:77::52")
WEB_PORTS = (80, 443, 8443)
DAEMON_PORTS = {
    **dict.fromkeys(GRPC, (80, 443, 50051)),
    **dict.fromkeys(WEBSOCKET, (80, 443, 8443)),
    **dict.fromkeys(MCP, (80, 443)),
    **dict.fromkeys(GIT, (22,)),
    **dict.fromkeys(DATABASE, (3306, 5432)),
    **dict.fromkeys(CACHE, (6379, 6380)),
    **dict.fromkeys(MAIL, (21, 25, 110, 143, 465, 587, 993)),
}
"""Address -> ports of the programs in `tests.lab.daemons`; refused until they are started."""
METADATA = ("169.254.169.254", "fd00:ec2::254")
LAN_SERVER = "10.0.0.5"

HOST_SERVICE_PORTS = (22, 80, 443, 2375, 8080, 11434)
"""Ports, TCP and UDP, on every address of the host's own that the oracle listens on."""

DEV_UID = 4242
DEV_HOME = "/home/dev"
DEV_WORK = "/home/dev/work"
STATE = "/run/lab"
"""The lab's own files, on its own tmpfs."""


class Answer(msgspec.Struct, frozen=True):
    """What the lab's DNS says about a name."""

    addresses: tuple[str, ...] = ()
    """A and AAAA records, in this order."""
    turns: tuple[tuple[str, ...], ...] = ()
    """Answers that change: one element per query of each type, the last one stays."""
    cname: str = ""
    cnames: tuple[str, ...] = ()
    """Aliases that change, as `turns` do; an empty text is none."""
    ttl: int = 1
    records: tuple[tuple[str, str], ...] = ()
    """Records of other types: (type, data as in a zone file), such as ("MX", "10 mx.example.")."""
    rcode: str = "NOERROR"
    delay: float = 0.0
    """Seconds before the answer."""
    silent: bool = False
    """Never answered."""


_BLOCK = tuple(f"11.22.40.{n}" for n in range(1, 101))

NAMES: Mapping[str, Answer] = MappingProxyType(
    {
        "example.com": Answer(WEB),
        "*.example.com": Answer(WEB),
        "v4only.example.com": Answer(WEB[:1]),
        "v6only.example.com": Answer(WEB[1:]),
        "alias.example.com": Answer(cname="www.example.com"),
        "bench.example.com": Answer(BENCH[:1]),
        "h2.example.com": Answer(HTTP2),
        "h2only.example.com": Answer(HTTP2_ONLY),
        "grpc.example.com": Answer(GRPC),
        "ws.example.com": Answer(WEBSOCKET),
        "mcp.example.com": Answer(MCP),
        "git.example.com": Answer(GIT),
        "db.example.com": Answer(DATABASE),
        "cache.example.com": Answer(CACHE),
        "mail.example.com": Answer(MAIL),
        "attacker.example": Answer(ATTACKER),
        "*.attacker.example": Answer(ATTACKER),
        # certificates gone bad: see BAD_CERTIFICATES
        "expired.tls.example": Answer(WEB),
        "not-yet.tls.example": Answer(WEB),
        "self-signed.tls.example": Answer(WEB),
        "wrong-name.tls.example": Answer(WEB),
        "untrusted.tls.example": Answer(WEB),
        "no-san.tls.example": Answer(WEB),
        "tls11.tls.example": Answer(LEGACY_TLS),
        # names that lead inward
        "lan.inward.example": Answer((LAN_SERVER,)),
        "gateway.inward.example": Answer(("10.0.0.1",)),
        "loopback.inward.example": Answer(("127.0.0.1",)),
        "loopback6.inward.example": Answer(("::1",)),
        "unspecified.inward.example": Answer(("0.0.0.0",)),
        "metadata.inward.example": Answer(METADATA[:1]),
        "metadata6.inward.example": Answer(METADATA[1:]),
        "mapped.inward.example": Answer(("::ffff:10.0.0.5",)),
        "nat64.inward.example": Answer(("64:ff9b::a00:5",)),
        "sixtofour.inward.example": Answer(("2002:a00:5::1",)),
        "ula.inward.example": Answer(("fd12:3456:789a::5",)),
        "own.inward.example": Answer((HOST_V4,)),
        "mixed-first.inward.example": Answer((LAN_SERVER, *WEB)),
        "mixed-last.inward.example": Answer((*WEB, LAN_SERVER)),
        "mixed-six.inward.example": Answer((WEB[0], "::1")),
        "cname.inward.example": Answer(cname="lan.inward.example"),
        "rebind.inward.example": Answer(turns=(WEB[:1], (LAN_SERVER,))),
        # answers that are trouble
        "servfail.dns.example": Answer(rcode="SERVFAIL"),
        "refused.dns.example": Answer(rcode="REFUSED"),
        "slow.dns.example": Answer(WEB, delay=1.0),
        "silent.dns.example": Answer(silent=True),
        "empty.dns.example": Answer(),
        "many.dns.example": Answer((*WEB[:1], *_BLOCK)),
        "loop.dns.example": Answer(cname="loop.dns.example"),
        # upstreams that are dead
        "refusing.dead.example": Answer(REFUSING),
        "silent.dead.example": Answer(SILENT[:1]),
        "half-dead.example.com": Answer((*REFUSING, *WEB)),
    }
)

BAD_CERTIFICATES: Mapping[str, str] = MappingProxyType(
    {
        "expired.tls.example": "expired",
        "not-yet.tls.example": "not_yet",
        "self-signed.tls.example": "self_signed",
        "wrong-name.tls.example": "wrong_name",
        "untrusted.tls.example": "untrusted",
        "no-san.tls.example": "no_san",
    }
)
"""Server name -> the fault of its certificate. Any other name gets a good one."""


def lookup(names: Mapping[str, Answer], name: str) -> Answer | None:
    """Answer for `name` (lower case, no trailing dot): exact, then the nearest `*.` parent."""
    if name in names:
        return names[name]
    parent = name
    while "." in parent:
        parent = parent.partition(".")[2]
        if (answer := names.get(f"*.{parent}")) is not None:
            return answer
    return None


def served() -> frozenset[tuple[str, str, int]]:
    """(protocol, address, port) of everything on the internet side that is not the oracle's."""
    web = {
        ("tcp", address, port)
        for address in (*WEB, *ATTACKER, *LEGACY_TLS, *BENCH, *HTTP2, *HTTP2_ONLY, *GIT)
        for port in WEB_PORTS
    }
    names = {(p, a, 53) for p in ("tcp", "udp") for a in (RESOLVER_V4, RESOLVER_V6)}
    return frozenset(web | names | daemons())


def daemons() -> frozenset[tuple[str, str, int]]:
    """(protocol, address, port) of the programs in `tests.lab.daemons`; dials are on record."""
    return frozenset(
        ("tcp", address, port) for address, ports in DAEMON_PORTS.items() for port in ports
    )
