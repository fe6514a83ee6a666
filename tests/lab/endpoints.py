"""What the lab's sites answer, by path. The same on every name."""

from __future__ import annotations

import asyncio
import gzip
import json
import time

from tests.lab import browser_page, git_server, llm_api, package_index, steering_pages
from tests.lab.bad_responses import BAD
from tests.lab.web_server import Exchange

_BLOCK = bytes(range(256)) * 256


def pattern(size: int, offset: int = 0) -> bytes:
    """`size` bytes of the sequence that /bytes/N sends, from `offset`: 0, 1, .. 255, 0, .."""
    start = offset % 256
    return (_BLOCK * (size // len(_BLOCK) + 2))[start : start + size]


async def answer(exchange: Exchange) -> None:
    """Find the endpoint of a request and let it answer."""
    path = exchange.path
    first = path.strip("/").partition("/")[0]
    if first in ENDPOINTS:
        await ENDPOINTS[first](exchange)
    else:
        await exchange.reply(b"no such page in the lab\n", status=404)


PAGES: dict[str, tuple[str, bytes]] = {}
"""What `Lab.set_page` has put under /served/: by name, media type and content."""


async def _served(exchange: Exchange) -> None:
    kind, content = PAGES[exchange.path.rsplit("/", 1)[1]]
    await exchange.reply(content, kind)


async def _root(exchange: Exchange) -> None:
    page = b"<!doctype html><title>The lab</title><p>Hello from the lab's internet.</p>\n"
    await exchange.reply(page, "text/html; charset=utf-8")


def _described(exchange: Exchange) -> bytes:
    request = exchange.request
    shown = {
        "method": request.method,
        "target": request.target,
        "name": request.name,
        "host": request.field("host") or request.field(":authority"),
        "version": request.version,
        "fields": request.fields,
        "size": request.size,
        "sha256": request.digest,
    }
    return json.dumps(shown).encode() + b"\n"


async def _echo(exchange: Exchange) -> None:
    await exchange.read_all()
    await exchange.reply(_described(exchange), "application/json")


async def _gzip(exchange: Exchange) -> None:
    await exchange.read_all()
    packed = gzip.compress(_described(exchange))
    await exchange.reply(packed, "application/json", fields=[("Content-Encoding", "gzip")])


async def _bytes(exchange: Exchange) -> None:
    size = int(exchange.path.rsplit("/", 1)[1])
    octets = ("Content-Type", "application/octet-stream")
    exchange.head(200, [octets, ("Content-Length", str(size))])
    if exchange.request.method == "HEAD":
        return
    whole, rest = divmod(size, len(_BLOCK))
    for _ in range(whole):
        await exchange.send(_BLOCK)
    await exchange.send(_BLOCK[:rest])


async def _mirror(exchange: Exchange) -> None:
    """Give the request's content back: ?kind=text/html&cut=0&coding=gzip, `cut` bytes a chunk."""
    await exchange.read_all()
    query = exchange.query
    kind = query.get("kind", "text/html")
    body = bytes(exchange.request.body)
    fields = [("Content-Encoding", "gzip")] if query.get("coding") == "gzip" else []
    body = gzip.compress(body) if fields else body
    cut = int(query.get("cut", "0"))
    if not cut:
        await exchange.reply(body, kind, fields=fields)
        return
    exchange.stream([("Content-Type", kind), *fields])
    for start in range(0, len(body), cut):
        await exchange.piece(body[start : start + cut])
    await exchange.end()


async def _stream(exchange: Exchange) -> None:
    count = int(exchange.path.rsplit("/", 1)[1])
    exchange.stream([("Content-Type", "text/plain")])
    for number in range(count):
        await exchange.piece(b"line %d\n" % number)
    await exchange.end()


_EVENTS = [("Content-Type", "text/event-stream"), ("Cache-Control", "no-store")]


async def _sse(exchange: Exchange) -> None:
    """Server-sent events: ?n=3&interval=0.2 (seconds)."""
    count = int(exchange.query.get("n", "3"))
    interval = float(exchange.query.get("interval", "0.2"))
    exchange.stream(_EVENTS)
    for number in range(count):
        await exchange.piece(b"id: %d\ndata: event %d\n\n" % (number, number))
        await asyncio.sleep(interval)
    await exchange.end()


async def _ticks(exchange: Exchange) -> None:
    """/ticks/sse or /ticks/ndjson, ?n=3&interval=0.2: each event says when it was sent.

    `sent` is CLOCK_MONOTONIC in seconds, which every process of the machine shares.
    """
    count = int(exchange.query.get("n", "3"))
    interval = float(exchange.query.get("interval", "0.2"))
    events = exchange.path.endswith("/sse")
    exchange.stream(_EVENTS if events else [("Content-Type", "application/x-ndjson")])
    for number in range(count):
        tick = json.dumps({"number": number, "sent": time.monotonic()}).encode()
        await exchange.piece(b"data: %b\n\n" % tick if events else tick + b"\n")
        if number + 1 < count:
            await asyncio.sleep(interval)
    await exchange.end()


async def _trickle(exchange: Exchange) -> None:
    """?text=hello&interval=0.05: one byte a chunk."""
    exchange.stream([("Content-Type", "text/plain")])
    for octet in exchange.query.get("text", "trickle").encode():
        await exchange.piece(bytes([octet]))
        await asyncio.sleep(float(exchange.query.get("interval", "0.05")))
    await exchange.end()


async def _redirect(exchange: Exchange) -> None:
    to = exchange.query.get("to", "/get")
    await exchange.reply(b"", status=302, fields=[("Location", to)])


async def _slow(exchange: Exchange) -> None:
    """?seconds=1 before the first byte of the answer."""
    await asyncio.sleep(float(exchange.query.get("seconds", "1")))
    await exchange.reply(b"at last\n")


async def _status(exchange: Exchange) -> None:
    await exchange.reply(b"as you wish\n", status=int(exchange.path.rsplit("/", 1)[1]))


async def _close_delimited(exchange: Exchange) -> None:
    exchange.keep = False
    exchange.head(200, [("Content-Type", "text/plain")])
    for number in range(3):
        await exchange.send(b"until close %d\n" % number)


async def _trailers(exchange: Exchange) -> None:
    exchange.stream([("Content-Type", "text/plain"), ("Trailer", "X-Checksum")])
    await exchange.piece(b"with trailers\n")
    await exchange.end([("X-Checksum", "42")])


async def _early(exchange: Exchange) -> None:
    """Answers before it reads any of the body, then reads on for a while and closes."""
    exchange.keep = False
    body = b"no need for that body\n"
    exchange.head(413, [("Content-Length", str(len(body)))], "Content Too Large")
    await exchange.send(body)
    await _linger(exchange)


async def _linger(exchange: Exchange) -> None:
    """Read on before closing, or the client loses the answer to a reset (RFC 9112 section 9.6)."""
    try:
        async with asyncio.timeout(2):
            await exchange.read_all()
    except (TimeoutError, EOFError, OSError):
        pass


async def _expect_refused(exchange: Exchange) -> None:
    """417 instead of 100 Continue: the client must not send its body."""
    exchange.keep = False
    body = b"do not send it\n"
    exchange.head(417, [("Content-Length", str(len(body)))], "Expectation Failed")
    await exchange.send(body)
    await _linger(exchange)


async def _early_hints(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n")
    await exchange.reply(b"after the hints\n")


async def _bad(exchange: Exchange) -> None:
    case = exchange.path.rsplit("/", 1)[1]
    exchange.keep = False
    await exchange.send(BAD[case])
    await asyncio.sleep(0.05)


ENDPOINTS = {
    "": _root,
    "get": _echo,
    "echo": _echo,
    "upload": _echo,
    "gzip": _gzip,
    "bytes": _bytes,
    "mirror": _mirror,
    "stream": _stream,
    "sse": _sse,
    "ticks": _ticks,
    "trickle": _trickle,
    "page": browser_page.answer,
    "v1": llm_api.answer,
    "redirect": _redirect,
    "slow": _slow,
    "status": _status,
    "head-ok": _echo,
    "close-delimited": _close_delimited,
    "trailers": _trailers,
    "early-response": _early,
    "expect-refused": _expect_refused,
    "early-hints": _early_hints,
    "bad": _bad,
    "simple": package_index.answer,
    "packages": package_index.answer,
    "git": git_server.answer,
    "steering": steering_pages.answer,
    "served": _served,
}
