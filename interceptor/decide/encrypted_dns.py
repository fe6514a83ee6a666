"""DNS by other ways than the jail's own resolver: recognised, and refused by name.

A name that is asked of somebody else is a name that nobody has judged. DNS over HTTPS (RFC 8484) is
known by its media types, by a query in `?dns=`, by the JSON forms of large resolvers, and by the
hosts of known providers; DNS over TLS (RFC 7858) and QUIC (RFC 9250) by port and ALPN. Clients that
try these fall back to the system's resolver, which answers every name.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Sequence
from typing import Final

from interceptor.decide.doh_providers import provider_of
from interceptor.decide.hosts import HostSet
from interceptor.decide.paths import plain_path
from interceptor.model import Target
from interceptor.verdict import Reason, Verdict
from interceptor.wire import dns

Refuse = Callable[[Reason, str, str], Verdict]

ALPN: Final = {"dot": "DNS over TLS", "doq": "DNS over QUIC"}
"""Protocols of ALPN that carry DNS (IANA TLS ALPN registry)."""

_MEDIA: Final = re.compile(
    rb"(?i)\bapplication/(?:dns-message|dns-udpwireformat|oblivious-dns-message|dns-json|dns\+json)"
    rb"(?![\w.+-])"
)
PORT: Final = 853
"""Of DNS over TLS and QUIC."""
_PATH: Final = "/dns-query"  # RFC 8484 section 4.1.1, and what all resolvers use
_FIELDS: Final = frozenset((b"accept", b"content-type"))
# The value of `dns` in a query; base64url of a query has 16 characters of header at the least.
_PARAMETER: Final = re.compile(r"[?&]dns=([A-Za-z0-9_-]{22,2000})(?:=|%3[dD]){0,2}(?:[&#]|\Z)")
_LONGEST: Final = 512  # bytes of a query that are looked at


class EncryptedDns:
    """Looks for DNS in requests and behind names.

    Raises:
        ValueError: a pattern is malformed (the policy loader has checked them before).
    """

    def __init__(self, allow: Sequence[str], refuse: Refuse) -> None:
        """Hold the patterns of `hosts.allow`.

        A provider's host that policy names itself is a web site like others; DNS is none there.
        `refuse` makes a refusal of a reason, a detail and what decided.
        """
        self._refuse = refuse
        self._named = HostSet([text for text in allow if text.partition(":")[0] != "*"], "")

    def host(self, host: str, port: int) -> Verdict | None:
        """Judge the host of a connection: a lower-case name without trailing dot."""
        provider = provider_of(host)
        if not provider or (self._named and self._named.find(host, port) is not None):
            return None
        return self._bypass(f"encrypted DNS of {provider}")

    def request(
        self, target: Target, head: bytes, fields: Sequence[tuple[bytes, bytes]]
    ) -> Verdict | None:
        """Judge a request by its head, and its (lower-case name, value) fields."""
        if b"dns" not in head.lower():  # nearly all: one pass over the head
            return None
        for name, value in fields:
            if name in _FIELDS and _MEDIA.search(value):
                return self._bypass("DNS over HTTPS")
        path, _, query = target.path.partition("?")
        if (plain_path(path) or path).rstrip("/") == _PATH or (query and _asks(target.path)):
            return self._bypass("DNS over HTTPS")
        return None

    def _bypass(self, what: str) -> Verdict:
        return self._refuse(Reason.DNS_BYPASS, explained(what), "dns")


def over_tls(port: int, protocols: Sequence[str]) -> str:
    """Name the DNS that a ClientHello is for, by its port and what it offers by ALPN, or ""."""
    for protocol in protocols:
        if protocol in ALPN:
            return ALPN[protocol]
    return ALPN["dot"] if port == PORT else ""


def explained(what: str) -> str:
    """Detail of a refusal: what was tried, and what to do instead."""
    return f"{what}; ordinary DNS answers every name"


def _asks(path: str) -> bool:
    """True where a parameter `dns` holds a DNS query (RFC 8484 section 4.1)."""
    found = _PARAMETER.search(path)
    if found is None:
        return False
    text = found[1][: _LONGEST * 4 // 3]
    try:
        data = binascii.a2b_base64(
            text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4)
        )
    except binascii.Error:
        return False
    try:
        dns.parse(data)
    except dns.QueryError:
        return False
    return True
