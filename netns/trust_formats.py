"""The formats trust is kept in: PEM bundles, OpenSSL's hashed directories, Java's key stores.

Pure functions on bytes, and few: the jail's start waits for them.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----\s+([A-Za-z0-9+/=\s]+?)-----END CERTIFICATE-----")

_JKS_MAGIC, _JKS_TRUSTED = b"\xfe\xed\xfe\xed\x00\x00\x00\x02", b"\x00\x00\x00\x02"
_JKS_WHITENER = b"Mighty Aphrodite"
_JKS_PASSWORD = "changeit".encode("utf-16-be")  # every JDK's default, which its tools assume
_JKS_DIGEST = 20

_STRINGS = {12: "utf-8", 19: "ascii", 20: "latin-1", 22: "ascii", 26: "ascii", 30: "utf-16-be"}
"""ASN.1 string types that names use, and their encodings (X.680)."""


def certificates(pem: bytes) -> list[bytes]:
    """Return the DER of each certificate in a PEM bundle, in order; comments are skipped."""
    return [base64.b64decode(match.group(1)) for match in _PEM.finditer(pem)]


def merged(bundle: bytes, certificate_pem: bytes) -> bytes:
    """Return a PEM bundle with one more certificate, first: some programs read only the start."""
    return certificate_pem.rstrip(b"\n") + b"\n" + bundle.lstrip()


def subject_hash(der: bytes) -> str:
    """Return the name OpenSSL looks a certificate up by in a hashed directory, without `.0`.

    X509_NAME_hash(3): the first four bytes, little endian, of SHA-1 over the subject's canonical
    form: strings as UTF-8, lower case, runs of white space as one space, none at the ends.
    """
    _, body, _ = _element(der, 0)
    _, fields, _ = _element(body, 0)
    position, parts = 0, []
    while position < len(fields):
        tag, content, position = _element(fields, position)
        if tag != 0xA0:  # version
            parts.append(content)
    # serial, signature, issuer, validity, subject: RFC 5280 section 4.1
    canonical = b""
    for _, relative in _elements(parts[4]):
        pairs = b""
        for _, pair in _elements(relative):
            (oid_tag, oid), (tag, value) = _elements(pair)
            if tag in _STRINGS:
                text = " ".join(value.decode(_STRINGS[tag], "replace").split(" "))
                text = re.sub(r"[ \t\n\v\f\r]+", " ", text).strip(" ")
                lowered = "".join(char.lower() if char < "\x80" else char for char in text)
                tag, value = 12, lowered.encode()
            pairs += _encoded(0x30, _encoded(oid_tag, oid) + _encoded(tag, value))
        canonical += _encoded(0x31, pairs)
    digest = hashlib.sha1(canonical, usedforsecurity=False).digest()
    return digest[3::-1].hex()


def key_store(ders: list[bytes], alias: str = "ca") -> bytes:
    """Return a Java key store (JKS) that trusts these certificates.

    JKS and not PKCS #12: the virtual machine opens its default store without a password, which
    reads JKS entries but not encrypted ones. Every JDK tells the format from the content.
    """
    entries = b"".join(_jks_entry(f"{alias}{number}", der) for number, der in enumerate(ders))
    return _jks_sealed(_JKS_MAGIC + len(ders).to_bytes(4, "big") + entries)


def key_store_with(store: bytes, der: bytes, alias: str) -> bytes | None:
    """Return a JKS with one more trusted certificate; None when `store` is no JKS."""
    if not store.startswith(_JKS_MAGIC) or len(store) < 12 + _JKS_DIGEST:
        return None
    count = int.from_bytes(store[8:12], "big")
    body = store[12:-_JKS_DIGEST] + _jks_entry(alias, der)
    return _jks_sealed(_JKS_MAGIC + (count + 1).to_bytes(4, "big") + body)


def _jks_entry(alias: str, der: bytes) -> bytes:
    name = alias.encode("ascii")
    return b"".join(
        (
            _JKS_TRUSTED,
            len(name).to_bytes(2, "big"),
            name,
            bytes(8),  # date of creation
            (5).to_bytes(2, "big"),
            b"X.509",
            len(der).to_bytes(4, "big"),
            der,
        )
    )


def _jks_sealed(body: bytes) -> bytes:
    # SHA-1 is the format's; it guards against accidents, and who writes the file is root.
    digest = hashlib.sha1(_JKS_PASSWORD + _JKS_WHITENER + body, usedforsecurity=False)
    return body + digest.digest()


def _element(data: bytes, position: int) -> tuple[int, bytes, int]:
    """Return tag, content and end of the DER element at `position`. Raises ValueError."""
    if position + 2 > len(data):
        raise ValueError("truncated DER")
    tag, length = data[position], data[position + 1]
    position += 2
    if length & 0x80:
        size = length & 0x7F
        length = int.from_bytes(data[position : position + size], "big")
        position += size
    if position + length > len(data):
        raise ValueError("truncated DER")
    return tag, data[position : position + length], position + length


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position < len(data):
        tag, content, position = _element(data, position)
        yield tag, content


def _encoded(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content
