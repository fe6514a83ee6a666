"""The protection of a client's QUIC Initial packets, taken off.

RFC 9001 section 5 and RFC 9369 section 3.3. Its keys follow from the first packet itself: they keep
out those who did not see it, not us.
"""

from __future__ import annotations

import hmac
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from interceptor.wire.quic import DRAFT_29, V1, V2, Packet, QuicError

_SALTS: Final = {
    V1: bytes.fromhex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a"),
    V2: bytes.fromhex("0dede3def700a6db819381be6e269dcbf9bd2ed9"),
    DRAFT_29: bytes.fromhex("afbfec289993d24c9e9786f19c6111e04390a899"),
}
_TAG: Final = 16  # bytes of AES-128-GCM's tag, and of a sample of the ciphertext
_NUMBER: Final = 4  # bytes that a packet number takes at most


class Keys(msgspec.Struct, frozen=True, gc=False):
    """What protects the client's Initial packets."""

    key: bytes
    iv: bytes
    hp: bytes


def client_keys(version: int, dcid: bytes) -> Keys:
    """Keys from the destination connection id of the client's first packet.

    `version` is one that `quic.packets` gives a type to.
    """
    common = hmac.digest(_SALTS[version], dcid, "sha256")  # HKDF-Extract, RFC 5869 section 2.2
    secret = _expand(common, b"client in", 32)
    prefix = b"quicv2 " if version == V2 else b"quic "
    return Keys(
        _expand(secret, prefix + b"key", 16),
        _expand(secret, prefix + b"iv", 12),
        _expand(secret, prefix + b"hp", 16),
    )


def payload(datagram: bytes, packet: Packet, keys: Keys) -> bytes:
    """The frames of an Initial packet.

    Its number is the one on the wire: a connection that begins has no other (RFC 9000, A.3).

    Raises:
        QuicError: it was sealed with other keys, or changed.
    """
    at = packet.number
    if at + _NUMBER + _TAG > packet.end:
        raise QuicError("a packet too short to be sealed")
    sample = datagram[at + _NUMBER : at + _NUMBER + _TAG]
    # RFC 9001 section 5.4.3 names ECB; it is one block, and there is nothing to chain.
    mask = Cipher(algorithms.AES(keys.hp), modes.ECB()).encryptor().update(sample)  # noqa: S305
    first = datagram[packet.start] ^ mask[0] & 0x0F
    size = (first & 3) + 1
    number = int.from_bytes(datagram[at : at + size]) ^ int.from_bytes(mask[1 : 1 + size])
    header = first.to_bytes(1) + datagram[packet.start + 1 : at] + number.to_bytes(size)
    nonce = (int.from_bytes(keys.iv) ^ number).to_bytes(12)
    try:
        opened = AESGCM(keys.key).decrypt(nonce, datagram[at + size : packet.end], header)
    except InvalidTag:
        raise QuicError("a packet that its keys do not open") from None
    if first & 0x0C:
        raise QuicError("reserved bits are set")
    return opened


def _expand(secret: bytes, label: bytes, size: int) -> bytes:
    """HKDF-Expand-Label without context, up to 32 bytes: one HMAC (RFC 8446 section 7.1)."""
    label = b"tls13 " + label
    info = size.to_bytes(2) + len(label).to_bytes(1) + label + b"\0\x01"
    return hmac.digest(secret, info, "sha256")[:size]
