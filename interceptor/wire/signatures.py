"""First bytes of protocols, as data: what an agent's client, or a server, begins with.

A signature is a pattern over leading bytes that is tried on as many bytes as there are: it fits,
it cannot fit any more, or it needs more. `interceptor.wire.protocols` asks them.

Patterns are written as text, or as hex with `??` for any byte, `a|b` for one of several and `a-b`
for a range. Order counts: what is more particular stands first.
"""

from __future__ import annotations

from typing import Final

import msgspec


class Signature(msgspec.Struct, frozen=True, gc=False):
    """One way in which a protocol begins."""

    name: str
    places: tuple[frozenset[int] | None, ...]
    """Bytes allowed at each place; None for any."""

    def fits(self, data: bytes) -> bool | None:
        """True when `data` begins with it, False when it cannot, None while bytes are missing."""
        for place, byte in zip(self.places, data, strict=False):
            if place is not None and byte not in place:
                return False
        return True if len(data) >= len(self.places) else None


def _text(name: str, *texts: bytes, fold: bool = False) -> list[Signature]:
    """Signatures of literal beginnings; `fold` for those in which case means nothing."""

    def places(text: bytes) -> tuple[frozenset[int] | None, ...]:
        if not fold:
            return tuple(frozenset((byte,)) for byte in text)
        return tuple(
            frozenset((*text[i : i + 1].upper(), *text[i : i + 1].lower()))
            for i in range(len(text))
        )

    return [Signature(name, places(text)) for text in texts]


def _hex(name: str, *patterns: str) -> list[Signature]:
    return [
        Signature(name, tuple(_place(text) for text in pattern.split())) for pattern in patterns
    ]


def _place(text: str) -> frozenset[int] | None:
    if text == "??":
        return None
    found: set[int] = set()
    for part in text.split("|"):
        first, _, last = part.partition("-")
        found.update(range(int(first, 16), int(last or first, 16) + 1))
    return frozenset(found)


# fmt: off
CLIENT: Final[tuple[Signature, ...]] = (
    # -- in binary
    *_hex("tls", "16 03 00-04 ?? ?? 01", "80-ff ?? 01 03 00-04"),  # the second: SSL 2's hello
    *_hex("cassandra", "03|04|05 00 ?? ?? 01|05 00", "05 10 ?? ?? 01|05 00 00"),
    *_hex("socks4", "04 01|02"),
    *_hex("socks5", "05 01-ff"),
    *_hex("telnet", "ff fa-fe ??"),
    *_hex("postgres", "00 00 ?? ?? 00 03 00 00|02", "00 00 00 08 04 d2 16 2f|30",
          "00 00 00|01 ?? 04 d2 16 2e"),
    *_hex("smb", "00 00 ?? ?? fe|ff 53 4d 42", "81 00 00 44 20"),
    *_hex("kafka", "00 00 00-01 ?? 00 12 00 00-05"),
    *_hex("thrift", "00 00 ?? ?? 80 01 00 01", "00 00 ?? ?? 0f ff", "80 01 00 01", "82 21 ?? ??"),
    *_hex("tor", "00 00 07 00 02|04|06|08|0a|0c 00 02-09"),  # VERSIONS, inside of its TLS
    *_hex("stun", "00 01|03 00|01 ?? 21 12 a4 42"),
    *_hex("dns", "00-02 ?? ?? ?? 00|01 00|10|20|30 00 01 00 00 00 00 00 00|01"),
    *_hex("wireguard", "00 94 01 00 00 00", "01 00 00 00"),
    *_hex("openvpn", "00 0e-ff 38|50 ?? ?? ??"),
    *_hex("oracle", "00-03 ?? 00 00 01 00 00 00"),
    *_hex("mongodb", "?? ?? ?? 00|01|02 ?? ?? ?? ?? 00|ff 00|ff 00|ff 00|ff d4|dc|dd 07 00 00"),
    *_hex("bittorrent", "13 42 69 74 54 6f 72 72 65 6e 74"),
    *_hex("rdp", "03 00 ?? ?? ?? e0"),
    *_hex("mqtt", "10 ?? 00 04 4d 51 54 54", "10 80-ff 01-7f 00 04 4d 51 54 54",
          "10 ?? 00 06 4d 51 49 73"),
    *_hex("mssql", "12 01 ?? ?? 00 00 ?? 00"),
    *_hex("ajp", "12 34 ?? ?? 02"),
    *_hex("ldap", "30 00-7f 02 01 ?? 60|63|77", "30 81 ?? 02 01 ?? 60|63|77",
          "30 82 ?? ?? 02 01 ?? 60|63|77", "30 84 ?? ?? ?? ?? 02 01 ?? 60|63|77"),
    *_hex("x11", "6c 00 0b 00 00 00", "42 00 00 0b 00 00"),
    *_hex("rpc", "80 00 ?? ?? ?? ?? ?? ?? 00 00 00 00 00 00 00 02"),
    *_hex("memcached", "80 00-40 00 ?? 00|04|08|14 00 00 00"),
    *_hex("zeromq", "ff ?? ?? ?? ?? ?? ?? ?? ?? 7f"),
    *_hex("git", "30-39|61-66 30-39|61-66 30-39|61-66 30-39|61-66 67 69 74 2d"),  # pkt-line, git-
    # -- in text, of which some look like HTTP for a while
    *_text("http2", b"PRI * HTTP/2.0"),
    *_text("ssh", b"SSH-"),
    *_text("amqp", b"AMQP"),
    *_text("vnc", b"RFB 0"),
    *_text("proxy", b"PROXY TCP", b"PROXY UNKNOWN", b"\r\n\r\n\0\r\nQUIT\n"),  # PROXY protocol
    *_text("rtsp", *(verb + b" rtsp" for verb in (b"OPTIONS", b"DESCRIBE", b"SETUP", b"ANNOUNCE"))),
    *_text("sip", *(verb + b" sip" for verb in (
        b"REGISTER", b"OPTIONS", b"INVITE", b"SUBSCRIBE", b"MESSAGE", b"PUBLISH", b"NOTIFY"))),
    *_text("nats", b"CONNECT {"),
    *_text("stomp", b"STOMP\n", b"STOMP\r\n", b"CONNECT\n", b"CONNECT\r\n"),
    *_text("smtp", b"EHLO ", b"HELO ", b"LHLO ", fold=True),
    *_text("pop3", b"CAPA\r\n", b"APOP ", b"STLS\r\n", fold=True),
    *_text("irc", b"NICK ", b"CAP LS", b"CAP REQ", fold=True),
    *_text("ftp", b"USER ", b"AUTH TLS", b"FEAT\r\n", fold=True),
    *_text("pop3", b"USER ", fold=True),
    *_text("irc", b"USER ", b"PASS ", fold=True),
    *_hex("redis", "2a 31-39 0d|30-39"),
    *_text("redis", b"PING\r\n", b"INFO\r\n", b"HELLO 3", b"HELLO 2", b"AUTH ", b"SELECT ",
           b"CONFIG ", b"COMMAND\r\n", b"FLUSHALL", b"SLAVEOF ", b"MONITOR\r\n", fold=True),
    *_text("memcached", b"get ", b"gets ", b"set ", b"add ", b"mg ", b"ms ", b"delete ", b"incr ",
           b"stats\r\n", b"version\r\n", b"flush_all"),
    *_text("rsync", b"@RSYNCD: "),
    *_text("svn", b"( 2 ( ", b"( success ("),
    *_text("xmpp", b"<?xml version", b"<stream:stream"),
    *_text("jdwp", b"JDWP-Handshake"),
    *_text("rmi", b"JRMI\0"),
    *_text("adb", b"CNXN\0"),
    *_text("zookeeper", b"ruok", b"srvr", b"mntr"),
)
"""What the side that connected begins with."""

SERVER: Final[tuple[Signature, ...]] = (
    *_text("ssh", b"SSH-"),
    *_hex("mysql", "?? 00|01 00 00 0a 30-39", "?? 00|01 00 00 ff ?? ??"),
    *_text("smtp", b"220 ", b"220-", b"421 ", b"554 "),
    *_text("ftp", b"220 ", b"220-", b"120 ", b"421 "),
    *_text("nntp", b"200 ", b"201 "),
    *_text("imap", b"* OK", b"* PREAUTH", b"* BYE", fold=True),
    *_text("pop3", b"+OK", b"-ERR", fold=True),
    *_text("irc", b":", b"NOTICE ", b"ERROR :", b"PING "),
    *_text("redis", b"-ERR ", b"-DENIED "),
    *_text("vnc", b"RFB 0"),
    *_text("nats", b"INFO {"),
    *_text("rsync", b"@RSYNCD: "),
    *_text("svn", b"( success ("),
    *_text("http", b"HTTP/"),
    *_hex("telnet", "ff fa-fe ??"),
    *_hex("zeromq", "ff ?? ?? ?? ?? ?? ?? ?? ?? 7f"),
    *_hex("tls", "15|16 03 00-04"),
)
"""What a server begins with that speaks first, or that answers something it did not understand."""

USUAL: Final[dict[int, str]] = {
    20: "ftp", 21: "ftp", 22: "ssh", 23: "telnet", 25: "smtp", 43: "whois", 53: "dns",
    70: "gopher", 79: "finger", 88: "kerberos", 110: "pop3", 111: "rpc", 119: "nntp", 135: "rpc",
    139: "smb", 143: "imap", 179: "bgp", 194: "irc", 389: "ldap", 445: "smb", 465: "smtp",
    513: "rlogin", 514: "rsh", 548: "afp", 554: "rtsp", 563: "nntp", 587: "smtp", 636: "ldap",
    853: "dns", 873: "rsync", 989: "ftp", 990: "ftp", 993: "imap", 995: "pop3", 1080: "socks5",
    1194: "openvpn", 1433: "mssql", 1521: "oracle", 1723: "pptp", 1883: "mqtt", 2049: "rpc",
    2181: "zookeeper", 3268: "ldap", 3269: "ldap", 3306: "mysql", 3389: "rdp", 3478: "stun",
    3690: "svn", 4222: "nats", 5060: "sip", 5061: "sip", 5222: "xmpp", 5223: "xmpp", 5349: "stun",
    5432: "postgres", 5671: "amqp", 5672: "amqp", 5900: "vnc", 5901: "vnc", 6000: "x11",
    6379: "redis", 6380: "redis", **dict.fromkeys(range(6660, 6670), "irc"), 6697: "irc",
    **dict.fromkeys(range(6881, 6890), "bittorrent"), 8009: "ajp", 8883: "mqtt",
    **dict.fromkeys((9001, 9030, 9050, 9051, 9150), "tor"), 9042: "cassandra", 9092: "kafka",
    9093: "kafka", 9142: "cassandra", 9418: "git", 11211: "memcached", 27017: "mongodb",
    27018: "mongodb", 27019: "mongodb", 33060: "mysql", 51820: "wireguard", 61613: "stomp",
}
"""Protocol that is usual on a port: the best guess about a client that waits for the server."""
# fmt: on
