"""One piece of ordinary traffic, and how the data plane judges it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from interceptor.decide.judge import Judge
from interceptor.model import Target
from interceptor.policy.schema import Policy
from interceptor.scan.engine import Scanner
from interceptor.verdict import Verdict
from interceptor.wire.content import content_codings
from interceptor.wire.http1 import read_request

_HEAD_BYTES, _FIELDS = 65_536, 200
_CHUNK = 65_536


class Item(NamedTuple):
    """A request, or a message of a WebSocket."""

    name: str
    """Family and number or path: `lockfile/12`, `found/html/usr/share/...`."""
    host: str
    path: str = "/"
    method: str = "POST"
    fields: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    message: bool = False
    """The body is one message of a WebSocket that is open."""
    source: bytes = b""
    """What the body was made of, where that is a file."""

    @property
    def family(self) -> str:
        """What kind of traffic it is."""
        return self.name.partition("/")[0]


class Result(NamedTuple):
    """What was decided; None: nothing was found."""

    item: Item
    verdict: Verdict | None

    @property
    def blocked(self) -> bool:
        """Whether it was a false alarm, or held a secret after all."""
        return self.verdict is not None and not self.verdict.allowed


def judge_of(scanner: Scanner) -> Judge:
    """Judge of the default policy, which knows no secrets beforehand."""
    return Judge(Policy(), scanner, b"benign" * 4)


def decide(judge: Judge, item: Item) -> Result:
    """Judge an item the way the data plane does: held, streamed or as a message."""
    target = Target("https", item.host, 443, item.method, item.path)
    if item.message:
        return Result(item, judge.message_window(target, "ws_message").judge(item.body))
    lines = [f"{item.method} {item.path} HTTP/1.1", f"Host: {item.host}"]
    lines += [f"{name}: {value}" for name, value in item.fields]
    if item.body:
        lines.append(f"Content-Length: {len(item.body)}")
    raw = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
    read = read_request(raw, _HEAD_BYTES, _FIELDS)
    assert read is not None
    head = read[0]
    fields = [(lower, value) for _, lower, value in head.fields]
    codings = content_codings(head.codings) if item.body else ()
    if len(item.body) <= Policy().limits.body_hold:
        return Result(item, judge.request(target, head.raw, fields, item.body, codings))
    verdict = judge.request(target, head.raw, fields, b"")
    if not verdict.allowed:
        return Result(item, verdict)
    return Result(item, _streamed(judge, target, fields, item.body, codings))


def _streamed(
    judge: Judge,
    target: Target,
    fields: Sequence[tuple[bytes, bytes]],
    body: bytes,
    codings: tuple[bytes, ...],
) -> Verdict | None:
    window = judge.upload_window(target, fields, codings)
    for at in range(0, len(body), _CHUNK):
        window.feed(body[at : at + _CHUNK])
        if window.verdict is not None:
            return window.verdict
    window.finish()
    return window.verdict
