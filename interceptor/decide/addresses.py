"""Judging addresses: public, or private, metadata or reserved, whatever form they hide in.

Constant work: one dictionary lookup, one bisection, and a short walk over the forms that embed
an IPv4 address in an IPv6 one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

import msgspec

from interceptor.decide.literals import Number, parse, text_of
from interceptor.decide.registries import EMBEDDED, GLOBAL_UNICAST, METADATA, V4, V6
from interceptor.policy.patterns import parse_network
from interceptor.verdict import Reason


class AddressClass(msgspec.Struct, frozen=True, gc=False):
    """What an address is."""

    text: str
    """Canonical text; the text as given if it is no address."""
    reason: Reason | None
    """Why it is not dialled; None for a public address."""
    what: str = ""
    """The registry entry, for people."""

    @property
    def public(self) -> bool:
        """True when nothing speaks against dialling the address."""
        return self.reason is None


class _Table:
    """Sorted, disjoint ranges of one IP version."""

    def __init__(self, entries: Iterable[tuple[str, Reason, str]]) -> None:
        rows = sorted((*parse_network(net)[1:], reason, what) for net, reason, what in entries)
        self._first = [row[0] for row in rows]
        self._rows = rows

    def find(self, value: int) -> tuple[Reason, str] | None:
        i = bisect_right(self._first, value) - 1
        if i < 0:
            return None
        _, last, reason, what = self._rows[i]
        return (reason, what) if value <= last else None


def _number(text: str) -> Number:
    number = parse(text)
    if number is None:
        raise ValueError(f"{text} is no address")
    return number


_TABLES = {4: _Table(V4), 6: _Table(V6)}
_METADATA = {_number(text): what for text, what in METADATA}
_EMBEDDED = tuple((*parse_network(net)[1:], shift, what) for net, shift, what in EMBEDDED)
_, _GLOBAL_FIRST, _GLOBAL_LAST = parse_network(GLOBAL_UNICAST)
_ISATAP = (0x00005EFE, 0x02005EFE)  # bits 64-95 of an ISATAP interface id, RFC 5214 section 6.1


def classify(address: str) -> AddressClass:
    """Classify address text. Text that is no plain address is reserved: fail closed."""
    number = parse(address)
    if number is None:
        return AddressClass(address, Reason.ADDRESS_RESERVED, "not an IP address")
    return _classify(number)


class Exceptions:
    """The operator's named exceptions (`addresses.allow`)."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._ranges = [parse_network(text) for text in networks]

    def classify(self, address: str) -> AddressClass:
        """Classify, with the exceptions taken out.

        An IPv6 form that embeds an IPv4 address passes only if that address passes as well. A
        metadata address passes only if it is named singly.
        """
        found = classify(address)
        if found.reason is None or not self._ranges:
            return found
        number = parse(address)
        if number is None or not self._named(number):
            return found
        inner = _embedded(number)
        if inner is not None and _classify((4, inner[0])).reason and not self._named((4, inner[0])):
            return found
        return AddressClass(found.text, None, f"named exception: {found.what}")

    def _named(self, number: Number) -> bool:
        version, value = number
        single = number in _METADATA
        return any(
            v == version and first <= value <= last and (first == last or not single)
            for v, first, last in self._ranges
        )


def _classify(number: Number) -> AddressClass:
    version, value = number
    text = text_of(number)
    what = _METADATA.get(number)
    if what is not None:
        return AddressClass(text, Reason.ADDRESS_METADATA, what)
    found = _TABLES[version].find(value)
    if version == 4:
        return AddressClass(text, *found) if found else AddressClass(text, None)
    inner = _embedded(number)
    if inner is not None:
        below = _classify((4, inner[0]))
        reason = below.reason or Reason.ADDRESS_RESERVED
        return AddressClass(text, reason, f"{inner[1]}, carrying {below.text}")
    if found:
        return AddressClass(text, *found)
    if not _GLOBAL_FIRST <= value <= _GLOBAL_LAST:
        return AddressClass(text, Reason.ADDRESS_RESERVED, "outside global unicast, RFC 4291")
    return AddressClass(text, None)


def _embedded(number: Number) -> tuple[int, str] | None:
    """Return the IPv4 address inside an IPv6 one, and the form, else None."""
    version, value = number
    if version == 4 or value <= 1:  # `::` and `::1` are addresses of their own
        return None
    for first, last, shift, what in _EMBEDDED:
        if first <= value <= last:
            if shift < 0:
                return ~value & 0xFFFFFFFF, what
            return value >> shift & 0xFFFFFFFF, what
    if value >> 32 & 0xFFFFFFFF in _ISATAP:
        return value & 0xFFFFFFFF, "ISATAP, RFC 5214"
    return None
