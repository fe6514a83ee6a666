"""Ways to name a host: each takes a judge and a form through the real parsers and flows."""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import json
import ssl
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple, cast

from interceptor.decide.items import Items
from interceptor.decide.judge import Judge
from interceptor.flow.steps import Dial, Resolve
from interceptor.verdict import Reason
from tests import http2_bytes
from tests.conversation import OK, Conversation, get
from tests.ssrf.forms import Form

WEB: Final = ("11.22.33.10", "2d00:77::10")
"""What every name resolves to."""
PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class Seen(NamedTuple):
    """What came of one row."""

    blocks: tuple[str, ...]
    """Reason codes of all blocks."""
    resolved: int
    dialled: tuple[str, ...]
    sent: bytes
    """What any upstream got."""


class Desk(NamedTuple):
    """Who judges."""

    judge: Judge
    items: Items


class Carrier(NamedTuple):
    """One way to name a host."""

    name: str
    run: Callable[[Desk, Form], Seen]
    fits: Callable[[Form], bool] = lambda form: True
    unreadable: Reason | None = Reason.HTTP_MALFORMED
    """What is said of a host that does not have HTTP's form; None: it is read all the same."""
    others: tuple[Reason, ...] = ()
    """Reasons that are right as well."""
    twins: bool = True
    """Whether honest hosts pass this way."""
    resolves: bool = False
    """Whether the name is resolved before the refusal."""


class _Everywhere(Mapping[str, tuple[str, ...]]):
    """Every name is at the lab's web server, every address is itself."""

    def __getitem__(self, host: str) -> tuple[str, ...]:
        try:
            return (str(ipaddress.ip_address(host)),)
        except ValueError:
            return WEB

    def __contains__(self, host: object) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def _talk(desk: Desk, name: str = "", address: str = "11.22.33.99", port: int = 80) -> Conversation:
    judge = cast("Any", desk.judge)
    return Conversation(
        name=name, address=address, port=port, judge=judge, hosts=_Everywhere(), answer=lambda _: OK
    )


def _seen(talk: Conversation) -> Seen:
    dialled = tuple(a for step in talk.steps if isinstance(step, Dial) for a in step.addresses)
    resolved = sum(isinstance(step, Resolve) for step in talk.steps)
    return Seen(tuple(talk.blocks), resolved, dialled, talk.sent)


@functools.cache
def _hello(alpn: tuple[str, ...] = (), name: str | None = None) -> bytes:
    """A ClientHello, without a server name unless one is given."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    if alpn:
        context.set_alpn_protocols(list(alpn))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def _get(host: str, target: str = "/") -> bytes:
    return b"GET %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (target.encode(), host.encode())


def _websocket(host: str, target: str = "/") -> bytes:
    fields = (
        b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    )
    head = b"GET %b HTTP/1.1\r\nHost: %b\r\n%b\r\n"
    return head % (target.encode(), host.encode(), fields)


def _http2(host: str, scheme: bytes = b"http") -> bytes:
    pairs = (
        (b":method", b"GET"),
        (b":scheme", scheme),
        (b":path", b"/"),
        (b":authority", host.encode()),
    )
    return PREFACE + http2_bytes.settings() + http2_bytes.headers(1, pairs)


# -- connections to the host itself -----------------------------------------------------------


def _to(desk: Desk, form: Form, port: int = 80) -> Conversation:
    """A connection made for the host: to its address, or to one leased to its name."""
    if form.address:
        return _talk(desk, address=form.address, port=port)
    return _talk(desk, name=_lower(form), address="198.18.9.9", port=port)


def _lower(form: Form) -> str:
    return form.text.lower().removesuffix(".")


def _own(form: Form) -> str:
    """The host as a client writes it that has read it."""
    if not form.address:
        return _lower(form)
    return f"[{form.address}]" if ":" in form.address else form.address


def _canonical(form: Form) -> bool:
    """One spelling for each host: the others lead to the same connection."""
    if not form.address:
        return form.spelling == "name"
    return form.text in (form.address, f"[{form.address}]")


def _dialled(desk: Desk, form: Form) -> Seen:
    return _seen(_to(desk, form).say(_get(_own(form))))


def _dialled_tls(desk: Desk, form: Form) -> Seen:
    return _seen(_to(desk, form, 443).say(_hello(), _get(_own(form))))


def _dialled_http2(desk: Desk, form: Form) -> Seen:
    return _seen(_to(desk, form).say(_http2(_own(form))))


def _dialled_http2_tls(desk: Desk, form: Form) -> Seen:
    return _seen(_to(desk, form, 443).say(_hello(("h2",)), _http2(_own(form), b"https")))


def _dialled_websocket(desk: Desk, form: Form) -> Seen:
    return _seen(_to(desk, form).say(_websocket(_own(form))))


def _host(desk: Desk, form: Form) -> Seen:
    return _seen(_to(desk, form).say(_get(form.text)))


def _authority(desk: Desk, form: Form) -> Seen:
    return _seen(_to(desk, form).say(_http2(form.text)))


def _readable(form: Form) -> bool:
    """A connection for this spelling can exist: its name, if it is one, was resolved."""
    return bool(form.address) or form.on_the_wire


# -- another connection, with the host in the request -------------------------------------------


def _host_of_another(desk: Desk, form: Form) -> Seen:
    return _seen(_talk(desk, name="api.example.com").say(_get(form.text)))


def _authority_of_another(desk: Desk, form: Form) -> Seen:
    return _seen(_talk(desk, name="api.example.com").say(_http2(form.text)))


def _sni(desk: Desk, form: Form) -> Seen:
    talk = _talk(desk, name="api.example.com", port=443)
    return _seen(talk.say(_hello((), form.name), _get(form.text)))


# -- proxies ----------------------------------------------------------------------------------


def _proxy(desk: Desk) -> Conversation:
    return _talk(desk, name="proxy.example.com", port=3128)


def _absolute(desk: Desk, form: Form) -> Seen:
    return _seen(_proxy(desk).say(_get(form.text, f"http://{form.text}/")))


def _absolute_port(desk: Desk, form: Form) -> Seen:
    host = f"{form.text}:11434"
    return _seen(_proxy(desk).say(_get(host, f"http://{host}/api/tags")))


def _absolute_websocket(desk: Desk, form: Form) -> Seen:
    return _seen(_proxy(desk).say(_websocket(form.text, f"http://{form.text}/")))


def _connect(desk: Desk, form: Form, port: int) -> Conversation:
    host = f"{form.text}:{port}"
    return _proxy(desk).say(
        b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (host.encode(), host.encode())
    )


def _inside(talk: Conversation, *pieces: bytes) -> Seen:
    """Speak inside the tunnel; where there is none, that was the refusal."""
    return _seen(talk if talk.blocks else talk.say(*pieces))


def _connect_http(desk: Desk, form: Form) -> Seen:
    return _inside(_connect(desk, form, 80), _get(form.text))


def _connect_tls(desk: Desk, form: Form) -> Seen:
    return _inside(_connect(desk, form, 443), _hello(), _get(form.text))


def _connect_http2(desk: Desk, form: Form) -> Seen:
    return _inside(_connect(desk, form, 80), _http2(form.text))


def _connect_websocket(desk: Desk, form: Form) -> Seen:
    return _inside(_connect(desk, form, 80), _websocket(form.text))


def _connect_twice(desk: Desk, form: Form) -> Seen:
    talk = _proxy(desk).say(b"CONNECT other.example.com:80 HTTP/1.1\r\nHost: x\r\n\r\n")
    host = f"{form.text}:80".encode()
    talk.say(b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (host, host))
    return _inside(talk, _get(form.text))


def _socks(desk: Desk, form: Form, *pieces: bytes) -> Seen:
    talk = _talk(desk, name="proxy.example.com", port=1080)
    return _seen(talk.say(*pieces, _get(_own(form))))


def _socks4(desk: Desk, form: Form) -> Seen:
    raw = ipaddress.IPv4Address(form.address).packed
    return _socks(desk, form, b"\x04\x01\x00\x50" + raw + b"user\0")


def _socks4a(desk: Desk, form: Form) -> Seen:
    return _socks(desk, form, b"\x04\x01\x00\x50\0\0\0\x01user\0" + form.name.encode() + b"\0")


def _socks5(desk: Desk, form: Form) -> Seen:
    raw = ipaddress.ip_address(form.address).packed
    kind = b"\x04" if len(raw) == 16 else b"\x01"
    return _socks(desk, form, b"\x05\x01\x00", b"\x05\x01\x00" + kind + raw + b"\x00\x50")


def _socks5_name(desk: Desk, form: Form) -> Seen:
    raw = form.name.encode()
    asked = b"\x05\x01\x00\x03" + bytes((len(raw),)) + raw + b"\x00\x50"
    return _socks(desk, form, b"\x05\x01\x00", asked)


# -- what a resolver says -----------------------------------------------------------------------


def _answer(*places: str) -> Callable[[Desk, Form], Seen]:
    def run(desk: Desk, form: Form) -> Seen:
        addresses = tuple(form.address if place == "it" else place for place in places)
        talk = _talk(desk, name="rebind.example.com")
        talk.hosts = {"rebind.example.com": addresses}
        return _seen(talk.say(get("/", "rebind.example.com")))

    return run


def _address_once(form: Form) -> bool:
    return bool(form.address) and _canonical(form)


# -- items, as `egressguard scan` and hooks judge them --------------------------------------------


def _item(surface: str, template: str) -> Callable[[Desk, Form], Seen]:
    def run(desk: Desk, form: Form) -> Seen:
        host = form.name if surface == "address" else form.text
        text = template.replace("HOST", json.dumps(host)[1:-1] if "{" in template else host)
        verdict = desk.items.judge_item(surface, text.encode())
        blocks = () if verdict.allowed else (verdict.reason.value,)
        return Seen(blocks, 0, () if blocks else _Everywhere()[form.address or form.text], b"")

    return run


def _few(form: Form) -> bool:
    """Every spelling, of a few hosts: a URL around it is read before the host is."""
    held = ("169.254.169.254", "10.0.0.5", "::1", "fd00:ec2::254")
    twin = form.reason is Reason.ALLOWED
    return twin or not form.address or form.address in held or held[0] in form.text


URLS: Final = (
    *("http://HOST/", "https://HOST/", "ws://HOST/", "wss://HOST/chat", "HTTP://HOST/latest?x=1#y"),
    *("http://HOST:80/", "http://HOST", "http:HOST", "http:/HOST/", "http:///HOST/", "//HOST/"),
    *("http:\\\\HOST\\latest", " http://HOST/ ", "ht\ttp://HOST/", "http://\nHOST/"),
    *("http://user@HOST/", "http://user:pass@HOST/", "http://example.com@HOST/"),
    *("http://example.com:80@HOST:80/", "http://11.22.33.10@HOST/", "http://a@b@HOST/"),
    *("http://example.com%2f@HOST/", "http://example.com%23@HOST/", "http://HOST#@example.com/"),
    *("http://HOST?@example.com/", "http://HOST/@example.com/", "http://HOST#.example.com/"),
    *("http://HOST:80?.example.com", "\u0000http://HOST/"),
)  # fmt: skip
"""URLs whose host is HOST, as clients read them."""

CARRIERS: Final = (
    Carrier("dialled", _dialled, _canonical),
    Carrier("dialled, TLS", _dialled_tls, _canonical),
    Carrier("dialled, HTTP/2", _dialled_http2, _canonical),
    Carrier("dialled, HTTP/2 over TLS", _dialled_http2_tls, _canonical),
    Carrier("dialled, WebSocket", _dialled_websocket, _canonical),
    Carrier("Host", _host, _readable),
    Carrier(":authority", _authority, _readable),
    Carrier("Host of another", _host_of_another, others=(Reason.NAME_MISMATCH,), twins=False),
    Carrier(
        *(":authority of another", _authority_of_another),
        others=(Reason.NAME_MISMATCH,),
        twins=False,
    ),
    Carrier(
        *("SNI of another", _sni, lambda form: form.spelling in ("name", "hexadecimal")),
        others=(Reason.NAME_MISMATCH, Reason.NAME_INVALID),
        twins=False,
    ),
    Carrier("absolute-form", _absolute),
    Carrier("absolute-form, port", _absolute_port, twins=False),
    Carrier("absolute-form, WebSocket", _absolute_websocket),
    Carrier("CONNECT", _connect_http),
    Carrier("CONNECT, TLS", _connect_tls),
    Carrier("CONNECT, HTTP/2", _connect_http2),
    Carrier("CONNECT, WebSocket", _connect_websocket),
    Carrier("CONNECT in CONNECT", _connect_twice),
    Carrier("SOCKS4", _socks4, lambda form: form.spelling == "dotted"),
    Carrier("SOCKS4a", _socks4a, unreadable=Reason.NAME_INVALID),
    Carrier("SOCKS5, address", _socks5, _address_once),
    Carrier("SOCKS5, name", _socks5_name, unreadable=Reason.NAME_INVALID),
    Carrier("DNS answer", _answer("it"), _address_once, resolves=True),
    Carrier("DNS answer, first", _answer("it", *WEB), _address_once, resolves=True),
    Carrier("DNS answer, last", _answer(*WEB, "it"), _address_once, resolves=True),
    *(Carrier(f"url {url!a}", _item("url", url), unreadable=None) for url in URLS[:2]),
    *(Carrier(f"url {url!a}", _item("url", url), _few, unreadable=None) for url in URLS[2:]),
    Carrier("hostname", _item("hostname", "HOST"), unreadable=None),
    Carrier("hostname and port", _item("hostname", "HOST:443"), unreadable=None),
    Carrier("address", _item("address", "HOST"), _address_once, unreadable=None),
    Carrier(
        *("request", _item("request", "GET / HTTP/1.1\r\nHost: HOST\r\n\r\n")),
        fits=lambda form: form.on_the_wire,
    ),
    Carrier(
        *("CONNECT request", _item("request", "CONNECT HOST:443 HTTP/1.1\r\nHost: x\r\n\r\n")),
        fits=lambda form: form.on_the_wire,
    ),
    Carrier("tool call", _item("tool_call", '{"url": "http://HOST/"}'), unreadable=None),
    Carrier("tool call, deep", _item("tool_call", '{"a": [{"b": "ws://HOST"}]}'), unreadable=None),
)  # fmt: skip
"""All of them."""
