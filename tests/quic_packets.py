"""A QUIC client's first packets, built byte by byte: what the refusals are tested with.

RFC 9000 section 17.2, RFC 9001 section 5. The keys come from `quic_keys`, which the vectors of the
RFCs hold in `tests/pure/wire/test_quic_keys.py`.
"""

from __future__ import annotations

import itertools

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from interceptor.wire.quic import V1, V2
from interceptor.wire.quic_keys import client_keys

DCID = bytes.fromhex("8394c8f03e515708")
SCID = b"client"


def varint(value: int) -> bytes:
    for power in range(4):
        bits = (8 << power) - 2
        if value < 1 << bits:
            return (value | power << bits).to_bytes(1 << power)
    raise ValueError(value)


def vector(data: bytes, width: int) -> bytes:
    return len(data).to_bytes(width) + data


def extension(kind: int, data: bytes) -> bytes:
    return kind.to_bytes(2) + vector(data, 2)


def hello(name: str | bytes = "api.example.com", *alpn: str, padding: int = 0) -> bytes:
    """A ClientHello, handshake header included; `padding` makes it post-quantum in size."""
    raw = name if isinstance(name, bytes) else name.encode()
    protocols = b"".join(vector(protocol.encode(), 1) for protocol in alpn or ("h3",))
    extensions = [
        extension(0x0033, bytes(padding)),
        extension(0x0000, vector(b"\0" + vector(raw, 2), 2)) if raw else b"",
        extension(0x0010, vector(protocols, 2)),
        extension(0x002B, vector(b"\x0a\x0a\x03\x04", 1)),
    ]
    body = (
        b"\x03\x03"
        + bytes(range(32))
        + vector(b"", 1)
        + vector(b"\x13\x01", 2)
        + vector(b"\0", 1)
        + vector(b"".join(extensions), 2)
    )
    return b"\x01" + vector(body, 3)


def crypto(data: bytes, offset: int = 0) -> bytes:
    return b"\x06" + varint(offset) + varint(len(data)) + data


def pieces(data: bytes, *cuts: int) -> list[bytes]:
    """CRYPTO frames of `data`, cut at these places, in order."""
    edges = [0, *cuts, len(data)]
    return [crypto(data[a:b], a) for a, b in itertools.pairwise(edges)]


def long_packet(
    frames: bytes,
    *,
    kind: int = 0,
    version: int = V1,
    dcid: bytes = DCID,
    scid: bytes = SCID,
    token: bytes = b"",
    number: int = 0,
    number_size: int = 1,
    size: int = 0,
    reserved: int = 0,
) -> bytes:
    """A sealed packet with a long header; padded so that it has `size` bytes."""
    bits = (kind + 1) % 4 if version == V2 else kind
    first = 0xC0 | bits << 4 | reserved << 2 | number_size - 1
    header = first.to_bytes(1) + version.to_bytes(4) + vector(dcid, 1) + vector(scid, 1)
    if kind == 0:
        header += varint(len(token)) + token
    overhead = len(header) + 2 + number_size + 16
    frames += bytes(max(0, size - overhead - len(frames)))
    header += (0x4000 | number_size + len(frames) + 16).to_bytes(2) + number.to_bytes(number_size)
    keys = client_keys(version, dcid)
    nonce = (int.from_bytes(keys.iv) ^ number).to_bytes(12)
    sealed = AESGCM(keys.key).encrypt(nonce, frames, header)
    sample = sealed[4 - number_size : 20 - number_size]
    mask = Cipher(algorithms.AES(keys.hp), modes.ECB()).encryptor().update(sample)  # noqa: S305
    start = len(header) - number_size
    hidden = bytes(a ^ b for a, b in zip(header[start:], mask[1:], strict=False))
    return bytes([header[0] ^ mask[0] & 0x0F]) + header[1:start] + hidden + sealed


def opening(name: str | bytes = "api.example.com", *alpn: str, dcid: bytes = DCID) -> bytes:
    """A datagram that opens a connection."""
    return long_packet(crypto(hello(name, *alpn)), size=1200, dcid=dcid)
