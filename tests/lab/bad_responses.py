"""Responses that no honest server sends: /bad/<case> on any lab site, written as they are here."""

from __future__ import annotations

_OK = b"HTTP/1.1 200 OK\r\n"
_TEXT = b"Content-Type: text/plain\r\n"

BAD: dict[str, bytes] = {
    "two-framings": _OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two-lengths": _OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "negative-length": _OK + b"Content-Length: -1\r\n\r\nhello",
    "length-not-number": _OK + b"Content-Length: 0x5\r\n\r\nhello",
    "status-line": b"HTTP/1.1 OK fine\r\nContent-Length: 2\r\n\r\nhi",
    "status-too-big": b"HTTP/1.1 1200 OK\r\nContent-Length: 2\r\n\r\nhi",
    "version": b"HTTP/9.9 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    "not-http": b"220 mail.example ESMTP ready\r\n",
    "binary": bytes(range(128, 256)),
    "huge-field": _OK + b"X-Huge: " + b"a" * 300_000 + b"\r\nContent-Length: 2\r\n\r\nhi",
    "many-fields": _OK + b"X-One: 1\r\n" * 20_000 + b"Content-Length: 2\r\n\r\nhi",
    "endless-head": _OK + b"X-More: yes\r\n" * 10,
    "truncated-body": _OK + _TEXT + b"Content-Length: 100\r\n\r\nonly this",
    "truncated-chunk": _OK + b"Transfer-Encoding: chunked\r\n\r\nff\r\nonly this",
    "no-last-chunk": _OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    "chunk-size": _OK + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\nhello\r\n0\r\n\r\n",
    "chunk-size-negative": _OK + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
    "nul-in-field": _OK + b"X-Nul: a\x00b\r\nContent-Length: 2\r\n\r\nhi",
    "bare-lf": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi",
    "bare-cr": _OK + b"X-A: b\rX-C: d\r\nContent-Length: 2\r\n\r\nhi",
    "folded": _OK + b"X-Folded: one\r\n two\r\nContent-Length: 2\r\n\r\nhi",
    "space-before-colon": _OK + b"Content-Length : 2\r\n\r\nhi",
    "no-colon": _OK + b"this is no field\r\nContent-Length: 2\r\n\r\nhi",
    "unknown-coding": _OK + b"Transfer-Encoding: whatever\r\n\r\nhi",
    "unasked-switch": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: foo\r\n\r\nfoo foo",
    "second-response": _OK + b"Content-Length: 2\r\n\r\nhi" + _OK + b"Content-Length: 3\r\n\r\nbye",
    "interim-flood": b"HTTP/1.1 102 Processing\r\n\r\n" * 1000 + _OK + b"Content-Length: 0\r\n\r\n",
    "nothing": b"",
}
