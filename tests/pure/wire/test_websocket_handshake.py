"""The opening handshake: the agent's wish, upstream's answer."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interceptor.verdict import Reason
from interceptor.wire.http1 import HttpError, RequestHead, ResponseHead, read_request, read_response
from interceptor.wire.websocket_deflate import Deflate
from interceptor.wire.websocket_handshake import (
    Upgrade,
    accept_of,
    upgrade_request,
    verify_response,
    wants_websocket,
    write_upgrade,
)

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def request(
    *more: bytes,
    line: bytes = b"GET /chat?x=1 HTTP/1.1",
    upgrade: bytes = b"Upgrade: websocket",
    connection: bytes = b"Connection: keep-alive, Upgrade",
    key: bytes = b"Sec-WebSocket-Key: " + KEY,
    version: bytes = b"Sec-WebSocket-Version: 13",
) -> RequestHead:
    lines = [line, b"Host: chat.example.com", upgrade, connection, key, version, *more]
    data = b"\r\n".join([line for line in lines if line]) + b"\r\n\r\n"
    found = read_request(data, 10_000, 100)
    assert found is not None
    return found[0]


def response(
    *more: bytes,
    line: bytes = b"HTTP/1.1 101 Switching Protocols",
    upgrade: bytes = b"Upgrade: websocket",
    connection: bytes = b"Connection: Upgrade",
    accept: bytes = b"Sec-WebSocket-Accept: " + ACCEPT,
) -> ResponseHead:
    data = b"\r\n".join([x for x in (line, upgrade, connection, accept, *more) if x]) + b"\r\n\r\n"
    found = read_response(data, "GET", 10_000, 100)
    assert found is not None
    return found[0]


def test_the_example_of_the_rfc() -> None:
    assert accept_of(KEY) == ACCEPT
    assert upgrade_request(request()) == Upgrade(KEY)
    assert verify_response(Upgrade(KEY), response()) is None


@pytest.mark.parametrize(
    "head",
    [
        request(upgrade=b"Upgrade: WebSocket"),
        request(connection=b"connection: upgrade"),
        request(b"Content-Length: 0"),
        request(b"Origin: https://example.com", b"Cookie: a=b"),
    ],
)
def test_handshakes_that_are_fine(head: RequestHead) -> None:
    assert wants_websocket(head)
    assert upgrade_request(head).key == KEY


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (request(line=b"POST / HTTP/1.1"), Reason.HTTP_MALFORMED),
        (request(line=b"HEAD / HTTP/1.1"), Reason.HTTP_MALFORMED),
        (request(line=b"GET / HTTP/1.0"), Reason.HTTP_MALFORMED),
        (request(upgrade=b""), Reason.HTTP_MALFORMED),
        (request(upgrade=b"Upgrade: h2c"), Reason.HTTP_MALFORMED),
        (request(upgrade=b"Upgrade: websocket, h2c"), Reason.HTTP_MALFORMED),
        (request(connection=b""), Reason.HTTP_MALFORMED),
        (request(connection=b"Connection: close"), Reason.HTTP_MALFORMED),
        (request(key=b""), Reason.HTTP_MALFORMED),
        (request(key=b"Sec-WebSocket-Key:"), Reason.HTTP_MALFORMED),
        (request(key=b"Sec-WebSocket-Key: " + KEY[:-4]), Reason.HTTP_MALFORMED),
        (request(key=b"Sec-WebSocket-Key: " + b"A" * 24), Reason.HTTP_MALFORMED),
        (request(key=b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j!Q=="), Reason.HTTP_MALFORMED),
        (request(b"Sec-WebSocket-Key: " + KEY), Reason.HTTP_MALFORMED),
        (request(version=b""), Reason.HTTP_MALFORMED),
        (request(version=b"Sec-WebSocket-Version: 8"), Reason.HTTP_UNSUPPORTED),
        (request(version=b"Sec-WebSocket-Version: 13, 8"), Reason.HTTP_UNSUPPORTED),
        (request(b"Sec-WebSocket-Version: 13"), Reason.HTTP_MALFORMED),
        (request(b"Content-Length: 5"), Reason.HTTP_MALFORMED),
        (request(b"Transfer-Encoding: chunked"), Reason.HTTP_MALFORMED),
    ],
)
def test_handshakes_that_are_refused(head: RequestHead, reason: Reason) -> None:
    with pytest.raises(HttpError) as caught:
        upgrade_request(head)
    assert caught.value.reason is reason


def test_what_goes_upstream() -> None:
    head = request(
        b"Sec-WebSocket-Protocol: chat, superchat",
        b"Sec-WebSocket-Extensions: x-secret; a=b, permessage-deflate; client_max_window_bits",
        b"Sec-WebSocket-Extensions: permessage-deflate; oops, permessage-deflate",
        b"Origin: https://example.com",
    )
    wish = upgrade_request(head)
    assert wish.protocols == (b"chat", b"superchat")
    data = write_upgrade(head, wish, b"/chat?x=1", b"chat.example.com")
    assert data == (
        b"GET /chat?x=1 HTTP/1.1\r\nHost: chat.example.com\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Protocol: chat, superchat\r\nOrigin: https://example.com\r\n"
        b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, "
        b"permessage-deflate\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    )
    read = read_request(data, 10_000, 100)
    assert read is not None
    assert upgrade_request(read[0]) == wish


def test_an_offer_of_what_cannot_be_read_is_dropped() -> None:
    head = request(b"Sec-WebSocket-Extensions: permessage-bzip2, x-webkit-deflate-frame")
    wish = upgrade_request(head)
    assert wish.offers == ()
    assert b"Extensions" not in write_upgrade(head, wish, b"/", b"chat.example.com")


def test_a_length_of_nothing_is_left_out() -> None:
    head = request(b"Content-Length: 0")
    data = write_upgrade(head, upgrade_request(head), b"/", b"chat.example.com")
    assert b"Length" not in data


OFFERED = Upgrade(KEY, (b"chat",), (Deflate(client_max_window_bits=15, open_client_bits=True),))


@pytest.mark.parametrize(
    ("head", "agreed"),
    [
        (response(), None),
        (response(b"Sec-WebSocket-Protocol: chat"), None),
        (response(upgrade=b"upgrade: WebSocket", connection=b"Connection: x, upgrade"), None),
        (response(b"Sec-WebSocket-Extensions: permessage-deflate"), Deflate()),
        (
            response(b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=10"),
            Deflate(client_max_window_bits=10),
        ),
        (response(b"Sec-WebSocket-Extensions:"), None),
        (response(b"Content-Length: 10"), None),
    ],
)
def test_answers_that_are_fine(head: ResponseHead, agreed: Deflate | None) -> None:
    assert verify_response(OFFERED, head) == agreed


@pytest.mark.parametrize(
    "head",
    [
        response(line=b"HTTP/1.1 200 OK"),
        response(line=b"HTTP/1.0 101 Switching"),
        response(upgrade=b""),
        response(upgrade=b"Upgrade: h2c"),
        response(upgrade=b"Upgrade: websocket, h2c"),
        response(b"Upgrade: websocket"),
        response(connection=b""),
        response(connection=b"Connection: keep-alive"),
        response(accept=b""),
        response(accept=b"Sec-WebSocket-Accept: " + KEY),
        response(accept=b"Sec-WebSocket-Accept: " + ACCEPT.lower()),
        response(b"Sec-WebSocket-Accept: " + ACCEPT),
        response(b"Sec-WebSocket-Protocol: superchat"),
        response(b"Sec-WebSocket-Protocol: chat, chat"),
        response(b"Sec-WebSocket-Protocol: chat", b"Sec-WebSocket-Protocol: chat"),
        response(b"Sec-WebSocket-Extensions: permessage-bzip2"),
        response(b"Sec-WebSocket-Extensions: permessage-deflate, permessage-deflate"),
        response(b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"),
        response(b"Sec-WebSocket-Extensions: permessage-deflate; nonsense"),
    ],
)
def test_answers_that_are_refused(head: ResponseHead) -> None:
    with pytest.raises(HttpError) as caught:
        verify_response(OFFERED, head)
    assert caught.value.reason is Reason.UPSTREAM_MALFORMED


def test_nothing_was_offered() -> None:
    for more in (b"Extensions: permessage-deflate", b"Protocol: chat"):
        with pytest.raises(HttpError):
            verify_response(Upgrade(KEY), response(b"Sec-WebSocket-" + more))


NAMES = [b"Upgrade", b"Connection", b"Sec-WebSocket-Key", b"Sec-WebSocket-Version"]
NAMES += [b"Sec-WebSocket-Extensions", b"Sec-WebSocket-Protocol", b"Sec-WebSocket-Accept"]
VALUES = [b"websocket", b"Upgrade", KEY, b"13", b"permessage-deflate", b"chat", ACCEPT, b""]
FIELDS = st.lists(
    st.tuples(
        st.sampled_from(NAMES),
        st.one_of(st.sampled_from(VALUES), st.from_regex(rb"[ -~]{0,30}", fullmatch=True)),
    ),
    max_size=9,
)


@settings(deadline=None)
@given(FIELDS)
def test_any_fields_are_taken_or_refused(fields: list[tuple[bytes, bytes]]) -> None:
    lines = [b"%b: %b" % field for field in fields]
    data = b"\r\n".join([b"GET / HTTP/1.1", b"Host: example.com", *lines]) + b"\r\n\r\n"
    answer = b"\r\n".join([b"HTTP/1.1 101 X", *lines]) + b"\r\n\r\n"

    def asked() -> Reason:
        try:
            found = read_request(data, 10_000, 100)
            assert found is not None
            wish = upgrade_request(found[0])
        except HttpError as error:
            return error.reason
        again = read_request(write_upgrade(found[0], wish, b"/", b"example.com"), 10_000, 100)
        assert again is not None
        assert upgrade_request(again[0]) == wish
        return Reason.ALLOWED

    def answered() -> Reason:
        try:
            found = read_response(answer, "GET", 10_000, 100)
            assert found is not None
            verify_response(OFFERED, found[0])
        except HttpError as error:
            return error.reason
        return Reason.ALLOWED

    assert asked() in (Reason.ALLOWED, Reason.HTTP_MALFORMED, Reason.HTTP_UNSUPPORTED)
    assert answered() in (Reason.ALLOWED, Reason.UPSTREAM_MALFORMED)
