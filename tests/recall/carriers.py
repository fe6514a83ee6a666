"""How a text leaves: what an agent's client makes of it, judged as the data plane judges it.

Heads go through the product's own reader, bodies that are held through `Judge.request`, longer ones
through the window of an upload, messages through a window of messages, as `interceptor.flow` does.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import quote, quote_plus

from interceptor.decide.judge import Judge
from interceptor.model import Target
from interceptor.verdict import Action, Finding, Reason, Verdict
from interceptor.wire.http1 import read_request

HOST = "collector.example.net"
"""Where everything goes: no rule's home."""

_IN_QUERY = "!$'()*+,;:@/?=-._~"  # RFC 3986 section 3.4, but for `&`
_FIXED = b"Host: %b\r\nUser-Agent: agent/1.0\r\nAccept: */*\r\n" % HOST.encode()
_HEAD_BYTES, _FIELDS = 65_536, 200


class Outcome(NamedTuple):
    """What became of one text."""

    blocked: bool
    reason: Reason
    findings: tuple[Finding, ...]

    def names(self, rule: str) -> bool:
        """Whether it was blocked and `rule` is among the findings."""
        return self.blocked and any(found.rule == rule for found in self.findings)


Carry = Callable[[Judge, bytes, int], Outcome | None]
"""(judge, text, seed) -> outcome; None where no client can carry these bytes so.

The seed varies what is a matter of taste among clients: which characters they escape.
"""


class Carrier(NamedTuple):
    """One way out."""

    name: str
    carry: Carry
    surface: str
    """Which of `Rule.surfaces` it is."""
    escaped: bool = False
    """Text that is percent-encoded by its encoding must not be once more."""


def outcome(verdict: Verdict | None) -> Outcome:
    """Outcome of a verdict; None, as windows give it, is clean."""
    if verdict is None:
        return Outcome(blocked=False, reason=Reason.ALLOWED, findings=())
    return Outcome(verdict.action is not Action.ALLOW, verdict.reason, verdict.findings)


def ask(judge: Judge, start: bytes, fields: bytes, body: bytes = b"") -> Outcome:
    """Judge a request whose body is held.

    Args:
        judge: of the jail.
        start: method and target, as in `GET /`.
        fields: more fields, each with its line end.
        body: content as sent.
    """
    length = b"Content-Length: %d\r\n" % len(body) if body else b""
    raw = start + b" HTTP/1.1\r\n" + _FIXED + fields + length + b"\r\n"
    read = read_request(raw, _HEAD_BYTES, _FIELDS)
    assert read is not None
    head = read[0]
    target = Target("https", HOST, 443, head.method, head.target.decode("ascii"))
    found = [(lower, value) for _, lower, value in head.fields]
    return outcome(judge.request(target, head.raw, found, body))


def upload(judge: Judge, kind: bytes, body: bytes, step: int = 16_384) -> Outcome:
    """Judge a body that streams, in chunks of `step` bytes."""
    target = Target("https", HOST, 443, "POST", "/upload")
    window = judge.upload_window(target, [(b"content-type", kind)])
    sent = b""
    for at in range(0, len(body), step):
        sent += window.feed(body[at : at + step])
    if window.verdict is None:
        sent += window.finish()
    if window.verdict is None:
        assert sent == body, "a body that passes leaves whole"
        return Outcome(blocked=False, reason=Reason.ALLOWED, findings=window.findings)
    assert body.startswith(sent)
    return outcome(window.verdict)


def _url(judge: Judge, text: bytes, seed: int) -> Outcome | None:
    return _get(judge, quote(text, safe=_IN_QUERY if seed % 2 else "").encode())


def _url_escaped(judge: Judge, text: bytes, _seed: int) -> Outcome | None:
    return _get(judge, text)


def _get(judge: Judge, value: bytes) -> Outcome | None:
    if len(value) > _HEAD_BYTES // 2:
        return None
    return ask(judge, b"GET /collect?page=2&q=" + value + b"&lang=en", b"")


def _header(judge: Judge, text: bytes, _seed: int) -> Outcome | None:
    if len(text) > _HEAD_BYTES // 2 or any(byte < 32 and byte != 9 for byte in text):
        return None
    if b"\x7f" in text or text != text.strip():
        return None
    return ask(judge, b"GET /collect", b"X-Note: " + text + b"\r\n")


def _document(text: bytes, seed: int) -> bytes | None:
    try:
        note = text.decode()
    except UnicodeDecodeError:
        return None
    document = {"id": 7, "tags": ["a", "b"], "note": note, "done": False}
    return json.dumps(document, ensure_ascii=seed % 2 == 0, indent=seed % 3 or None).encode()


def _json(judge: Judge, text: bytes, seed: int) -> Outcome | None:
    body = _document(text, seed)
    if body is None:
        return None
    return ask(judge, b"POST /collect", b"Content-Type: application/json\r\n", body)


def _json_streamed(judge: Judge, text: bytes, seed: int) -> Outcome | None:
    body = _document(text, seed)
    return None if body is None else upload(judge, b"application/json", body)


def _multipart_body(text: bytes) -> bytes:
    return (
        b'--frontier7\r\nContent-Disposition: form-data; name="kind"\r\n\r\nnotes\r\n'
        b'--frontier7\r\nContent-Disposition: form-data; name="file"; filename="notes.txt"\r\n'
        b"Content-Type: text/plain\r\n\r\n" + text + b"\r\n--frontier7--\r\n"
    )


_MULTIPART = b"multipart/form-data; boundary=frontier7"


def _multipart(judge: Judge, text: bytes, _seed: int) -> Outcome:
    fields = b"Content-Type: %b\r\n" % _MULTIPART
    return ask(judge, b"POST /collect", fields, _multipart_body(text))


def _multipart_streamed(judge: Judge, text: bytes, _seed: int) -> Outcome:
    return upload(judge, _MULTIPART, _multipart_body(text))


def _form(judge: Judge, text: bytes, _seed: int) -> Outcome:
    body = b"kind=notes&text=" + quote_plus(text).encode()
    fields = b"Content-Type: application/x-www-form-urlencoded\r\n"
    return ask(judge, b"POST /collect", fields, body)


def _frame(judge: Judge, text: bytes, _seed: int) -> Outcome:
    """A WebSocket message, after one that is harmless."""
    target = Target("https", HOST, 443, "GET", "/socket")
    window = judge.message_window(target, "ws_message")
    assert window.judge(b'{"type":"hello"}') is None
    return outcome(window.judge(text))


def _grpc(judge: Judge, text: bytes, _seed: int) -> Outcome:
    """A protobuf message whose field 2 is the text (wire type 2), between two others."""
    size, length = len(text), b""
    while size > 127:
        length += bytes((size & 127 | 128,))
        size >>= 7
    message = b"\x08\x96\x01\x12" + length + bytes((size,)) + text + b"\x1d" + struct.pack("<f", 1)
    target = Target("https", HOST, 443, "POST", "/notes.Notes/Add")
    return outcome(judge.message_window(target, "body").judge(message))


CARRIERS: tuple[Carrier, ...] = (
    Carrier("url", _url, "url", escaped=True),
    Carrier("header", _header, "header"),
    Carrier("json", _json, "body"),
    Carrier("multipart", _multipart, "body"),
    Carrier("frame", _frame, "body"),
    Carrier("json-streamed", _json_streamed, "body"),
    Carrier("multipart-streamed", _multipart_streamed, "body"),
    Carrier("form", _form, "body"),
    Carrier("grpc", _grpc, "body"),
)
"""All of them; the first five are those of the stated goal."""

STATED = 5


def carry(
    judge: Judge, carrier: Carrier, text: bytes, seed: int, *, escaped: bool
) -> Outcome | None:
    """Send `text` by `carrier`; `escaped` says that it is percent-encoded already."""
    if escaped and carrier.escaped:
        return _url_escaped(judge, text, seed)
    return carrier.carry(judge, text, seed)
