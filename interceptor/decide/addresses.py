"""Judging addresses: public, or private, metadata or reserved, whatever form they hide in.

Constant work: a dictionary lookup, a bisection in the registries and one in the host's own
networks, and a short walk over the forms that embed an IPv4 address in an IPv6 one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import Final

import msgspec

from interceptor.decide import metadata
from interceptor.decide.literals import Number, parse, text_of
from interceptor.decide.registries import EMBEDDED, GLOBAL_UNICAST, ISATAP, TRANSLATED, V4, V6
from interceptor.policy.patterns import parse_network
from interceptor.verdict import Reason


class AddressClass(msgspec.Struct, frozen=True, gc=False):
    """What an address, or a name of the platform's own, is."""

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


class HostNetwork(msgspec.Struct, frozen=True, gc=False):
    """An address of the machine that we run on, or a network that it is attached to."""

    network: str
    """CIDR; without a length: the single address."""
    what: str = "a network of this host"
    """For people."""


_Range = tuple[int, int, Reason | None, str]  # first, last, why not, what
_Finding = tuple[Reason, str]


class _Table:
    """Ranges of one IP version; of those within each other the innermost counts."""

    def __init__(self, ranges: Iterable[_Range]) -> None:
        self._first: list[int] = []
        self._rows: list[tuple[int, _Finding | None]] = []
        around: list[_Range] = []
        at = 0
        for row in sorted(ranges, key=lambda row: (row[0], -row[1])):
            while around and around[-1][1] < row[0]:
                at = self._add(at, around.pop())
            if around and at < row[0]:
                self._add(at, (at, row[0] - 1, *around[-1][2:]))
            at = row[0]
            around.append(row)
        while around:
            at = self._add(at, around.pop())

    def _add(self, first: int, row: _Range) -> int:
        """Add what is left of a row, from `first` on; return the address after it."""
        _, last, reason, what = row
        if first <= last:
            self._first.append(first)
            self._rows.append((last, None if reason is None else (reason, what)))
        return max(first, last + 1)

    def find(self, value: int) -> _Finding | None:
        i = bisect_right(self._first, value) - 1
        if i < 0:
            return None
        last, found = self._rows[i]
        return found if value <= last else None


def _number(text: str) -> Number:
    number = parse(text)
    if number is None:
        raise ValueError(f"{text} is no address")
    return number


_TABLES: Final = {
    version: _Table((*parse_network(row.network)[1:], row.reason, row.what) for row in registry)
    for version, registry in ((4, V4), (6, V6))
}
_METADATA: Final = {_number(text): what for text, what in metadata.ADDRESSES}
_METADATA_V4: Final = frozenset(value for version, value in _METADATA if version == 4)
_EMBEDDED: Final = tuple((*parse_network(net)[1:], what, bits) for net, what, bits in EMBEDDED)
_, _GLOBAL_FIRST, _GLOBAL_LAST = parse_network(GLOBAL_UNICAST)
_LOW: Final = 0xFFFFFFFF
_SEVERE: Final = (Reason.ADDRESS_METADATA, Reason.ADDRESS_PRIVATE, Reason.ADDRESS_RESERVED)
"""What is said of an address that may be read in several ways: the first that applies."""


def classify(address: str) -> AddressClass:
    """Classify address text. Text that is no plain address is reserved: fail closed."""
    number = parse(address)
    if number is None:
        return AddressClass(address, Reason.ADDRESS_RESERVED, "not an IP address")
    return _classify(number)


class Exceptions:
    """What this operator and this machine make of addresses.

    The operator's named exceptions (`addresses.allow`) open what is closed; addresses and networks
    of the machine close what would be public.
    """

    def __init__(self, networks: Iterable[str], local: Iterable[HostNetwork] = ()) -> None:
        """Hold `networks` open and `local` closed.

        Raises:
            ValueError: one is malformed.
        """
        self._ranges = [parse_network(text) for text in networks]
        rows: dict[int, list[_Range]] = {4: [], 6: []}
        for entry in local:
            version, first, last = parse_network(entry.network)
            rows[version].append((first, last, Reason.ADDRESS_PRIVATE, entry.what))
        self._local = {version: _Table(found) for version, found in rows.items() if found}

    def classify(self, address: str) -> AddressClass:
        """Classify, with the exceptions taken out.

        An IPv6 form that embeds an IPv4 address passes only if that address passes as well. A
        metadata address passes only if it is named singly.
        """
        number = parse(address)
        if number is None:
            return classify(address)
        found = self._classify(number)
        if found.reason is None or not self._ranges or not self._named(number):
            return found
        inner = _embedded(number)
        for value in inner[0] if inner is not None else ():
            if self._classify((4, value)).reason and not self._named((4, value)):
                return found
        return AddressClass(found.text, None, f"named exception: {found.what}")

    def name(self, name: str) -> AddressClass | None:
        """Classify a name that platforms give to their own services; None for any other.

        It passes where each address that it is known to have does. `name` is lower case, without
        trailing dot.
        """
        found = metadata.stands_for(name)
        if found is None:
            return None
        what, addresses = found
        if addresses and all(self.classify(address).public for address in addresses):
            return None
        return AddressClass(name, Reason.ADDRESS_METADATA, what)

    def _classify(self, number: Number) -> AddressClass:
        found = _classify(number)
        if found.reason is None and self._local:
            table = self._local.get(number[0])
            near = table.find(number[1]) if table is not None else None
            if near is not None:
                return AddressClass(found.text, *near)
        return found

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
    if version == 4:
        found = _TABLES[4].find(value)
        return AddressClass(text, *found) if found else AddressClass(text, None)
    inner = _embedded(number)
    if inner is not None:
        return _carrying(text, *inner)
    found = _TABLES[6].find(value)
    if found:
        return AddressClass(text, *found)
    if not _GLOBAL_FIRST <= value <= _GLOBAL_LAST:
        return AddressClass(text, Reason.ADDRESS_RESERVED, "outside global unicast, RFC 4291")
    return AddressClass(text, None)


def _carrying(text: str, values: tuple[int, ...], form: str) -> AddressClass:
    """Classify an address by the IPv4 addresses that it may carry: the worst of them counts."""
    best = AddressClass("", Reason.ADDRESS_RESERVED)
    for value in values:
        found = _classify((4, value))
        reason = found.reason or Reason.ADDRESS_RESERVED
        if not best.text or _SEVERE.index(reason) < _SEVERE.index(best.reason or reason):
            best = AddressClass(found.text, reason)
    return AddressClass(text, best.reason, f"{form}, carrying {best.text}")


def _embedded(number: Number) -> tuple[tuple[int, ...], str] | None:
    """Return the IPv4 addresses that an IPv6 one may carry, and the form, else None."""
    version, value = number
    if version == 4 or value <= 1:  # `::` and `::1` are addresses of their own
        return None
    for first, last, what, bits in _EMBEDDED:
        if first <= value <= last:
            found = [_carried(value, bit) for bit in bits]
            # An address that begins elsewhere leaves zeros where this one would begin.
            return tuple(inner for inner in found if inner >> 24) or (found[0],), what
    if value >> 32 & _LOW in ISATAP:
        return (value & _LOW,), "ISATAP, RFC 5214"
    if _GLOBAL_FIRST <= value <= _GLOBAL_LAST:
        for bit in TRANSLATED:
            inner = _carried(value, bit)
            if inner in _METADATA_V4 and _alone(value, bit):
                return (inner,), "translated, RFC 6052"
    return None


def _carried(value: int, bit: int) -> int:
    """Return the IPv4 address in an IPv6 one; see `EMBEDDED`."""
    if bit < 0:
        return ~value & _LOW
    if 32 < bit <= 64:
        # Leave bits 64 to 71 out: 120 bits are left.
        return (value >> 64 << 56 | value & (1 << 56) - 1) >> 88 - bit & _LOW
    return value >> 96 - bit & _LOW


def _alone(value: int, bit: int) -> bool:
    """Say whether nothing follows the IPv4 address, as RFC 6052 section 2.2 has it."""
    return bit == 96 or not (value >> 56 & 0xFF or value & (1 << 88 - bit) - 1)
