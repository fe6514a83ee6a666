"""Fields of responses read late are the fields read at once, in every respect."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.verdict import Reason
from interceptor.wire.fields import HOP_RESPONSE, HttpError, Section, onward, split_fields
from interceptor.wire.late_fields import LateSection, read_answer

_NAMES = (
    *("Content-Length", "content-type", "Content-Encoding", "Transfer-Encoding", "Connection"),
    *("Keep-Alive", "Upgrade", "Alt-Svc", "Trailer", "Proxy-Authenticate", "Date", "Server"),
    *("Set-Cookie", "X-Connection", "Content-Lengthy", "host", "Expect", "ETag"),
)
names = st.sampled_from(_NAMES).flatmap(lambda n: st.sampled_from((n, n.upper(), n.lower())))
values = st.sampled_from(
    ("", "5", "chunked", "keep-alive", "close", "X-Connection, close", "a: b", "gzip", "text/html")
) | st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=12)
spaces = st.sampled_from((" ", "", "  ", "\t"))
lines = st.builds(lambda n, s, v: f"{n}:{s}{v}\r\n".encode(), names, spaces, values)


def outcome(read: object) -> tuple[object, ...]:
    assert isinstance(read, Section | LateSection)
    few = {
        name: read.steering.get(name, b"").lower()
        for name in (b"content-length", b"transfer-encoding", b"connection", b"content-encoding")
    }
    out = onward(read, HOP_RESPONSE, read.connection)
    return tuple(read), few, read.connection, out


@given(st.lists(lines, max_size=8).map(b"".join))
def test_late_is_the_same_as_at_once(block: bytes) -> None:
    raw = b"HTTP/1.1 200 OK\r\n" + block
    bad = Reason.UPSTREAM_MALFORMED
    try:
        expected = outcome(split_fields(block, len(block) + 1, bad, HOP_RESPONSE))
    except HttpError:
        with pytest.raises(HttpError):
            read_answer(raw, len(raw) - len(block))
        return
    assert outcome(read_answer(raw, len(raw) - len(block))) == expected


def test_ordinary_answers_are_read_late() -> None:
    block = b"Server: x\r\nContent-Type: text/html\r\nContent-Length: 5\r\nConnection: close\r\n"
    found = read_answer(b"HTTP/1.1 200 OK\r\n" + block, 17)
    assert type(found) is LateSection
    assert found.lines == b"Server: x\r\nContent-Type: text/html\r\n"
    assert found.steering[b"content-type"] == b"text/html"
    assert len(found) == 4
    assert found[0] == (b"Server", b"server", b"x")
    assert found[1:2] == ((b"Content-Type", b"content-type", b"text/html"),)
    assert found == split_fields(block, 9, Reason.UPSTREAM_MALFORMED, HOP_RESPONSE)


def test_a_field_ends_with_its_line() -> None:
    """A possessive repeat of a group would take the line without its end (CPython gh-106052)."""
    from interceptor.wire import fields

    for pattern in (fields._FIELDS, fields._WRITTEN):
        assert pattern.fullmatch(b"ab: c\r\nxyz: d\r\n")
        assert not pattern.fullmatch(b"ab: c\r\nxyz: d")
        assert not pattern.fullmatch(b"ab: c\r\nxyz:")
