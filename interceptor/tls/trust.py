"""How upstream servers are verified: the host's trust, TLS 1.2 and up, the leased name."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import Final
from weakref import WeakKeyDictionary

# Where distributions keep the bundle: Debian and Alpine, Fedora, SUSE, FreeBSD and others.
_BUNDLES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


_BEGIN: Final = "-----BEGIN CERTIFICATE-----"
_END: Final = "-----END CERTIFICATE-----"
_OFFERED: Final[WeakKeyDictionary[ssl.SSLContext, tuple[str, ...]]] = WeakKeyDictionary()


class TrustError(Exception):
    """The host has no usable trust store, or the policy's CA file cannot be used."""


def host_bundle() -> Path | None:
    """File that holds the host's trusted certificates, if one of the known places has it."""
    return next((path for path in map(Path, _BUNDLES) if path.is_file()), None)


def client_context(ca_file: str | None, min_tls: str) -> ssl.SSLContext:
    """Make the one context for all upstream connections of a policy (about 18 ms).

    Args:
        ca_file: PEM file trusted besides the host's trust, or None.
        min_tls: `1.2` or `1.3`.

    Raises:
        TrustError: with the file and the cause.
    """
    context = _context(min_tls)
    bundle = host_bundle()
    try:
        if bundle is not None:
            context.load_verify_locations(cafile=str(bundle))
        else:
            context.set_default_verify_paths()
        if ca_file:
            context.load_verify_locations(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise TrustError(
            f"cannot load trusted certificates from {ca_file or bundle}: {error}"
        ) from error
    return context


def host_authorities() -> tuple[str, ...]:
    """The host's trusted certificates as PEM, for who may read no file later; () if unknown.

    Raises:
        TrustError: the bundle cannot be read.
    """
    bundle = host_bundle()
    try:
        return (bundle.read_text("utf-8", "replace"),) if bundle is not None else ()
    except OSError as error:
        raise TrustError(f"cannot read {bundle}: {error.strerror}") from error


def context_of(texts: Iterable[str], min_tls: str) -> ssl.SSLContext:
    """Make a context like `client_context` from certificates that were read before.

    Args:
        texts: PEM; what stands between the certificates is passed over.
        min_tls: `1.2` or `1.3`.

    Raises:
        TrustError: a text that holds no certificates, or a damaged one.
    """
    context = _context(min_tls)
    found = False
    for text in texts:
        # Comments need not be ASCII; what Python hands to OpenSSL must.
        blocks = [part.partition(_END)[0] for part in text.split(_BEGIN)[1:]]
        if text.strip() and not blocks:
            raise TrustError("no certificate in what is to be trusted")
        try:
            if blocks:
                found = True
                context.load_verify_locations(
                    cadata="".join(f"{_BEGIN}{block}{_END}\n" for block in blocks)
                )
        except (ssl.SSLError, ValueError) as error:
            raise TrustError(f"a damaged certificate in what is to be trusted: {error}") from error
    if not found:
        context.set_default_verify_paths()
    return context


def _context(min_tls: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3 if min_tls == "1.3" else ssl.TLSVersion.TLSv1_2
    # A name in the subject alone is none (RFC 9110 section 4.3.4, RFC 6125 section 6.4.4).
    context.hostname_checks_common_name = False
    context.set_alpn_protocols(["http/1.1"])
    return context


def offer(context: ssl.SSLContext, alpn: tuple[str, ...]) -> ssl.SSLContext:
    """Have the next connections of a context offer `alpn`; several may share a context.

    OpenSSL copies the list into each new connection: one context serves all offers.
    """
    if _OFFERED.get(context) != alpn:
        context.set_alpn_protocols(list(alpn))
        _OFFERED[context] = alpn
    return context
