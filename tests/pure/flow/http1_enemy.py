"""Requests as an enemy would write them, and the honest twins: each with its defined answer.

A table, so a line a case. `test_http1_enemy` drives it through the flow and makes docs/http1.md.
"""

# ruff: noqa: E501

from __future__ import annotations

from typing import NamedTuple

HOST = b"Host: api.example.com\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
MALFORMED, MISMATCH, LIMIT = "http_malformed", "name_mismatch", "limit_exceeded"


class Asked(NamedTuple):
    """What the agent sends, and what comes of it."""

    name: str
    data: bytes
    statuses: tuple[int, ...]
    """What the agent gets for it."""
    why: str
    """RFC section, or what would go wrong."""
    reason: str = ""
    """Reason code of the refusal; empty: it passes."""
    kept: bool = False
    """The connection serves another request."""
    sent: tuple[bytes, ...] = ()
    """What each upstream connection gets, byte for byte."""
    tls: bool = False


def _get(*fields: bytes, target: bytes = b"/", line: bytes = b"", host: bytes = HOST) -> bytes:
    start = line or b"GET %b HTTP/1.1" % target
    return start + b"\r\n" + host + b"".join(f + b"\r\n" for f in fields) + b"\r\n"


def _post(*fields: bytes, body: bytes = b"", version: bytes = b"1.1") -> bytes:
    return _get(*fields, line=b"POST / HTTP/" + version) + body


def _chunked(body: bytes, *fields: bytes) -> bytes:
    return _post(b"Transfer-Encoding: chunked", *fields, body=body)


def _refused(name: str, data: bytes, why: str, reason: str = MALFORMED) -> Asked:
    status = 400 if reason == MALFORMED else 403
    return Asked(name, data, (status,), why, reason)


def _passes(name: str, data: bytes, sent: bytes, why: str) -> Asked:
    return Asked(name, data, (200,), why, kept=True, sent=(sent,))


_ABC = _post(b"Content-Length: 3", body=b"abc")
_CHUNKED_ABC = _chunked(b"3\r\nabc\r\n0\r\n\r\n")
_HIDDEN = _get(target=b"/hidden")
RFC_TE = "RFC 9112 section 6.1"
RFC_CL = "RFC 9112 section 6.3, RFC 9110 section 8.6"
RFC_VALUE = "RFC 9110 section 5.5"
RFC_NAME = "RFC 9110 section 5.1, RFC 9112 section 5.1"
RFC_FIRST_LINE = "RFC 9112 section 3"
RFC_HOSTS = "RFC 9112 section 3.2"
RFC_FORM = "RFC 9112 section 3.2"
RFC_DOTS = "RFC 3986 section 5.2.4: clients remove them; servers differ"
RFC_CHUNKS = "RFC 9112 section 7.1"
RFC_EXTENSION = "RFC 9112 section 7.1.1"
RFC_TRAILER = "RFC 9110 section 6.5.1"
RFC_HOP = "RFC 9110 section 7.6.1"
RFC_EXPECT = "RFC 9110 section 10.1.1"
RFC_UPGRADE = "RFC 9110 section 7.8"


def _te(name: str, value: bytes, *more: bytes) -> Asked:
    data = _post(b"Transfer-Encoding:" + value, *more, body=b"0\r\n\r\n")
    return _refused(f"Transfer-Encoding: {name}", data, RFC_TE)


def _cl(name: str, value: bytes) -> Asked:
    data = _post(b"Content-Length:" + value, body=b"abc")
    return _refused(f"Content-Length: {name}", data, RFC_CL)


FRAMING = (
    _passes("Content-Length", _ABC, _ABC, "the honest twin"),
    _passes("chunked", _CHUNKED_ABC, _CHUNKED_ABC, "the honest twin"),
    _refused(
        "Content-Length and Transfer-Encoding",
        _post(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
        RFC_TE,
    ),
    _refused(
        "Transfer-Encoding and Content-Length",
        _post(b"Transfer-Encoding: chunked", b"Content-Length: 5", body=b"0\r\n\r\n"),
        RFC_TE,
    ),
    _te("xchunked", b" xchunked"),
    _te("chunked, twice in a list", b" chunked, chunked"),
    _te("twice", b" chunked", b"Transfer-Encoding: chunked"),
    _te("twice, the second one unknown", b" chunked", b"Transfer-Encoding: x"),
    _te("gzip, chunked", b" gzip, chunked"),
    _te("chunked, gzip", b" chunked, gzip"),
    _te("trailing comma", b" chunked,"),
    _te("leading comma", b" ,chunked"),
    _te("identity", b" identity"),
    _te("identity, chunked", b" identity, chunked"),
    _te("in quotes", b' "chunked"'),
    _te("with a parameter", b" chunked;q=1"),
    _te("vertical tab", b" \x0bchunked"),
    _te("form feed after", b" chunked\x0c"),
    _te("NUL after", b" chunked\x00"),
    _te("no-break space", b" \xa0chunked"),
    _te("empty", b""),
    _te("on a folded line", b"\r\n chunked"),
    _te("continued on a folded line", b" x\r\n , chunked"),
    _te("behind a bare LF", b" x\nTransfer-Encoding: chunked"),
    _te("space before the colon", b" x", b"Transfer-Encoding : chunked"),
    _refused(
        "Transfer-Encoding in HTTP/1.0",
        _post(b"Transfer-Encoding: chunked", body=b"0\r\n\r\n", version=b"1.0"),
        RFC_TE,
    ),
    _passes(
        "Transfer-Encoding in capitals",
        _post(b"TRANSFER-ENCODING: CHUNKED", body=b"3\r\nabc\r\n0\r\n\r\n"),
        _CHUNKED_ABC,
        "RFC 9112 section 7: names of codings know no case",
    ),
    _passes(
        "Transfer-Encoding after a tab, white space behind it",
        _post(b"Transfer-Encoding:\tchunked \t", body=b"3\r\nabc\r\n0\r\n\r\n"),
        _CHUNKED_ABC,
        "RFC 9112 section 5: OWS; written afresh",
    ),
    _refused(
        "Content-Length twice, the same",
        _post(b"Content-Length: 3", b"Content-Length: 3", body=b"abc"),
        RFC_CL,
    ),
    _refused(
        "Content-Length twice, different",
        _post(b"Content-Length: 3", b"Content-Length: 0", body=b"abc"),
        RFC_CL,
    ),
    _cl("list", b" 3, 3"),
    _cl("minus", b" -3"),
    _cl("plus", b" +3"),
    _cl("hexadecimal", b" 0x3"),
    _cl("letters", b" 3a"),
    _cl("point", b" 3.0"),
    _cl("exponent", b" 3e0"),
    _cl("empty", b""),
    _cl("inner space", b" 3 3"),
    _cl("underscore", b" 1_0"),
    _cl("full-width digits", b" \xef\xbc\x93"),
    _cl("Arabic digits", b" \xd9\xa3"),
    _cl("beyond 18 digits", b" " + b"9" * 19),
    _cl("beyond any number", b" " + b"9" * 5000),
    _passes(
        "Content-Length: leading zeros",
        _post(b"Content-Length: 0003", body=b"abc"),
        _ABC,
        "RFC 9110 section 8.6: digits; written afresh without them",
    ),
    _passes(
        "Content-Length: 0",
        _post(b"Content-Length: 0"),
        _post(b"Content-Length: 0"),
        "the honest twin",
    ),
    _passes(
        "a request inside the body of a GET",
        _get(b"Content-Length: %d" % len(_HIDDEN), target=b"/a") + _HIDDEN,
        _get(b"Content-Length: %d" % len(_HIDDEN), target=b"/a") + _HIDDEN,
        "RFC 9110 section 9.3.1: content, and relayed as content",
    ),
    Asked(
        "a body longer than its length",
        _post(b"Content-Length: 3", body=b"abcdef\r\n\r\n"),
        (200, 400),
        "RFC 9112 section 6.3: the rest is the next request, and none",
        reason=MALFORMED,
        sent=(_ABC,),
    ),
)

FIELDS = (
    _passes(
        "8-bit value",
        _get(b"X-Name: caf\xc3\xa9 \xff"),
        _get(b"X-Name: caf\xc3\xa9 \xff"),
        "RFC 9110 section 5.5: obs-text, sent by real clients",
    ),
    _passes(
        "no white space after the colon",
        _get(b"X-A:b"),
        _get(b"X-A: b"),
        "RFC 9112 section 5; written afresh",
    ),
    _passes("empty value", _get(b"X-A:"), _get(b"X-A: "), "RFC 9110 section 5.5"),
    _passes(
        "the same field twice",
        _get(b"X-A: 1", b"X-A: 2"),
        _get(b"X-A: 1", b"X-A: 2"),
        "RFC 9110 section 5.3: order is kept",
    ),
    _refused("folded value", _get(b"X-A: b\r\n c"), "RFC 9112 section 5.2"),
    _refused("folded value, tab", _get(b"X-A: b\r\n\tc"), "RFC 9112 section 5.2"),
    _refused("first field folded", _get(host=b" X: a\r\n" + HOST), "RFC 9112 section 2.2"),
    _refused("bare LF in a value", _get(b"X-A: b\nX-B: c"), "RFC 9112 section 2.2"),
    _refused("bare LF at every end", _get().replace(b"\r", b""), "RFC 9112 section 2.2"),
    _refused(
        "bare LF at the last end",
        b"GET / HTTP/1.1\r\nHost: api.example.com\n\r\n",
        "RFC 9112 section 2.2",
    ),
    _refused(
        "bare LF as the empty line",
        b"GET / HTTP/1.1\r\nHost: api.example.com\r\n\n",
        "RFC 9112 section 2.2",
    ),
    _refused("bare CR in a value", _get(b"X-A: b\rX-B: c"), "RFC 9112 section 2.2"),
    _refused("bare CR at the end", _get(b"X-A: b\r"), "RFC 9112 section 2.2"),
    _refused("NUL in a value", _get(b"X-A: b\x00c"), RFC_VALUE),
    _refused("NUL in a name", _get(b"X\x00A: b"), RFC_NAME),
    _refused("DEL in a value", _get(b"X-A: b\x7f"), RFC_VALUE),
    _refused("escape sequence in a value", _get(b"X-A: \x1b[2J"), RFC_VALUE),
    _refused("vertical tab in a value", _get(b"X-A: b\x0bc"), RFC_VALUE),
    _refused("8-bit name", _get(b"X-\xe9: b"), RFC_NAME),
    _refused("space before the colon", _get(b"X-A : b"), RFC_NAME),
    _refused("tab before the colon", _get(b"X-A\t: b"), RFC_NAME),
    _refused("space within a name", _get(b"X A: b"), RFC_NAME),
    _refused("space before a name", _get(b"X-A: b", b" X-B: c"), "RFC 9112 section 5.2"),
    _refused("empty name", _get(b": b"), RFC_NAME),
    _refused("a name with a separator", _get(b"X(A): b"), RFC_NAME),
    _refused("a name in quotes", _get(b'"X-A": b'), RFC_NAME),
    _refused("no colon", _get(b"X-A"), RFC_NAME),
    _refused("a second request line", _get(b"GET /b HTTP/1.1"), RFC_NAME),
    _refused("more fields than header_count", _get(*[b"X-A: b"] * 40), "RFC 6585", LIMIT),
    _refused("a field over header_bytes", _get(b"X-A: " + b"b" * 9000), "RFC 6585", LIMIT),
    _refused("a name over header_bytes", _get(b"X" * 9000 + b": a"), "RFC 6585", LIMIT),
    _refused("a target over header_bytes", _get(target=b"/" + b"a" * 9000), "RFC 9112 section 3", LIMIT),
    _refused("a head that never ends", _get()[:-2] + b"X-A: b\r\n" * 2000, "RFC 6585", LIMIT),
)  # fmt: skip


def _host(name: str, value: bytes) -> Asked:
    return _refused(f"Host: {name}", _get(host=b"Host:" + value + b"\r\n"), RFC_HOSTS)


def _target(name: str, target: bytes, why: str = RFC_FORM, method: bytes = b"GET") -> Asked:
    return _refused(name, _get(line=method + b" " + target + b" HTTP/1.1"), why)


def _path(name: str, target: bytes, why: str, sent: bytes = b"") -> Asked:
    return _passes(name, _get(target=target), _get(target=sent or target), why)


HOSTS = (
    _passes("Host in capitals, with a dot", _get(host=b"HOST: API.Example.COM.\r\n"), _get(), "RFC 9110 section 4.2.3"),
    _passes("Host with the default port", _get(host=b"Host: api.example.com:80\r\n"), _get(), "RFC 9110 section 4.2.3"),
    _passes("no Host in HTTP/1.0", _get(b"Connection: keep-alive", host=b"", line=b"GET / HTTP/1.0"), _get(), "the connection has its name by its address"),
    _refused("no Host", _get(host=b""), RFC_HOSTS),
    _refused("Host twice, the same", _get(host=HOST * 2), RFC_HOSTS),
    _refused("Host twice, different", _get(host=HOST + b"Host: evil.example\r\n"), RFC_HOSTS),
    _host("empty", b""),
    _host("white space", b" \t "),
    _host("user information", b" user@api.example.com"),
    _host("name and password", b" a:b@api.example.com"),
    _host("path", b" api.example.com/x"),
    _host("query", b" api.example.com?x"),
    _host("fragment", b" api.example.com#x"),
    _host("inner space", b" api.example.com evil.example"),
    _host("list", b" api.example.com, evil.example"),
    _host("two ports", b" api.example.com:80:80"),
    _host("empty port", b" api.example.com:"),
    _host("port 0", b" api.example.com:0"),
    _host("port 65536", b" api.example.com:65536"),
    _host("signed port", b" api.example.com:+80"),
    _host("letters for a port", b" api.example.com:http"),
    _host("percent-encoded", b" api%2eexample.com"),
    _host("8-bit", b" \xc3\xa4pi.example.com"),
    _host("empty label", b" api..example.com"),
    _host("backslash", b" api.example.com\\.evil.example"),
    _host("unbalanced bracket", b" [::1"),
    _host("zone of an address", b" [fe80::1%25eth0]"),
    Asked("Host: another name", _get(host=b"Host: evil.example\r\n"), (403,), "one identity: domain fronting", MISMATCH, kept=True),
    Asked("Host: another port", _get(host=b"Host: api.example.com:8080\r\n"), (403,), "one identity", MISMATCH, kept=True),
    Asked("Host: an address", _get(host=b"Host: 127.0.0.1\r\n"), (403,), "one identity", MISMATCH, kept=True),
)  # fmt: skip

TARGETS = (
    _path("absolute-form", b"http://api.example.com/a?b", "RFC 9112 section 3.2.2; origin-form for upstream", b"/a?b"),
    _path("absolute-form without a path", b"http://api.example.com?b", "RFC 9112 section 3.2.4", b"/?b"),
    _path("absolute-form, scheme in capitals", b"HTTP://API.example.com/", "RFC 9110 section 4.2.3", b"/"),
    _refused("absolute-form with another Host", _get(target=b"http://evil.example/"), "RFC 9112 section 3.2.2: who is meant?", MISMATCH),
    _refused("absolute-form, another port than Host", _get(target=b"http://api.example.com:81/"), "who is meant?", MISMATCH),
    Asked("https target on a plain connection", _get(target=b"https://api.example.com/"), (403,), "one identity: the scheme is part of it", MISMATCH, kept=True),
    Asked("http target inside TLS", _get(target=b"http://api.example.com/"), (403,), "one identity: the scheme is part of it", MISMATCH, kept=True, tls=True),
    _target("absolute-form with user information", b"http://api.example.com@evil.example/"),
    _target("absolute-form without a host", b"http:///a"),
    _target("absolute-form, one slash", b"http:/api.example.com/"),
    _target("absolute-form, backslashes", b"http:\\\\api.example.com/"),
    _target("absolute-form, backslash after the host", b"http://api.example.com\\@evil.example/"),
    _target("another scheme", b"ftp://api.example.com/"),
    _target("file", b"file:///etc/passwd"),
    _target("fragment", b"/a#b", "RFC 9112 section 3.2: no part of a target"),
    _target("fragment in absolute-form", b"http://api.example.com/#@evil.example/"),
    _target("only a fragment", b"#"),
    _target("asterisk with GET", b"*", "RFC 9112 section 3.2.4"),
    _passes("asterisk with OPTIONS", _get(line=b"OPTIONS * HTTP/1.1"), _get(line=b"OPTIONS * HTTP/1.1"), "RFC 9112 section 3.2.4"),
    _target("authority-form with GET", b"api.example.com:80", "RFC 9112 section 3.2.3"),
    _target("relative", b"a/b"),
    _target("query only", b"?a"),
    _target("starts with a backslash", b"\\a"),
    _path("two slashes at the start", b"//evil.example/a", "RFC 9112 section 3.2.1: a path of this host"),
    _path("escaped slash", b"/@scope%2fname", "package names are sent so"),
    _path("escaped backslash", b"/a%5Cb", "RFC 3986 section 2.4: data"),
    _path("escaped NUL", b"/a%00b", "RFC 3986 section 2.4: data; path rules refuse it"),
    _path("escaped CR LF", b"/a%0d%0aX-B:%20c", "RFC 3986 section 2.4: data, and never unescaped here"),
    _path("dots encoded twice", b"/%252e%252e/a", "RFC 3986 section 2.4: text after one decoding; path rules refuse it"),
    _path("raw UTF-8", b"/caf\xc3\xa9", "RFC 3987 section 3.1; escaped for upstream", b"/caf%C3%A9"),
    _path("a name that begins with dots", b"/..a/.well-known/...", "no dot segments"),
    _path("dot segments in the query", b"/a?b=/../c", "not a path"),
    _target("dot segments", b"/a/../b", RFC_DOTS),
    _target("a single dot", b"/./a", RFC_DOTS),
    _target("dot segments at the end", b"/a/..", RFC_DOTS),
    _target("escaped dots", b"/%2e%2E/a", RFC_DOTS),
    _target("half escaped dots", b"/.%2e/a", RFC_DOTS),
    _target("dots before an escaped slash", b"/a/..%2fb", RFC_DOTS),
    _target("dots behind an escaped slash", b"/a%2f../b", RFC_DOTS),
    _target("dots between escaped slashes", b"/a%2F..%2Fb", RFC_DOTS),
    _target("dots between backslashes", b"/a\\..\\b", RFC_DOTS),
    _target("dots between escaped backslashes", b"/a%5c%2e.%5Cb", RFC_DOTS),
    _target("dots with a parameter", b"/..;a=b/c", RFC_DOTS),
    _target("dot segments in absolute-form", b"http://api.example.com/../a", RFC_DOTS),
    _target("CONNECT without a port", b"api.example.com", "RFC 9112 section 3.2.3", b"CONNECT"),
    _target("CONNECT, port 0", b"api.example.com:0", "RFC 9112 section 3.2.3", b"CONNECT"),
    _target("CONNECT, port 65536", b"api.example.com:65536", "RFC 9112 section 3.2.3", b"CONNECT"),
    _target("CONNECT, signed port", b"api.example.com:-443", "RFC 9112 section 3.2.3", b"CONNECT"),
    _target("CONNECT, two ports", b"api.example.com:443:443", "RFC 9112 section 3.2.3", b"CONNECT"),
    _target("CONNECT with a path", b"api.example.com:443/", "RFC 9112 section 3.2.3", b"CONNECT"),
    _target("CONNECT in origin-form", b"/", "RFC 9112 section 3.2.3", b"CONNECT"),
    _target("CONNECT in absolute-form", b"http://api.example.com:443", "RFC 9112 section 3.2.3", b"CONNECT"),
    _target("CONNECT with user information", b"a@api.example.com:443", "RFC 9112 section 3.2.3", b"CONNECT"),
    _refused("CONNECT with a body", _get(b"Content-Length: 3", line=b"CONNECT api.example.com:443 HTTP/1.1") + b"abc", "RFC 9110 section 9.3.6"),
)  # fmt: skip


def _line(name: str, line: bytes, why: str = RFC_FIRST_LINE) -> Asked:
    return _refused(name, _get(line=line), why)


LINES = (
    _passes("empty lines before it", b"\r\n\r\n" + _get(), _get(), "RFC 9112 section 2.2"),
    _passes("a method of its own", _get(line=b"M-SEARCH / HTTP/1.1"), _get(line=b"M-SEARCH / HTTP/1.1"), "RFC 9110 section 9.1"),
    _refused("three empty lines before it", b"\r\n\r\n\r\n" + _get(), "RFC 9112 section 2.2"),
    _line("two spaces after the method", b"GET  / HTTP/1.1"),
    _line("two spaces before the version", b"GET /  HTTP/1.1"),
    _line("tab", b"GET\t/ HTTP/1.1"),
    _line("vertical tab", b"GET\x0b/ HTTP/1.1"),
    _line("space behind", b"GET / HTTP/1.1 "),
    _line("tab behind", b"GET / HTTP/1.1\t"),
    _line("space in the target", b"GET /a b HTTP/1.1"),
    _line("NUL in the target", b"GET /a\x00 HTTP/1.1"),
    _line("DEL in the target", b"GET /a\x7f HTTP/1.1"),
    _line("bare CR in the target", b"GET /a\rX: b HTTP/1.1"),
    _line("method in lower case", b"Get / HTTP/1.1", "RFC 9110 section 9.1: another method, and not for every server"),
    _line("no method", b" / HTTP/1.1"),
    _line("no target", b"GET HTTP/1.1"),
    _line("HTTP/0.9", b"GET /"),
    _line("HTTP/1.2", b"GET / HTTP/1.2"),
    _line("HTTP/1.10", b"GET / HTTP/1.10"),
    _line("HTTP/1.1 in lower case", b"GET / http/1.1"),
    _line("HTTP/2.0", b"GET / HTTP/2.0"),
    _line("another protocol", b"GET / RTSP/1.0"),
    _line("a version with zeros", b"GET / HTTP/01.1"),
    Asked("HTTP/2's preface after a request", _get(b"X-A: b") + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (200, 400), "RFC 9113 section 3.4: the first bytes or never", MALFORMED, sent=(_get(b"X-A: b"),)),
    _refused("TRACE", _get(line=b"TRACE / HTTP/1.1"), "RFC 9110 section 9.3.8: what this hop adds must not come back", "http_unsupported"),
    _refused("TRACK", _get(line=b"TRACK / HTTP/1.1"), "as TRACE", "http_unsupported"),
    _passes(
        "X-HTTP-Method-Override",
        _get(b"X-HTTP-Method-Override: DELETE", line=b"POST / HTTP/1.1"),
        _get(b"X-HTTP-Method-Override: DELETE", line=b"POST / HTTP/1.1"),
        "relayed: the method is that of the request line",
    ),
)  # fmt: skip


def _chunk(name: str, body: bytes, why: str = RFC_CHUNKS, reason: str = MALFORMED) -> Asked:
    return _refused(name, _chunked(body), why, reason)


def _chunks(name: str, body: bytes, why: str) -> Asked:
    return _passes(name, _chunked(body), _CHUNKED_ABC, why)


CHUNKS = (
    _chunks("chunks are joined", b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", "RFC 9112 section 7.1: written afresh"),
    _chunks("zeros before the size", b"00003\r\nabc\r\n000\r\n\r\n", RFC_CHUNKS),
    _chunks("extension", b"3;a=b;c\r\nabc\r\n0;d\r\n\r\n", RFC_EXTENSION + ": dropped"),
    _chunks("extension in quotes", b'3;a="b;c"\r\nabc\r\n0\r\n\r\n', RFC_EXTENSION + ": dropped"),
    _chunks("white space around an extension", b"3 ; a = b\r\nabc\r\n0\r\n\r\n", RFC_EXTENSION + ": BWS"),
    _chunk("0x", b"0x3\r\nabc\r\n0\r\n\r\n"),
    _chunk("minus", b"-3\r\nabc\r\n0\r\n\r\n"),
    _chunk("plus", b"+3\r\nabc\r\n0\r\n\r\n"),
    _chunk("space before the size", b" 3\r\nabc\r\n0\r\n\r\n"),
    _chunk("space after the size", b"3 \r\nabc\r\n0\r\n\r\n"),
    _chunk("tab after the size", b"3\t\r\nabc\r\n0\r\n\r\n"),
    _chunk("underscore", b"1_0\r\n" + b"a" * 16 + b"\r\n0\r\n\r\n"),
    _chunk("no size", b"\r\nabc\r\n0\r\n\r\n"),
    _chunk("no size, an extension", b";a=b\r\nabc\r\n0\r\n\r\n"),
    _chunk("not a number", b"g\r\nabc\r\n0\r\n\r\n"),
    _chunk("17 digits", b"10000000000000003\r\nabc\r\n0\r\n\r\n", "overflow of 64 bits"),
    _chunk("16 digits", b"f" * 16 + b"\r\nabc\r\n0\r\n\r\n", "overflow of 64 bits, signed"),
    _chunk("thousands of zeros", b"0" * 3000 + b"3\r\nabc\r\n0\r\n\r\n"),
    _chunk("bare LF after the size", b"3\nabc\r\n0\r\n\r\n"),
    _chunk("bare CR after the size", b"3\rabc\r\n0\r\n\r\n"),
    _chunk("bare LF in an extension", b"3;a\nabc\r\n0\r\n\r\n", RFC_EXTENSION),
    _chunk("bare CR in an extension", b"3;a\rb\r\nabc\r\n0\r\n\r\n", RFC_EXTENSION),
    _chunk("NUL in an extension", b"3;a\x00\r\nabc\r\n0\r\n\r\n", RFC_EXTENSION),
    _chunk("no CRLF after a chunk", b"3\r\nabc0\r\n\r\n"),
    _chunk("bare LF after a chunk", b"3\r\nabc\n0\r\n\r\n"),
    _chunk("bare CR after a chunk", b"3\r\nabc\r0\r\n\r\n"),
    _chunk("chunk longer than its size", b"3\r\nabcdef\r\n0\r\n\r\n"),
    _chunk("an extension over 1024 bytes", b"3;" + b"a" * 2000 + b"\r\nabc\r\n0\r\n\r\n", RFC_EXTENSION, LIMIT),
    _chunk("more extensions than content", (b"3;" + b"a" * 900 + b"\r\nabc\r\n") * 20, RFC_EXTENSION, LIMIT),
    _passes(
        "trailer",
        _chunked(b"3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n", b"Trailer: X-Sum"),
        _chunked(b"3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n"),
        "RFC 9110 section 6.5",
    ),
    *(
        _passes(
            f"trailer {field.partition(b':')[0].decode()}",
            _chunked(b"3\r\nabc\r\n0\r\n" + field + b"\r\nX-Sum: 1\r\n\r\n"),
            _chunked(b"3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n"),
            RFC_TRAILER + ": dropped",
        )
        for field in (
            *(b"Content-Length: 9", b"Transfer-Encoding: chunked", b"Host: evil.example"),
            *(b"Authorization: Basic eDp5", b"Cookie: a=b", b"Content-Encoding: gzip"),
            *(b"Content-Type: text/html", b"Connection: close", b"X-HTTP-Method-Override: PUT"),
        )
    ),
    Asked("a secret in a trailer", _chunked(b"3\r\nabc\r\n0\r\nX-Sum: SECRET\r\n\r\n"), (403,), "trailers are judged", "secret", kept=True),
    Asked("a secret in a trailer that is dropped", _chunked(b"3\r\nabc\r\n0\r\nCookie: SECRET\r\n\r\n"), (403,), "judged as sent", "secret", kept=True),
    _chunk("trailer, folded", b"0\r\nX-A: b\r\n c\r\n\r\n", "RFC 9112 section 5.2"),
    _chunk("trailer, bare LF", b"0\r\nX-A: b\nX-B: c\r\n\r\n", "RFC 9112 section 2.2"),
    _chunk("trailer, bare LF as the empty line", b"0\r\n\n", "RFC 9112 section 2.2"),
    _chunk("trailer, space before the colon", b"0\r\nX-A : b\r\n\r\n", RFC_NAME),
    _chunk("trailer, no colon", b"0\r\nX-A\r\n\r\n", RFC_NAME),
    _chunk("trailer, NUL", b"0\r\nX-A: \x00\r\n\r\n", RFC_VALUE),
    _chunk("more than 32 trailers", b"0\r\n" + b"X-A: b\r\n" * 33 + b"\r\n", "RFC 9112 section 7.1.2", LIMIT),
    _chunk("trailers over 8192 bytes", b"0\r\n" + b"X-A: b\r\n" * 1100 + b"\r\n", "RFC 9112 section 7.1.2", LIMIT),
)  # fmt: skip


def _named(option: bytes, *fields: bytes) -> Asked:
    data = _post(b"Connection: " + option, *fields, b"Content-Length: 3", body=b"abc")
    return _refused(f"Connection: {option.decode()}", data, RFC_HOP)


HOP = (
    _passes("Connection names a field", _get(b"Connection: keep-alive, X-A", b"X-A: b", b"X-B: c"), _get(b"X-B: c"), RFC_HOP),
    _passes("Connection: authorization", _get(b"Connection: authorization", b"Authorization: Basic eDp5"), _get(), RFC_HOP + ": judged, then dropped"),
    _passes("Connection in capitals, empty members", _get(b"Connection: ,KEEP-ALIVE,,X-A", b"X-A: b"), _get(), "RFC 9110 section 5.6.1"),
    _passes("Keep-Alive, Proxy-Connection, TE", _get(b"Keep-Alive: timeout=5", b"Proxy-Connection: keep-alive", b"TE: trailers"), _get(), RFC_HOP),
    _passes("Proxy-Authorization", _get(b"Proxy-Authorization: Basic eDp5"), _get(), "RFC 9110 section 11.7.2: for us, if for anybody"),
    _named(b"content-length"),
    _named(b"host"),
    _named(b"close, transfer-encoding"),
    _named(b"Content-Encoding", b"Content-Encoding: identity"),
    _named(b"content-type"),
    _named(b"expect"),
    _passes(
        "Upgrade: h2c",
        _get(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQ"),
        _get(),
        RFC_UPGRADE + ": ignored; RFC 9113 section 3.1: h2c is no more",
    ),
    _passes("Upgrade that Connection does not name", _get(b"Upgrade: unknown/1"), _get(), RFC_UPGRADE + ": ignored"),
    _passes("HTTP2-Settings alone", _get(b"HTTP2-Settings: AAMAAABkAAQ"), _get(), RFC_HOP),
    Asked("Upgrade to an unknown protocol", _get(b"Connection: upgrade", b"Upgrade: unknown/1"), (403,), "nobody could read what follows", "http_unsupported", kept=True),
    Asked("Upgrade to a list", _get(b"Connection: upgrade", b"Upgrade: h2c, unknown/1"), (403,), "nobody could read what follows", "http_unsupported", kept=True),
    _passes("Expect without a body", _get(b"Expect: 100-continue"), _get(), RFC_EXPECT + ": there is nothing to wait for"),
    _refused("Expect: another", _get(b"Expect: 200-ok"), RFC_EXPECT),
    _refused("Expect: 100-continue, another", _get(b"Expect: 100-continue, x"), RFC_EXPECT),
    _refused("Expect twice", _get(b"Expect: 100-continue", b"Expect: 100-continue"), RFC_EXPECT),
    _passes("Expect in capitals, the body at once", _post(b"Expect: 100-Continue", b"Content-Length: 3", body=b"abc"), _ABC, RFC_EXPECT),
)  # fmt: skip

CONNECTION = (
    Asked("Connection: close", _get(b"Connection: close"), (200,), "RFC 9112 section 9.6", sent=(_get(),)),
    Asked("Connection: close in a list", _get(b"Connection: x, CLOSE"), (200,), "RFC 9112 section 9.6", sent=(_get(),)),
    Asked("HTTP/1.0", _get(line=b"GET / HTTP/1.0"), (200,), "RFC 9112 section 9.3", sent=(_get(),)),
    _passes("HTTP/1.0 with keep-alive", _get(b"Connection: keep-alive", line=b"GET / HTTP/1.0"), _get(), "RFC 9112 section C.2.2"),
    _passes("Expect in HTTP/1.0", _post(b"Expect: 100-continue", b"Content-Length: 3", b"Connection: keep-alive", body=b"abc", version=b"1.0"), _ABC, RFC_EXPECT + ": ignored"),
    Asked("a request behind one that is refused by policy", _get(b"X-A: SECRET") + _get(b"X-B: c"), (403, 200), "each is judged by itself", "secret", kept=True, sent=(_get(b"X-B: c"),)),
    Asked("a request behind a refused body", _post(b"Content-Length: 6", body=b"SECRET") + _get(b"X-B: c"), (403, 200), "each is judged by itself", "secret", kept=True, sent=(_get(b"X-B: c"),)),
    Asked("a request behind one that is malformed", _get(b"X-A : b") + _get(b"X-B: c"), (400,), "where the next one begins is not known", MALFORMED),
    Asked("a secret in a request that is malformed", _get(b"X-A : SECRET"), (400,), "nothing of it is repeated", MALFORMED),
    Asked("a secret in a field that is dropped", _get(b"Connection: X-A", b"X-A: SECRET"), (403,), "judged as sent", "secret", kept=True),
)  # fmt: skip

REQUESTS = {
    "Framing": FRAMING,
    "Fields": FIELDS,
    "Host": HOSTS,
    "Request target": TARGETS,
    "Request line": LINES,
    "Chunks and trailers": CHUNKS,
    "Hop by hop": HOP,
    "Connection": CONNECTION,
}
