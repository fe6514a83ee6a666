"""The authority of one jail: made in memory, trusted in the jail only, gone with the process.

RFC 5280 profiles that strict clients check (Python 3.13's VERIFY_X509_STRICT, Node, Go, Java): key
identifiers, critical basicConstraints and keyUsage, serverAuth, a subjectAltName, a random serial,
and a lifetime that Apple and Chrome accept. One name a leaf, so that no HTTP/2 client may coalesce
connections of two names (threat model, row 15).
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import re
import ssl
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NoReturn

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LEAF_LIFETIME: Final = dt.timedelta(days=90)
"""Clients refuse leaves of more than 398 (Apple, Chrome) or 825 days."""
RENEWAL: Final = dt.timedelta(days=7)
"""A context whose leaf has less than this left is made anew."""
CLOCK_SKEW: Final = dt.timedelta(days=1)
"""Certificates begin this long ago, for clients whose clock is behind."""
CONTEXTS: Final = 1_024
"""Contexts kept by default, least recently used first out."""

_COMMON_NAME_LENGTH = 64  # RFC 5280, ub-common-name
_NAME = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
    r"(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*"
)
_CERTIFICATES_ONLY = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)
_SIGNATURE_ONLY = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


class LeafNameError(ValueError):
    """A name that no certificate is made for."""


class LeafMaterial(msgspec.Struct, frozen=True, gc=False):
    """A leaf certificate. Its key is shared by all leaves and stays in the authority."""

    name: str
    certificate_pem: bytes
    not_after: dt.datetime


class Root(msgspec.Struct, frozen=True):
    """Key and certificate of an authority that outlives its process, both PEM."""

    key: bytes
    certificate: bytes
    """Empty: one is made."""

    def __repr__(self) -> str:
        return "Root()"


class Authority:
    """A certificate authority (P-256) that signs leaves for one jail.

    Its private key is reachable through no method, is never serialised and never leaves the
    process; the object refuses to be pickled or copied. One that must outlive its process is given
    its key (`Root`), and whoever gave it keeps that.
    """

    def __init__(
        self,
        jail: str,
        now: dt.datetime,
        *,
        days: int = 3_650,
        contexts: int = CONTEXTS,
        randomness: Callable[[int], bytes] = os.urandom,
        root: Root | None = None,
    ) -> None:
        """Make keys and the root certificate.

        `jail` is the jail's name, `now` an aware time, `days` the root's lifetime, `contexts` the
        most contexts kept, `randomness` gives the serial numbers' bytes (keys come from OpenSSL).
        With `root` the authority goes on that `lasting` has made. Raises ValueError where that is
        damaged.
        """
        self._now = now
        self._randomness = randomness
        self._capacity = contexts
        self._contexts: OrderedDict[
            tuple[str, tuple[str, ...]], tuple[ssl.SSLContext, dt.datetime]
        ] = OrderedDict()
        self.__key = ec.generate_private_key(ec.SECP256R1()) if root is None else _key_of(root)
        leaf_key = ec.generate_private_key(ec.SECP256R1())
        self._leaf_public_key = leaf_key.public_key()
        self._leaf_key_pem = leaf_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,  # OpenSSL 3.0 reads it 6 % faster
            serialization.NoEncryption(),
        )
        self._leaf_identifier = x509.SubjectKeyIdentifier.from_public_key(self._leaf_public_key)
        identifier = x509.SubjectKeyIdentifier.from_public_key(self.__key.public_key())
        self._issuer_identifier = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
            identifier
        )
        self._subject = _common_name(f"egressguard jail {jail}"[:_COMMON_NAME_LENGTH])
        self._not_before = now - CLOCK_SKEW
        self._not_after = now + dt.timedelta(days=days)
        if root is not None and root.certificate:
            self._go_on(root)
            return
        certificate = (
            x509.CertificateBuilder()
            .subject_name(self._subject)
            .issuer_name(self._subject)
            .public_key(self.__key.public_key())
            .serial_number(self._serial())
            .not_valid_before(self._not_before)
            .not_valid_after(self._not_after)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_CERTIFICATES_ONLY, critical=True)
            .add_extension(identifier, critical=False)
            .add_extension(self._issuer_identifier, critical=False)
            .sign(self.__key, hashes.SHA256())
        )
        self._certificate_pem = certificate.public_bytes(serialization.Encoding.PEM)

    def _go_on(self, root: Root) -> None:
        certificate = x509.load_pem_x509_certificate(root.certificate)
        if certificate.public_key() != self.__key.public_key():
            raise ValueError("the certificate is of another key")
        self._subject = certificate.subject
        self._not_before = certificate.not_valid_before_utc
        self._not_after = certificate.not_valid_after_utc
        self._certificate_pem = root.certificate

    def __reduce__(self) -> NoReturn:
        raise TypeError("an authority is not serialised: its key stays in its process")

    @property
    def certificate_pem(self) -> bytes:
        """The root certificate that the jail trusts."""
        return self._certificate_pem

    def leaf(self, name: str, now: dt.datetime | None = None) -> LeafMaterial:
        """Sign a leaf for `name`: a lower-case A-label name or the text of an IP address.

        `now` is when its lifetime begins, by default the authority's own beginning. Raises
        LeafNameError for anything else, wildcards included.
        """
        alternative = _alternative_name(name)
        begin = max((now or self._now) - CLOCK_SKEW, self._not_before)
        end = min(begin + LEAF_LIFETIME - dt.timedelta(seconds=1), self._not_after)
        # A name that does not fit a common name stands in the subjectAltName only, as RFC 9525
        # wants it anyway; an organisation keeps the subject from being empty.
        fits = len(name) <= _COMMON_NAME_LENGTH
        certificate = (
            x509.CertificateBuilder()
            .subject_name(_common_name(name) if fits else _ORGANISATION)
            .issuer_name(self._subject)
            .public_key(self._leaf_public_key)
            .serial_number(self._serial())
            .not_valid_before(begin)
            .not_valid_after(end)
            .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_SIGNATURE_ONLY, critical=True)
            .add_extension(_SERVER_AUTH, critical=False)
            .add_extension(self._leaf_identifier, critical=False)
            .add_extension(self._issuer_identifier, critical=False)
            .sign(self.__key, hashes.SHA256())
        )
        return LeafMaterial(
            name=name,
            certificate_pem=certificate.public_bytes(serialization.Encoding.PEM),
            not_after=end,
        )

    def server_context(
        self, name: str, alpn: tuple[str, ...], now: dt.datetime | None = None
    ) -> ssl.SSLContext:
        """A context that answers as `name`: TLS 1.2 or later, these ALPN protocols, resumption.

        Kept for (name, alpn), so that session tickets are good for later connections. With `now`
        given, a context whose leaf ends soon is replaced. Raises LeafNameError.
        """
        key = (name, alpn)
        found = self._contexts.get(key)
        if found is not None:
            context, end = found
            if now is None or now + RENEWAL < end or end == self._not_after:
                self._contexts.move_to_end(key)
                return context
        leaf = self.leaf(name, now)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
        context.num_tickets = 1  # the second one costs a write and is hardly ever used
        if alpn:
            context.set_alpn_protocols(list(alpn))
        _load(context, self._leaf_key_pem + leaf.certificate_pem)
        self._contexts[key] = (context, leaf.not_after)
        self._contexts.move_to_end(key)
        if len(self._contexts) > self._capacity:
            self._contexts.popitem(last=False)
        return context

    def _serial(self) -> int:
        """127 random bits: positive, and at most 16 of the 20 bytes that are allowed."""
        return int.from_bytes(self._randomness(16)) >> 1 | 1


_ORGANISATION = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "egressguard")])
_SERVER_AUTH = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])


def lasting(jail: str, now: dt.datetime) -> tuple[Authority, Root]:
    """Make an authority, and what another process needs to go on with it."""
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    made = Authority(jail, now, root=Root(key, b""))
    return made, Root(key, made.certificate_pem)


def _key_of(root: Root) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(root.key, None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("not a key of an elliptic curve")  # noqa: TRY004 - of the content
    return key


def _common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _alternative_name(name: str) -> x509.GeneralName:
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        if _NAME.fullmatch(name):
            return x509.DNSName(name)
        raise LeafNameError("neither a lower-case host name nor an IP address") from None
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        raise LeafNameError("an address with a zone id")
    return x509.IPAddress(address)


def _load(context: ssl.SSLContext, pem: bytes) -> None:
    """Give key and certificate to the context, which reads paths only.

    An anonymous file in memory, opened through the process's own descriptors: works without any
    writable directory and for a process that has dropped its privileges or is not dumpable (a
    thread may always look at its own process: ptrace(2), "Ptrace access mode checking"). Needs
    /proc and the system calls memfd_create and openat.
    """
    descriptor = os.memfd_create("leaf", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, pem)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
