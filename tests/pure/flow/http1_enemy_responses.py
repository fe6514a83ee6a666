"""Responses as an enemy would write them, and the honest twins: each with its defined answer."""

# ruff: noqa: E501

from __future__ import annotations

from typing import NamedTuple

from tests.pure.flow.http1_enemy import (
    OK,
    RFC_CHUNKS,
    RFC_CL,
    RFC_EXTENSION,
    RFC_HOP,
    RFC_NAME,
    RFC_TE,
    RFC_TRAILER,
    RFC_UPGRADE,
    RFC_VALUE,
)


class Answered(NamedTuple):
    """What upstream answers to a GET, and what comes of it."""

    name: str
    data: bytes
    status: int
    why: str
    reason: str = ""
    received: bytes = b""
    """What the agent gets, byte for byte; not looked at where it is an explanation of ours."""
    kept: bool = True
    """The agent's connection serves another request."""
    reused: bool = False
    """The upstream connection does, too."""
    method: bytes = b"GET"
    ended: bool = False
    """Upstream closes after it."""


_BAD = "upstream_malformed"
_1XX = "RFC 9110 section 15.2"
_STATUS = "RFC 9112 section 4"
_NO_BODY = "RFC 9112 section 6.3, items 1 and 2"
_AFTER = "RFC 9112 section 9.3: never taken for the next response"


def _ok(*fields: bytes, body: bytes = b"", line: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return line + b"\r\n" + b"".join(f + b"\r\n" for f in fields) + b"\r\n" + body


def _two(*fields: bytes, line: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return _ok(*fields, b"Content-Length: 2", body=b"ok", line=line)


def _wrong(name: str, data: bytes, why: str, method: bytes = b"GET") -> Answered:
    return Answered(name, data, 502, why, _BAD, kept=False, method=method)


def _relayed(name: str, data: bytes, received: bytes, why: str) -> Answered:
    return Answered(name, data, 200, why, received=received, reused=True)


def _cut(name: str, data: bytes, why: str, *, ended: bool = False) -> Answered:
    return Answered(name, data, 200, why, _BAD, kept=False, ended=ended)


def _wrong_length(name: str, *values: bytes) -> Answered:
    data = _ok(*(b"Content-Length:" + value for value in values), body=b"ok")
    return _wrong(f"Content-Length: {name}", data, RFC_CL)


def _wrong_coding(name: str, *values: bytes) -> Answered:
    data = _ok(*(b"Transfer-Encoding:" + value for value in values), body=b"0\r\n\r\n")
    return _wrong(f"Transfer-Encoding: {name}", data, RFC_TE)


def _bodiless(name: str, data: bytes, received: bytes, method: bytes = b"GET") -> Answered:
    status = int(received[9:12])
    return Answered(name, data, status, _NO_BODY, received=received, reused=True, method=method)


_CHUNKED_OK = _ok(b"Transfer-Encoding: chunked", body=b"2\r\nok\r\n0\r\n\r\n")


def _inbound(name: str, body: bytes, why: str, received: bytes = _CHUNKED_OK) -> Answered:
    return _relayed(name, _ok(b"Transfer-Encoding: chunked", body=body), received, why)


def _broken(name: str, body: bytes, why: str = RFC_CHUNKS) -> Answered:
    return _cut(name, _ok(b"Transfer-Encoding: chunked", body=b"2\r\nok\r\n" + body), why)


RESPONSE_FRAMING = (
    _relayed("Content-Length", OK, OK, "the honest twin"),
    _relayed("chunked", _CHUNKED_OK, _CHUNKED_OK, "the honest twin"),
    Answered("ended by the connection", _ok(body=b"ok"), 200, "RFC 9112 section 6.3, item 8", received=_CHUNKED_OK, ended=True),
    Answered("ended by the connection, and keep-alive", _ok(b"Connection: keep-alive", body=b"ok"), 200, "RFC 9112 section 6.3, item 8", received=_CHUNKED_OK, ended=True),
    _wrong("Content-Length and Transfer-Encoding", _ok(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"), RFC_TE),
    _wrong("both, in answer to HEAD", _ok(b"Content-Length: 5", b"Transfer-Encoding: chunked"), RFC_TE, b"HEAD"),
    _wrong_length("twice, different", b" 2", b" 3"),
    _wrong_length("list, different", b" 2, 3"),
    _wrong_length("minus", b" -2"),
    _wrong_length("plus", b" +2"),
    _wrong_length("hexadecimal", b" 0x2"),
    _wrong_length("empty", b""),
    _wrong_length("empty list", b" ,"),
    _wrong_length("beyond 18 digits", b" " + b"9" * 19),
    _relayed("Content-Length twice, the same", _ok(b"Content-Length: 2", b"Content-Length: 2", body=b"ok"), OK, "RFC 9112 section 6.3, item 5: one meaning"),
    _relayed("Content-Length as a list, the same", _ok(b"Content-Length: 2, 2", body=b"ok"), OK, "RFC 9112 section 6.3, item 5: one meaning"),
    _relayed("Content-Length with leading zeros", _ok(b"Content-Length: 0002", body=b"ok"), OK, "RFC 9110 section 8.6"),
    _wrong_coding("gzip", b" gzip"),
    _wrong_coding("gzip, chunked", b" gzip, chunked"),
    _wrong_coding("twice", b" chunked", b" chunked"),
    _wrong_coding("identity", b" identity"),
    _wrong_coding("xchunked", b" xchunked"),
    _wrong_coding("empty", b""),
    _wrong("Transfer-Encoding in HTTP/1.0", _ok(b"Transfer-Encoding: chunked", body=b"0\r\n\r\n", line=b"HTTP/1.0 200 OK"), RFC_TE),
    _bodiless("204 with Content-Length", _ok(b"Content-Length: 2", line=b"HTTP/1.1 204 No Content"), _ok(line=b"HTTP/1.1 204 No Content")),
    _bodiless("204 with Transfer-Encoding", _ok(b"Transfer-Encoding: chunked", line=b"HTTP/1.1 204 No Content"), _ok(line=b"HTTP/1.1 204 No Content")),
    _bodiless("304 with Content-Length", _ok(b"Content-Length: 2", line=b"HTTP/1.1 304 Not Modified"), _ok(b"Content-Length: 2", line=b"HTTP/1.1 304 Not Modified")),
    _bodiless("Content-Length in answer to HEAD", _ok(b"Content-Length: 2"), _ok(b"Content-Length: 2"), b"HEAD"),
    _bodiless("Transfer-Encoding in answer to HEAD", _ok(b"Transfer-Encoding: chunked"), _ok(b"Transfer-Encoding: chunked"), b"HEAD"),
    _bodiless("neither in answer to HEAD", _ok(), _ok(), b"HEAD"),
    Answered("204 with a body", _ok(b"Content-Length: 2", body=b"ok", line=b"HTTP/1.1 204 No Content"), 204, _AFTER, received=_ok(line=b"HTTP/1.1 204 No Content")),
    Answered("a body in answer to HEAD", OK, 200, _AFTER, received=OK[:-2], method=b"HEAD"),
    Answered("bytes after the end", OK + b"x", 200, _AFTER, received=OK),
    Answered("a second response", OK + _two(b"X-A: forged"), 200, _AFTER, received=OK),
    Answered("a second response after chunks", _CHUNKED_OK + OK, 200, _AFTER, received=_CHUNKED_OK),
    _cut("body shorter than its length, then the end", _ok(b"Content-Length: 9", body=b"ok"), "RFC 9112 section 8: a cut body is never taken for a whole one", ended=True),
    _cut("no last chunk, then the end", _ok(b"Transfer-Encoding: chunked", body=b"2\r\nok\r\n"), "RFC 9112 section 8", ended=True),
    _cut("end within a chunk", _ok(b"Transfer-Encoding: chunked", body=b"9\r\nok"), "RFC 9112 section 8", ended=True),
    _cut("end within the trailers", _ok(b"Transfer-Encoding: chunked", body=b"0\r\nX-A: b\r\n"), "RFC 9112 section 8", ended=True),
    Answered("nothing, then the end", b"", 502, "RFC 9112 section 8", "upstream_closed", kept=False, ended=True),
    Answered("end within the head", b"HTTP/1.1 200 OK\r\nContent-", 502, "RFC 9112 section 8", "upstream_closed", kept=False, ended=True),
)  # fmt: skip

STATUS = (
    _relayed("no reason phrase", _two(line=b"HTTP/1.1 200"), _two(line=b"HTTP/1.1 200 "), "RFC 9112 section 4: the space is sent all the same"),
    _relayed("empty reason phrase", _two(line=b"HTTP/1.1 200 "), _two(line=b"HTTP/1.1 200 "), _STATUS),
    _relayed("8-bit reason phrase", _two(line=b"HTTP/1.1 200 d\xe9j\xe0 vu"), _two(line=b"HTTP/1.1 200 d\xe9j\xe0 vu"), _STATUS),
    Answered("status 999", _two(line=b"HTTP/1.1 999 No"), 999, "RFC 9110 section 15: the client's to judge", received=_two(line=b"HTTP/1.1 999 No"), reused=True),
    *(
        _wrong(name, _two(line=line), _STATUS)
        for name, line in (
            ("status 099", b"HTTP/1.1 099 OK"),
            ("status 1000", b"HTTP/1.1 1000 OK"),
            ("status 20", b"HTTP/1.1 20 OK"),
            ("status 200abc", b"HTTP/1.1 200abc"),
            ("status -200", b"HTTP/1.1 -200 OK"),
            ("no status", b"HTTP/1.1 OK"),
            ("two spaces", b"HTTP/1.1  200 OK"),
            ("tab", b"HTTP/1.1\t200 OK"),
            ("NUL in the reason phrase", b"HTTP/1.1 200 O\x00K"),
            ("HTTP/2", b"HTTP/2 200 OK"),
            ("HTTP/1.2", b"HTTP/1.2 200 OK"),
            ("lower case", b"http/1.1 200 OK"),
            ("another protocol", b"ICY 200 OK"),
        )
    ),
    _wrong("an empty line before it", b"\r\n" + OK, _STATUS),
    _wrong("HTTP/0.9", b"<html>hello</html>\n", "RFC 9110 section 2.5"),
    _wrong("another server's greeting", b"220 mail.example ESMTP\r\n", _STATUS),
    _wrong("binary", bytes(range(128, 256)), _STATUS),
    _relayed("interim responses", _ok(line=b"HTTP/1.1 100 Continue") + _ok(b"Link: </a>", line=b"HTTP/1.1 103 Early Hints") + OK, OK, _1XX + ": those that came for us are ours"),
    _wrong("17 interim responses", _ok(line=b"HTTP/1.1 102 Processing") * 17 + OK, "a flood"),
    _wrong("101 that nobody asked for", _ok(b"Connection: upgrade", b"Upgrade: x", line=b"HTTP/1.1 101 Switching Protocols"), RFC_UPGRADE),
)  # fmt: skip

RESPONSE_FIELDS = (
    _relayed("8-bit value", _two(b"X-A: caf\xc3\xa9 \xff"), _two(b"X-A: caf\xc3\xa9 \xff"), RFC_VALUE),
    _relayed("Set-Cookie twice", _two(b"Set-Cookie: a=b; Path=/", b"X-A: b", b"set-cookie: c=d,e"), _two(b"Set-Cookie: a=b; Path=/", b"X-A: b", b"set-cookie: c=d,e"), "RFC 9110 section 5.3: order and case are kept"),
    _relayed("Connection names a field", _two(b"Connection: X-A", b"X-A: b", b"X-B: c"), _two(b"X-B: c"), RFC_HOP),
    _relayed("Keep-Alive, Proxy-Connection, Upgrade, Trailer", _two(b"Keep-Alive: timeout=5", b"Proxy-Connection: keep-alive", b"Upgrade: h2,h2c", b"Trailer: X-A"), OK, RFC_HOP),
    _relayed("Alt-Svc", _two(b'Alt-Svc: h3=":443"'), OK, "RFC 7838: QUIC is refused"),
    Answered("Connection: close", _two(b"Connection: close"), 200, "RFC 9112 section 9.6: ends here, not there", received=OK),
    Answered("HTTP/1.0", _two(line=b"HTTP/1.0 200 OK"), 200, "RFC 9112 section 9.3", received=OK),
    _relayed("HTTP/1.0 with keep-alive", _two(b"Connection: keep-alive", line=b"HTTP/1.0 200 OK"), OK, "RFC 9112 section C.2.2"),
    *(
        _wrong(name, _two(*fields), why)
        for name, fields, why in (
            ("folded value", (b"X-A: b\r\n c",), "RFC 9112 section 5.2"),
            ("bare LF in a value", (b"X-A: b\nX-B: c",), "RFC 9112 section 2.2"),
            ("bare CR in a value", (b"X-A: b\rX-B: c",), "RFC 9112 section 2.2"),
            ("NUL in a value", (b"X-A: b\x00",), RFC_VALUE),
            ("8-bit name", (b"X-\xe9: b",), RFC_NAME),
            ("space before the colon", (b"Content-Length : 9",), RFC_NAME),
            ("empty name", (b": b",), RFC_NAME),
            ("no colon", (b"X-A",), RFC_NAME),
            ("more fields than header_count", (b"X-A: b",) * 40, "a flood"),
            ("a field over header_bytes", (b"X-A: " + b"b" * 9000,), "a flood"),
        )
    ),
    _wrong("bare LF at every end", OK.replace(b"\r", b""), "RFC 9112 section 2.2"),
    _wrong("a head that never ends", OK[:-4] + b"X-A: b\r\n" * 2000, "a flood"),
)  # fmt: skip

RESPONSE_CHUNKS = (
    _inbound("extension", b"2;a=b\r\nok\r\n0\r\n\r\n", RFC_EXTENSION + ": dropped"),
    _inbound("size padded with spaces", b"2    \r\nok\r\n0 \r\n\r\n", RFC_CHUNKS + ": servers do; written afresh"),
    _inbound("trailer", b"2\r\nok\r\n0\r\nX-A: b\r\n\r\n", RFC_TRAILER, _CHUNKED_OK[:-2] + b"X-A: b\r\n\r\n"),
    _inbound("trailers that steer", b"2\r\nok\r\n0\r\nContent-Length: 9\r\nSet-Cookie: a=b\r\nX-A: b\r\n\r\n", RFC_TRAILER + ": dropped", _CHUNKED_OK[:-2] + b"X-A: b\r\n\r\n"),
    _broken("not a number", b"xyz\r\nhello\r\n0\r\n\r\n"),
    _broken("minus", b"-5\r\nhello\r\n0\r\n\r\n"),
    _broken("0x", b"0x5\r\nhello\r\n0\r\n\r\n"),
    _broken("space before the size", b" 5\r\nhello\r\n0\r\n\r\n"),
    _broken("16 digits", b"f" * 16 + b"\r\nhello\r\n0\r\n\r\n"),
    _broken("bare LF after the size", b"5\nhello\r\n0\r\n\r\n"),
    _broken("chunk longer than its size", b"2\r\nhello\r\n0\r\n\r\n"),
    _broken("bare LF after a chunk", b"5\r\nhello\n0\r\n\r\n"),
    _broken("an extension over 1024 bytes", b"5;" + b"a" * 2000 + b"\r\nhello\r\n", RFC_EXTENSION),
    _broken("more extensions than content", (b"1;" + b"a" * 900 + b"\r\nx\r\n") * 20, RFC_EXTENSION),
    _broken("trailer, folded", b"0\r\nX-A: b\r\n c\r\n\r\n", "RFC 9112 section 5.2"),
    _broken("more than 32 trailers", b"0\r\n" + b"X-A: b\r\n" * 33 + b"\r\n", "RFC 9112 section 7.1.2"),
    _broken("trailers over 8192 bytes", b"0\r\n" + b"X-A: b\r\n" * 1100, "RFC 9112 section 7.1.2"),
)  # fmt: skip

RESPONSES = {
    "Framing": RESPONSE_FRAMING,
    "Status line": STATUS,
    "Fields": RESPONSE_FIELDS,
    "Chunks and trailers": RESPONSE_CHUNKS,
}
