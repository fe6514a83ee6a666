"""A sample of the table as bytes for real sockets: what a client in a jail would do."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Final, NamedTuple

from tests import http2_bytes
from tests.ssrf.forms import EMBEDDINGS, Form, refused

PROXY: Final = ("proxy.example.com", 3128)
PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HELD: Final = ("169.254.169.254", "127.0.0.1")
"""Of these every spelling is sent; of the others one."""
UNREACHABLE: Final = ("127.", "0.", "224.", "255.", "::", "fe80:", "fec0:", "ff02:")
"""What the kernel of the jail keeps to itself when it is dialled."""


class Dial(NamedTuple):
    """One connection."""

    way: str
    form: Form
    host: str
    port: int
    pieces: tuple[bytes, ...]

    def row(self) -> list[object]:
        """As `tests/clients/ssrf_rows.py` takes it."""
        return [self.host, self.port, [piece.hex() for piece in self.pieces]]


def _get(host: str, target: str = "/get") -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()


def _websocket(host: str, target: str = "/get") -> bytes:
    return (
        f"GET {target} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    ).encode()


def _http2(host: str) -> bytes:
    pairs = (
        *((b":method", b"GET"), (b":scheme", b"http")),
        *((b":path", b"/get"), (b":authority", host.encode())),
    )
    return PREFACE + http2_bytes.settings() + http2_bytes.headers(1, pairs)


def direct(form: Form) -> Iterator[Dial]:
    """To the host itself, by its address or its name."""
    host = form.address or form.text
    own = f"[{host}]" if ":" in host else host
    yield Dial("origin-form", form, host, 80, (_get(own),))
    yield Dial("WebSocket", form, host, 80, (_websocket(own),))
    yield Dial(":authority", form, host, 80, (_http2(own),))


def by_proxy(form: Form) -> Iterator[Dial]:
    """By everything that takes the host from the client's own words."""
    text = form.text
    connect = f"CONNECT {text}:80 HTTP/1.1\r\nHost: {text}:80\r\n\r\n".encode()
    yield Dial("absolute-form", form, *PROXY, (_get(text, f"http://{text}/get"),))
    yield Dial(
        *("absolute-form, WebSocket", form, *PROXY),
        pieces=(_websocket(text, f"http://{text}/get"),),
    )
    yield Dial("CONNECT", form, *PROXY, (connect, _get(text)))
    yield Dial("CONNECT, HTTP/2", form, *PROXY, (connect, _http2(text)))
    yield Dial("CONNECT, WebSocket", form, *PROXY, (connect, _websocket(text)))
    name = form.name.encode()
    inside = _get(text)
    asked = b"\x04\x01\x00\x50\0\0\0\x01u\0" + name + b"\0"
    yield Dial("SOCKS4a", form, "proxy.example.com", 1080, (asked, inside))
    asked = b"\x05\x01\x00\x03" + bytes((len(name),)) + name + b"\x00\x50"
    yield Dial("SOCKS5, name", form, "proxy.example.com", 1080, (b"\x05\x01\x00", asked, inside))
    if form.text == form.address:
        raw = ipaddress.IPv4Address(form.address).packed
        asked = b"\x04\x01\x00\x50" + raw + b"u\0"
        yield Dial("SOCKS4", form, "proxy.example.com", 1080, (asked, inside))
    if form.address:
        packed = ipaddress.ip_address(form.address).packed
        asked = b"\x05\x01\x00" + (b"\x01" if len(packed) == 4 else b"\x04") + packed + b"\x00\x50"
        yield Dial("SOCKS5", form, "proxy.example.com", 1080, (b"\x05\x01\x00", asked, inside))


def sample() -> list[Dial]:
    """What is dialled in a jail: every way, with every host, and two hosts in every spelling."""
    dials: list[Dial] = []
    for form in refused():
        if not form.on_the_wire:
            continue
        held = form.address in HELD or (form.spelling in EMBEDDINGS and _carries(form))
        if held or form.spelling in ("dotted", "IPv6", "name"):
            dials += by_proxy(form)
        reachable = not form.address.startswith(UNREACHABLE) or form.spelling in EMBEDDINGS
        reachable = reachable and not form.text.endswith(".local")  # that is mDNS's: no such name
        if form.spelling in ("dotted", "IPv6", "name") and reachable:
            dials += direct(form)
    return dials


def _carries(form: Form) -> bool:
    return any(form.name == EMBEDDINGS[form.spelling](address) for address in HELD)


def answers() -> Iterator[tuple[str, Form]]:
    """Names of a hostile resolver, and the address that each resolves to."""
    for number, form in enumerate(refused()):
        plain = form.spelling in ("dotted", "IPv6") or (
            form.spelling in EMBEDDINGS and _carries(form)
        )
        if form.address and plain:
            yield f"hostile{number}.example", form
