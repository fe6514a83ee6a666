"""The ClientHello parser: real hellos, cruelly fed, and bytes that are none."""

from __future__ import annotations

import random
import ssl
import struct
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.verdict import Reason
from interceptor.wire.tls_hello import (
    MAX_HELLO,
    MAX_RECORDS,
    ClientHello,
    HelloError,
    looks_like_tls,
)


def openssl_hello(name: str | None = "www.example.com", alpn: tuple[str, ...] = ("h2",)) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(list(alpn))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        session.do_handshake()
    return outgoing.read()


def extension(kind: int, data: bytes) -> bytes:
    return struct.pack(">HH", kind, len(data)) + data


def sni(name: bytes) -> bytes:
    return extension(0, struct.pack(">HBH", len(name) + 3, 0, len(name)) + name)


def hello(
    extensions: bytes | None = b"",
    *,
    session: bytes = b"",
    ciphers: bytes = b"\x13\x01",
    compression: bytes = b"\x00",
    version: bytes = b"\x03\x03",
) -> bytes:
    """A handshake message, built by hand."""
    body = version + bytes(32) + bytes([len(session)]) + session
    body += struct.pack(">H", len(ciphers)) + ciphers + bytes([len(compression)]) + compression
    if extensions is not None:
        body += struct.pack(">H", len(extensions)) + extensions
    return b"\x01" + len(body).to_bytes(3) + body


def records(message: bytes, size: int = 16_384) -> bytes:
    return b"".join(
        b"\x16\x03\x01" + struct.pack(">H", len(message[i : i + size])) + message[i : i + size]
        for i in range(0, len(message), size)
    )


def parsed(data: bytes) -> ClientHello:
    found = ClientHello.parse(data)
    assert found is not None
    return found


ECH_OUTER = b"\x00" + bytes(5) + struct.pack(">H", 32) + bytes(32) + struct.pack(">H", 8) + bytes(8)


def test_openssl_hello_is_read_whole() -> None:
    data = openssl_hello("WWW.Example.com", ("h2", "http/1.1"))
    found = parsed(data)
    assert found == ClientHello(
        server_name="www.example.com",
        is_address=False,
        has_sni=True,
        alpn=("h2", "http/1.1"),
        versions=(0x0304, 0x0303),
        has_ech=False,
        consumed=len(data),
    )
    assert looks_like_tls(data)


def test_without_sni() -> None:
    found = parsed(openssl_hello(None))
    assert not found.has_sni
    assert found.server_name == ""


def test_address_as_sni_is_flagged() -> None:
    for raw, text in (
        (b"192.0.2.7", "192.0.2.7"),
        (b"2001:DB8:0::1", "2001:db8::1"),
        (b"192.0.2.7.", "192.0.2.7"),
    ):
        found = parsed(records(hello(sni(raw))))
        assert (found.server_name, found.is_address) == (text, True)


@pytest.mark.parametrize("size", [1_000, 100, 40, 5, 4])
def test_byte_by_byte_and_trailing_at_every_fragmentation(size: int) -> None:
    message = hello(sni(b"api.example.com"))
    data = records(message, max(size, len(message) // MAX_RECORDS + 1))
    for cut in range(len(data)):
        assert ClientHello.parse(data[:cut]) is None, cut
        assert looks_like_tls(data[:cut]) is (cut > 0)
    whole = parsed(data)
    assert whole.consumed == len(data)
    for trailing in (b"\x16", b"\x14\x03\x03\x00\x01\x01", b"GET / HTTP/1.1\r\n", bytes(70_000)):
        assert parsed(data + trailing) == whole


def test_no_extensions_at_all_is_tls12() -> None:
    found = parsed(records(hello(None)))
    assert (found.versions, found.alpn, found.has_sni) == ((0x0303,), (), False)


def test_grease_is_left_out() -> None:
    versions = extension(43, b"\x06\x3a\x3a\x03\x04\x03\x03")
    alpn = extension(16, b"\x00\x06\x02\xaa\xaa\x02h2")
    found = parsed(records(hello(extension(0x5A5A, b"\x00") + versions + alpn)))
    assert found.versions == (0x0304, 0x0303)
    assert found.alpn == ("h2",)


def test_ech_outer_is_seen_and_inner_refused() -> None:
    assert parsed(records(hello(sni(b"example.com") + extension(0xFE0D, ECH_OUTER)))).has_ech
    with pytest.raises(HelloError) as caught:
        ClientHello.parse(records(hello(extension(0xFE0D, b"\x01"))))
    assert caught.value.reason is Reason.ECH_REFUSED


@pytest.mark.parametrize(
    "name",
    [
        b"",
        b".",
        b"a..b",
        b".a",
        b"a b.example",
        b"a\0.example",
        b"-a.example",
        b"a-.example",
        b"x" * 64 + b".example",
        b".".join([b"x" * 60] * 5),
        "bücher.example".encode(),
        b"*.example.com",
        b"example.com:443",
        b"user@example.com",
        b"127.1",
        b"0x7f000001",
        b"foo.0x1",
        b"1.2.3.256",
        b"2130706433",
        b"fe80::1%eth0\n",
        b"example.com\n",
        b"example.com..",
        b"\xff\xfe",
    ],
)
def test_names_that_are_none(name: bytes) -> None:
    with pytest.raises(HelloError) as caught:
        ClientHello.parse(records(hello(sni(name))))
    assert caught.value.reason is Reason.NAME_INVALID


@pytest.mark.parametrize(
    "name",
    [
        b"localhost",
        b"a_b.example",
        b"xn--bcher-kva.example",
        b"x" * 63 + b".example",
        b"1a.example",
    ],
)
def test_names_that_are_some(name: bytes) -> None:
    assert parsed(records(hello(sni(name)))).server_name == name.decode()


MALFORMED = {
    "http": b"GET / HTTP/1.1\r\n\r\n",
    "alert": b"\x15\x03\x01\x00\x02\x02\x28",
    "sslv2": b"\x80\x2e\x01\x00\x02",
    "version": b"\x16\x02\x00",
    "tls9": b"\x16\x03\x09",
    "empty record": b"\x16\x03\x01\x00\x00",
    "huge record": b"\x16\x03\x01\x40\x01",
    "server hello": records(b"\x02\x00\x00\x10" + bytes(16)),
    "second message in the record": records(hello() + hello()),
    "other record between": records(hello(), 20)[:25] + b"\x17\x03\x03\x00\x01a",
    "short body": records(b"\x01\x00\x00\x04" + bytes(4)),
    "no ciphers": records(hello(ciphers=b"")),
    "odd ciphers": records(hello(ciphers=b"\x13")),
    "no null compression": records(hello(compression=b"\x01")),
    "no compression": records(hello(compression=b"")),
    "long session": records(hello(session=bytes(33))),
    "ssl2 version": records(hello(version=b"\x02\x00")),
    "twice": records(hello(sni(b"a.example") + sni(b"b.example"))),
    "two names": records(hello(extension(0, b"\x00\x0c\x00\x00\x03a.b\x00\x00\x03c.d"))),
    "other name type": records(hello(extension(0, b"\x00\x06\x01\x00\x03a.b"))),
    "empty sni": records(hello(extension(0, b""))),
    "sni trailing": records(hello(extension(0, b"\x00\x06\x00\x00\x03a.b!"))),
    "alpn empty": records(hello(extension(16, b"\x00\x00"))),
    "alpn empty name": records(hello(extension(16, b"\x00\x01\x00"))),
    "alpn overrun": records(hello(extension(16, b"\x00\x03\x05h2"))),
    "versions odd": records(hello(extension(43, b"\x01\x03"))),
    "versions none": records(hello(extension(43, b"\x00"))),
    "ech unknown": records(hello(extension(0xFE0D, b"\x02"))),
    "ech empty": records(hello(extension(0xFE0D, b""))),
    "ech short": records(hello(extension(0xFE0D, ECH_OUTER[:-1]))),
    "extension overrun": records(hello(b"\x00\x00\x00\x09ab")),
    "extension half": records(hello(b"\x00\x00\x00")),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_malformed(what: str) -> None:
    with pytest.raises(HelloError) as caught:
        ClientHello.parse(MALFORMED[what])
    assert caught.value.reason is Reason.TLS_MALFORMED


def test_bytes_after_the_extensions_are_refused() -> None:
    message = hello(sni(b"a.example"))
    longer = b"\x01" + (len(message) - 3).to_bytes(3) + message[4:] + b"!"
    with pytest.raises(HelloError):
        ClientHello.parse(records(longer))


def test_limits() -> None:
    big = records(hello(extension(0x7777, bytes(60_000))))
    assert parsed(big).consumed == len(big)
    for data in (
        b"\x16\x03\x01\x00\x04\x01\x01\x00\x00",  # announces 65 536
        records(hello(sni(b"api.example.com")), 1),  # a byte a record
        records(b"\x01\x00\xff\x00" + bytes(0xFF00), 1_100)[:MAX_HELLO],
    ):
        with pytest.raises(HelloError) as caught:
            ClientHello.parse(data)
        assert caught.value.reason is Reason.LIMIT_EXCEEDED


@given(st.binary(max_size=400))
def test_noise_gives_an_answer_or_helloerror(data: bytes) -> None:
    for candidate in (data, b"\x16\x03\x01" + data, records(b"\x01" + data), records(hello(data))):
        try:
            ClientHello.parse(candidate)
        except HelloError as error:
            assert isinstance(error.reason, Reason)  # noqa: PT017


def test_mutations_of_real_hellos() -> None:
    seeds = [
        openssl_hello(),
        records(hello(sni(b"a.example") + extension(0xFE0D, ECH_OUTER)), 50),
    ]
    chance = random.Random(20261123)
    outcomes = {"hello": 0, "more": 0, "error": 0}
    for _ in range(6_000):
        data = bytearray(chance.choice(seeds))
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(data))
            match chance.randrange(3):
                case 0:
                    data[at] = chance.randrange(256)
                case 1:
                    del data[at : at + chance.randint(1, 8)]
                case _:
                    data[at:at] = chance.randbytes(chance.randint(1, 8))
        try:
            found = ClientHello.parse(bytes(data))
        except HelloError:
            outcomes["error"] += 1
        else:
            outcomes["more" if found is None else "hello"] += 1
    assert all(outcomes.values()), outcomes


def test_fast_enough() -> None:
    data = openssl_hello()
    data += bytes(max(0, 517 - len(data)))
    best = min(_timed(data) for _ in range(5))
    assert best < 100e-6  # about 10 us on an idle core; generous, for shared machines


def _timed(data: bytes) -> float:
    start = time.perf_counter()
    for _ in range(500):
        ClientHello.parse(data)
    return (time.perf_counter() - start) / 500
