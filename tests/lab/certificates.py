"""The lab's public certificate authority: leaves by name, good and bad, made on demand."""

from __future__ import annotations

import datetime as dt
import os
import ssl
import warnings

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.lab.world import BAD_CERTIFICATES

_NO_APPLICATION_PROTOCOL = 120  # alert, RFC 7301 section 3.2
_CLIENT_HELLO = 1  # RFC 8446 section 4
_ANY = b"\x02h2"
_DAY = dt.timedelta(days=1)


class Authority:
    """A root certificate and the leaves below it. One P-256 key serves every leaf.

    :param common_name: the root's name, as `openssl x509 -subject` shows it
    :param now: time of issue
    """

    def __init__(self, common_name: str, now: dt.datetime) -> None:
        self._now = now
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._leaf_key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(common_name)
        self._contexts: dict[tuple[str, tuple[str, ...]], ssl.SSLContext] = {}
        identifier = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        self.root = (
            x509.CertificateBuilder()
            .subject_name(self._name)
            .issuer_name(self._name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _DAY)
            .not_valid_after(now + 30 * _DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(ca=True), critical=True)
            .add_extension(identifier, critical=False)
            .sign(self._key, hashes.SHA256())
        )

    @property
    def root_pem(self) -> bytes:
        """The root certificate."""
        return self.root.public_bytes(serialization.Encoding.PEM)

    def leaf(self, name: str, fault: str = "") -> bytes:
        """Private key and certificate for `name`, PEM.

        :param fault: empty, or one of the values of `world.BAD_CERTIFICATES`
        """
        if fault == "untrusted":
            return Authority("Nobody's CA", self._now).leaf(name)
        before, after = self._now - _DAY, self._now + 7 * _DAY
        if fault == "expired":
            before, after = self._now - 30 * _DAY, self._now - _DAY
        elif fault == "not_yet":
            before, after = self._now + _DAY, self._now + 7 * _DAY
        subject = _name(name)
        own = fault == "self_signed"
        public = self._leaf_key.public_key()
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if own else self._name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(before)
            .not_valid_after(after)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(ca=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        )
        issuer = (self._leaf_key if own else self._key).public_key()
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer), critical=False
        )
        if fault != "no_san":
            shown = "somebody-else.example" if fault == "wrong_name" else name
            names = x509.SubjectAlternativeName([x509.DNSName(shown)])
            builder = builder.add_extension(names, critical=False)
        certificate = builder.sign(self._leaf_key if own else self._key, hashes.SHA256())
        key = self._leaf_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return key + certificate.public_bytes(serialization.Encoding.PEM)

    def context(self, name: str, versions: tuple[str, ...] = ("http/1.1",)) -> ssl.SSLContext:
        """Server context with the certificate of `name`, cached.

        :param versions: what it takes by ALPN, best first
        """
        if (name, versions) not in self._contexts:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.set_alpn_protocols(list(versions))
            _load(context, self.leaf(name, BAD_CERTIFICATES.get(name, "")))
            self._contexts[name, versions] = context
        return self._contexts[name, versions]

    def listener(self, default: str, versions: tuple[str, ...] = ("http/1.1",)) -> ssl.SSLContext:
        """Context for a listener: each handshake gets the certificate of the name it asks for.

        One that speaks HTTP/2 alone refuses a client that does not offer it (RFC 7301 section 3.2).
        """

        def choose(tls: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> int | None:
            tls.lab_name = (name or "").lower()  # type: ignore[attr-defined]  # for the records
            tls.context = self.context((name or default).lower(), versions)
            offered = getattr(tls, "lab_hello", _ANY)
            return None if versions != ("h2",) or b"\x02h2" in offered else _NO_APPLICATION_PROTOCOL

        def look(
            tls: ssl.SSLObject, direction: str, version: int, content: int, kind: int, data: bytes
        ) -> None:
            if direction == "read" and kind == _CLIENT_HELLO:
                tls.lab_hello = data  # type: ignore[attr-defined]

        chooser = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        chooser.set_alpn_protocols(list(versions))
        _load(chooser, self.leaf(default))
        chooser.sni_callback = choose
        if versions == ("h2",):
            chooser._msg_callback = look  # type: ignore[attr-defined]  # nothing else sees the hello
        return chooser

    def legacy_listener(self, name: str) -> ssl.SSLContext:
        """Context that speaks TLS 1.1 and nothing newer, as far as the OpenSSL here still can."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.set_ciphers("ALL:@SECLEVEL=0")
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        _load(context, self.leaf(name))
        return context


def _load(context: ssl.SSLContext, pem: bytes) -> None:
    """Load key and certificate from memory: OpenSSL wants a path, a memfd has one."""
    descriptor = os.memfd_create("leaf")
    try:
        os.write(descriptor, pem)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )
