"""One identity: every carrier of a name, in every protocol, disagreeing with every other one.

A carrier is a place where an agent names a host: the address it was leased, SOCKS, CONNECT, SNI,
an absolute-form target, Host or :authority. For each protocol every way to split its carriers into
two names is played: the identity is what the outermost one says, all others have to say the same.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache

import pytest

from interceptor.flow.steps import Dial, Resolve, Seal, Terminate
from interceptor.policy.schema import TcpService
from interceptor.wire.http2 import Answered, Http2Limits, UpstreamHttp2
from interceptor.wire.http2_hpack import REQUEST
from tests.conversation import OK, Conversation, ScriptedJudge
from tests.http2_talk import Http2Talk, ask
from tests.pure.flow.test_tcp_flow import client_hello
from tests.pure.wire.test_tls_hello import hello as raw_hello
from tests.pure.wire.test_tls_hello import records
from tests.pure.wire.test_tls_hello import sni as server_name

NAME, OTHER, PROXY = "api.example.com", "other.example.com", "proxy.attacker.example"
NEAR = (
    "api.example.com.attacker.example",
    "xapi.example.com",
    "example.com",
    "192.0.2.1",
    "localhost",
)
UPGRADE = (
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
Names = Mapping[str, str]


@lru_cache
def hello(name: str, alpn: tuple[str, ...] = ()) -> bytes:
    """A ClientHello; OpenSSL puts no address into it, other clients do."""
    if name == NEAR[3]:
        return records(raw_hello(server_name(name.encode())))
    return client_hello(name, alpn)


class Talk(Conversation):
    """A conversation whose leased name is one of the carriers; services are opened for both."""

    def __init__(self, lease: str, port: int, protocol: str = "") -> None:
        opened = [
            TcpService(host=host, port=port, protocol=protocol)  # type: ignore[arg-type]
            for host in (NAME, OTHER, *NEAR)
            if protocol
        ]
        super().__init__(
            name=lease,
            port=port,
            judge=ScriptedJudge(services=opened),
            answer=None if protocol else _answered,
        )
        self.codec: UpstreamHttp2 | None = None
        self.act(self.flow.begin(self.now))

    def http2(self, pairs: list[tuple[bytes, bytes]]) -> list[int]:
        """Speak HTTP/2 on what stands; give the statuses of the answers."""
        before = len(self.received)
        codec = UpstreamHttp2(Http2Limits(), self.now)
        stream: int = codec._h2.get_next_available_stream_id()
        codec._send_section(stream, pairs, REQUEST, end=True)
        self.say(codec.outgoing())
        reader = UpstreamHttp2(Http2Limits(), self.now)
        reader.request(ask("/"), b"/", NAME.encode(), "https", end=True)
        events = reader.feed(self.received[before:], self.now)
        return [event.head.status for event in events if isinstance(event, Answered)]

    @property
    def dialled(self) -> list[str]:
        return [step.target.host for step in self.steps if isinstance(step, Dial)]


def _answered(sent: bytes) -> bytes:
    assert sent.startswith(b"GET ")
    return OK


def get(host: str, extra: bytes = b"") -> bytes:
    return b"GET / HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (host.encode(), extra)


def absolute(names: Names, scheme: str) -> bytes:
    row = b"GET %b://%b/ HTTP/1.1\r\nHost: %b\r\n\r\n"
    return row % (scheme.encode(), names["absolute"].encode(), names["host"].encode())


def connect(name: str, port: int = 443) -> bytes:
    text = f"{name}:{port}".encode()
    return b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (text, text)


def socks5(name: str, port: int) -> bytes:
    raw = name.encode()
    return b"\x05\x01\x00\x05\x01\x00\x03" + bytes((len(raw),)) + raw + port.to_bytes(2)


def socks4a(name: str, port: int) -> bytes:
    return b"\x04\x01" + port.to_bytes(2) + b"\0\0\0\x01u\0" + name.encode() + b"\0"


# Each gives the conversation after everything was said; `lease` is a proxy's where it is none.


def http1(names: Names) -> Talk:
    return Talk(names["lease"], 80).say(get(names["host"]))


def http1_absolute(names: Names) -> Talk:
    return Talk(PROXY, 3128).say(absolute(names, "http"))


def https1(names: Names) -> Talk:
    return Talk(names["lease"], 443).say(hello(names["sni"]), get(names["host"]))


def https1_absolute(names: Names) -> Talk:
    return Talk(names["lease"], 443).say(hello(names["sni"]), absolute(names, "https"))


def websocket(names: Names) -> Talk:
    return Talk(names["lease"], 80).say(get(names["host"], UPGRADE))


def secure_websocket(names: Names) -> Talk:
    talk = Talk(names["lease"], 443).say(hello(names["sni"]))
    return talk.say(get(names["host"], UPGRADE))


def _pairs(names: Names) -> list[tuple[bytes, bytes]]:
    pairs = [(b":method", b"GET"), (b":scheme", b"https"), (b":path", b"/")]
    if "authority" in names:
        pairs.append((b":authority", names["authority"].encode()))
    if "host" in names:
        pairs.append((b"host", names["host"].encode()))
    return pairs


def http2(names: Names) -> Talk:
    talk = Talk(names["lease"], 443).say(hello(names["sni"], ("h2",)))
    talk.answers = talk.http2(_pairs(names))  # type: ignore[attr-defined]
    return talk


def http2_in_connect(names: Names) -> Talk:
    talk = Talk(PROXY, 3128).say(connect(names["connect"]), hello(names["sni"], ("h2",)))
    talk.answers = talk.http2(_pairs(names))  # type: ignore[attr-defined]
    return talk


def connect_plain(names: Names) -> Talk:
    return Talk(PROXY, 3128).say(connect(names["connect"], 80), get(names["host"]))


def connect_tls(names: Names) -> Talk:
    talk = Talk(PROXY, 3128).say(connect(names["connect"]), hello(names["sni"]))
    return talk.say(get(names["host"]))


def connect_in_connect(names: Names) -> Talk:
    talk = Talk(PROXY, 3128).say(connect("second.attacker.example", 8080))
    return talk.say(connect(names["connect"]), hello(names["sni"]), get(names["host"]))


def connect_in_tls(names: Names) -> Talk:
    """A proxy that is spoken to in TLS: its own names have to agree as well."""
    talk = Talk(names["lease"], 443).say(hello(names["proxy sni"]))
    return talk.say(connect(names["connect"]), hello(names["sni"]), get(names["host"]))


def socks_plain(names: Names) -> Talk:
    return Talk(PROXY, 1080).say(socks4a(names["socks"], 80), get(names["host"]))


def socks_tls(names: Names) -> Talk:
    talk = Talk(PROXY, 1080).say(socks5(names["socks"], 443), hello(names["sni"]))
    return talk.say(get(names["host"]))


def socks_connect(names: Names) -> Talk:
    talk = Talk(PROXY, 1080).say(socks5("second.attacker.example", 8080))
    return talk.say(connect(names["connect"]), hello(names["sni"]), get(names["host"]))


def socks_websocket(names: Names) -> Talk:
    talk = Talk(PROXY, 1080).say(socks5(names["socks"], 443), hello(names["sni"]))
    return talk.say(get(names["host"], UPGRADE))


Drive = Callable[[Names], Talk]
HTTP: Mapping[str, tuple[tuple[str, ...], Drive]] = {
    "HTTP/1": (("lease", "host"), http1),
    "HTTP/1, absolute form": (("absolute", "host"), http1_absolute),
    "HTTPS/1": (("lease", "sni", "host"), https1),
    "HTTPS/1, absolute form": (("lease", "sni", "absolute", "host"), https1_absolute),
    "WebSocket": (("lease", "host"), websocket),
    "WebSocket in TLS": (("lease", "sni", "host"), secure_websocket),
    "HTTP/2": (("lease", "sni", "authority"), http2),
    "HTTP/2 with Host alone": (("lease", "sni", "host"), http2),
    "HTTP/2 in CONNECT": (("connect", "sni", "authority"), http2_in_connect),
    "CONNECT": (("connect", "host"), connect_plain),
    "CONNECT, TLS": (("connect", "sni", "host"), connect_tls),
    "CONNECT in CONNECT": (("connect", "sni", "host"), connect_in_connect),
    "CONNECT to a proxy in TLS": (("connect", "sni", "host"), connect_in_tls),
    "SOCKS4a": (("socks", "host"), socks_plain),
    "SOCKS5, TLS": (("socks", "sni", "host"), socks_tls),
    "CONNECT in SOCKS5": (("connect", "sni", "host"), socks_connect),
    "WebSocket in SOCKS5": (("socks", "sni", "host"), socks_websocket),
}
PROXY_NAMES = {"lease": PROXY, "proxy sni": PROXY}


def splits(carriers: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """Every way to give the carriers two names, both used."""
    for chosen in itertools.product((NAME, OTHER), repeat=len(carriers)):
        if len(set(chosen)) == 2:
            yield dict(zip(carriers, chosen, strict=True))


def near(carriers: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """One carrier, any but the outermost, that says something like the name."""
    for carrier, text in itertools.product(carriers[1:], NEAR):
        yield {**dict.fromkeys(carriers, NAME), carrier: text}


def whole(carriers: tuple[str, ...], names: Names) -> Names:
    """Add the names of a proxy where they are no carriers of the identity."""
    return {**{k: v for k, v in PROXY_NAMES.items() if k not in carriers}, **names}


@pytest.mark.parametrize("protocol", HTTP)
def test_all_carriers_agree(protocol: str) -> None:
    """Positive control: whatever they agree upon is dialled, verified and asked for."""
    carriers, drive = HTTP[protocol]
    for name in (NAME, OTHER):
        talk = drive(whole(carriers, dict.fromkeys(carriers, name)))
        assert talk.blocks == []
        assert talk.dialled == [name]
        assert b"\r\nHost: %b\r\n" % name.encode() in talk.sent
        inner = [step.name for step in talk.steps if isinstance(step, Terminate)]
        assert inner[-1:] in ([], [name])
        dial = next(step for step in talk.steps if isinstance(step, Dial))
        assert dial.target.scheme == ("https" if inner else "http")


@pytest.mark.parametrize("protocol", HTTP)
def test_two_carriers_disagree(protocol: str) -> None:
    carriers, drive = HTTP[protocol]
    for names in (*splits(carriers), *near(carriers)):
        talk = drive(whole(carriers, names))
        assert talk.blocks == ["name_mismatch"], (names, talk.blocks)
        assert not any(isinstance(step, Resolve | Dial) for step in talk.steps), names
        assert talk.sent == b"", names
        if "HTTP/2" in protocol:
            assert talk.answers == [421], names  # type: ignore[attr-defined]
        else:
            assert talk.statuses[-1] == 403, names
            assert talk.explanation["reason"] == "name_mismatch"


def test_a_proxy_in_tls_has_one_name_as_well() -> None:
    same = {"connect": NAME, "sni": NAME, "host": NAME}
    talk = connect_in_tls({"lease": PROXY, "proxy sni": OTHER, **same})
    assert talk.blocks[:1] == ["name_mismatch"]
    assert talk.sent == b""


@pytest.mark.parametrize("host", [OTHER, *NEAR])
def test_authority_and_host_of_http2_disagree(host: str) -> None:
    """RFC 9113 section 8.3.1: a field that differs from :authority makes the request malformed."""
    for authority, field in ((NAME, host), (host, NAME)):
        talk = http2({"lease": NAME, "sni": NAME, "authority": authority, "host": field})
        assert len(talk.blocks) == 1
        assert talk.blocks[0] in ("name_mismatch", "http_malformed")
        assert talk.sent == b""


def test_streams_of_one_connection_are_judged_one_by_one() -> None:
    """Coalescing (RFC 9113 section 9.1.1) is answered with 421; the connection goes on."""
    talk = Http2Talk(tls=True)
    rows = ((NAME, 200), (OTHER, 421), (NAME + ":8443", 421), (NAME, 200), ("192.0.2.1", 421))
    for name, status in rows:
        assert talk.answers[talk.ask(ask("/", host=name))].status == status, name
    talk.scheme = "http"  # RFC 9110 section 7.4
    assert talk.answers[talk.ask(ask("/"))].status == 421
    talk.scheme = "https"
    assert talk.answers[talk.ask(ask("/"))].status == 200
    assert set(talk.blocks) == {"name_mismatch"}


@pytest.mark.parametrize("protocol", ["HTTP/1", "HTTPS/1", "CONNECT, TLS", "SOCKS5, TLS"])
def test_the_port_is_part_of_it(protocol: str) -> None:
    carriers, drive = HTTP[protocol]
    default = 80 if protocol == "HTTP/1" else 443
    names = whole(carriers, dict.fromkeys(carriers, NAME))
    assert drive({**names, "host": f"{NAME}:{default}"}).blocks == []
    for port in (8080, 444, 80 if default == 443 else 443):
        assert drive({**names, "host": f"{NAME}:{port}"}).blocks == ["name_mismatch"]


# -- services that are no HTTP -------------------------------------------------------------------

SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
_GREETING = b"\x0a8.0.35\0" + bytes(4) + b"authdata\0" + b"\xff\xff\xff\x02\0\xff\xdf" + bytes(30)
MYSQL_GREETING = len(_GREETING).to_bytes(3, "little") + b"\0" + _GREETING
MYSQL_REQUEST = b"\x20\0\0\x01" + struct.pack("<IIB", 0x00FFAE8D, 1 << 24, 255) + bytes(23)
STARTS: Mapping[str, tuple[int, tuple[tuple[bytes, bytes], ...]]] = {
    # port, then (what the server says, what the client answers) until the handshake begins
    "smtp": (25, ((b"220 mx\r\n", b"EHLO me\r\n"), (b"250 STARTTLS\r\n", b"STARTTLS\r\n"),
                  (b"220 go\r\n", b""))),
    "imap": (143, ((b"* OK ready\r\n", b"a1 STARTTLS\r\n"), (b"a1 OK go\r\n", b""))),
    "pop3": (110, ((b"+OK ready\r\n", b"STLS\r\n"), (b"+OK go\r\n", b""))),
    "ftp": (21, ((b"220 ready\r\n", b"AUTH TLS\r\n"), (b"234 go\r\n", b""))),
    "mysql": (3306, ((MYSQL_GREETING, MYSQL_REQUEST),)),
    "postgres": (5432, ((b"", SSL_REQUEST), (b"S", b""))),
}  # fmt: skip
FIRST = {"redis": 6380, "mongodb": 27017, "irc": 6697, "imap": 993, "smtp": 465, "postgres": 5432}
"""Services whose TLS begins with the connection."""


def started(protocol: str, outer: str, sni: str, *, by: str) -> Talk:
    port, steps = STARTS[protocol]
    talk = _to_service(protocol, port, outer, by)
    for server, client in steps:
        if server:
            talk.reply(server)
        if client:
            talk.say(client)
        if any(isinstance(step, Seal) for step in talk.steps):
            talk.act(talk.flow.sealed(talk.now))
            break
    return talk.say(hello(sni))


def _to_service(protocol: str, port: int, outer: str, by: str) -> Talk:
    if by == "lease":
        return Talk(outer, port, protocol)
    talk = Talk(PROXY, port, protocol)
    return talk.say(connect(outer, port) if by == "connect" else socks5(outer, port))


@pytest.mark.parametrize("by", ["lease", "connect", "socks"])
@pytest.mark.parametrize("protocol", STARTS)
def test_starttls(protocol: str, by: str) -> None:
    talk = started(protocol, NAME, NAME, by=by)
    assert talk.blocks == []
    assert [step.name for step in talk.steps if isinstance(step, Seal)] == [NAME]
    assert talk.terminated == [NAME]
    for sni in (OTHER, *NEAR):
        talk = started(protocol, NAME, sni, by=by)
        assert talk.blocks == ["name_mismatch"], (sni, talk.blocks)
        assert talk.terminated == []
        assert talk.closed is not None


@pytest.mark.parametrize("by", ["lease", "connect", "socks"])
@pytest.mark.parametrize("protocol", FIRST)
def test_services_in_tls(protocol: str, by: str) -> None:
    talk = _to_service(protocol, FIRST[protocol], NAME, by).say(hello(NAME))
    assert talk.blocks == []
    assert talk.terminated == [NAME]
    talk = _to_service(protocol, FIRST[protocol], NAME, by).say(hello(OTHER))
    assert talk.blocks == ["name_mismatch"]
    assert talk.terminated == []
