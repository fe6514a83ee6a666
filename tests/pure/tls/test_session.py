"""TLS over memory: both sides, bytes cut anywhere, ends and damage."""

from __future__ import annotations

import datetime as dt
import ssl

import pytest

from interceptor.tls.authority import Authority
from interceptor.tls.session import TlsSession

NAME = "api.example.com"
AUTHORITY = Authority("session-test", dt.datetime.now(dt.UTC))


def contexts(*, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> tuple[ssl.SSLContext, ...]:
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_verify_locations(cadata=AUTHORITY.certificate_pem.decode("ascii"))
    client.maximum_version = version
    client.set_alpn_protocols(["http/1.1"])
    return client, AUTHORITY.server_context(NAME, ("http/1.1",))


def connected(version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> tuple[TlsSession, TlsSession]:
    """A client and a server whose handshake is complete."""
    client_context, server_context = contexts(version=version)
    client = TlsSession(client_context, server_name=NAME)
    server = TlsSession(server_context, server_side=True)
    assert client.receive(b"") == b""
    for _ in range(3):
        assert server.receive(client.outgoing()) == b""
        assert client.receive(server.outgoing()) == b""
    assert client.established
    assert server.established
    return client, server


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("size", [1, 1024, 16_383, 16_384, 16_385, 65_536, 100_000])
def test_what_is_sent_is_received(version: ssl.TLSVersion, size: int) -> None:
    client, server = connected(version)
    assert (client.version, server.alpn) == (version.name.replace("v1_", "v1."), "http/1.1")
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    assert server.receive(client.send(data)) == data
    assert client.receive(memoryview(server.send(data))) == data
    assert not client.ended
    assert not server.ended


def test_a_stream_may_be_cut_anywhere() -> None:
    client, server = connected()
    data = b"".join(server.send(piece) for piece in (b"one", b"x" * 40, b"three")) + server.close()
    got = b"".join(client.receive(data[i : i + 1]) for i in range(len(data)))
    assert got == b"one" + b"x" * 40 + b"three"
    assert client.ended


def test_a_record_and_a_part_of_the_next() -> None:
    client, server = connected()
    first, second = server.send(b"first"), server.send(b"second")
    assert client.receive(first + second[:7]) == b"first"
    assert client.receive(second[7:]) == b"second"


def test_full_records_and_a_part() -> None:
    client, server = connected()
    data = server.send(b"a" * 40_000)
    assert client.receive(data[:-1]) == b"a" * 32_768
    assert client.receive(data[-1:]) == b"a" * 7_232


def test_what_came_before_the_end_is_given_with_it() -> None:
    client, server = connected()
    assert client.receive(server.send(b"x" * 20_000) + server.close()) == b"x" * 20_000
    assert client.ended
    assert client.receive(b"") == b""


def test_an_end_alone() -> None:
    client, server = connected()
    assert client.receive(server.close()) == b""
    assert client.ended


def test_a_long_body_leaves_no_long_buffer() -> None:
    """OpenSSL's buffers keep their size: what is handed over at once must be bounded."""
    client, server = connected()
    largest = 0

    class Watched:
        def __init__(self, bio: ssl.MemoryBIO) -> None:
            self._bio = bio

        def read(self) -> bytes:
            nonlocal largest
            largest = max(largest, self._bio.pending)
            return self._bio.read()

    client._out = Watched(client._out)  # type: ignore[assignment]
    data = bytes(range(256)) * 4096 * 2
    assert server.receive(client.send(data)) == data
    assert 60_000 < largest < 70_000


def test_a_damaged_record_is_an_error() -> None:
    client, server = connected()
    data = bytearray(server.send(b"some words"))
    data[-1] ^= 1
    with pytest.raises(ssl.SSLError):
        client.receive(bytes(data))


def test_a_certificate_of_another_name_is_an_error() -> None:
    client_context, _ = contexts()
    client = TlsSession(client_context, server_name="other.example.com")
    server = TlsSession(AUTHORITY.server_context(NAME, ()), server_side=True)
    client.receive(b"")
    server.receive(client.outgoing())
    with pytest.raises(ssl.SSLCertVerificationError):
        client.receive(server.outgoing())
    assert not client.established


def test_a_session_never_established_closes_quietly() -> None:
    client_context, _ = contexts()
    assert TlsSession(client_context, server_name=NAME).close() == b""


def test_it_works_without_the_inner_object() -> None:
    """`_sslobj` is no promise of the standard library."""

    class Hidden:
        def __init__(self, context: ssl.SSLContext) -> None:
            self._context = context

        def wrap_bio(self, *args: object, **kwargs: object) -> object:
            return _Outer(self._context.wrap_bio(*args, **kwargs))  # type: ignore[arg-type]

    class _Outer:
        def __init__(self, inner: ssl.SSLObject) -> None:
            for name in ("read", "write", "do_handshake", "pending", "unwrap", "version"):
                setattr(self, name, getattr(inner, name))

    client_context, server_context = contexts()
    client = TlsSession(Hidden(client_context), server_name=NAME)  # type: ignore[arg-type]
    server = TlsSession(Hidden(server_context), server_side=True)  # type: ignore[arg-type]
    client.receive(b"")
    for _ in range(3):
        server.receive(client.outgoing())
        client.receive(server.outgoing())
    assert server.receive(client.send(b"words")) == b"words"
