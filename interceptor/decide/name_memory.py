"""What one agent has named: verdicts, names that were counted, and pieces of secrets over names."""

from __future__ import annotations

from array import array
from collections import OrderedDict
from itertools import chain
from typing import Final

from interceptor.decide.tunnels import Budgets, shared_domains
from interceptor.scan.engine import RawFinding, Scanner
from interceptor.scan.names import bits_of_case, scan_sequence, tells
from interceptor.scan.naming.ordinary import ordinary
from interceptor.verdict import Verdict

FORGET: Final = 7 * 86_400.0
"""Seconds after which pieces below a domain to which nothing was added are forgotten."""

_VERDICTS: Final = 4096
_HELD: Final = 1024
_MOMENT: Final = 5.0  # seconds
_NEVER: Final = float("-inf"), None
_NAMES: Final = 1 << 17
"""Names that are known to be counted, at most; one megabyte."""
_FIRST: Final = 1 << 8
_ROWS: Final = 512
_PIECES: Final = 64  # names of one row
_SIGNS: Final = 512  # characters of one row
_WORD: Final = (1 << 64) - 1
_BITS: Final = 512  # of the case of letters, of one domain
_READABLE: Final = 12  # characters of readable text that the case of letters may spell by chance
_INVERTED: Final = str.maketrans("01", "10")
SPELT: Final = 32
"""Characters of readable text that it does not: 2 to the power of -28 for a name."""


class _Row:
    """Names below one domain, in the order in which they came: what varies in them."""

    __slots__ = ("at", "names", "signs")

    def __init__(self) -> None:
        self.at = 0.0
        self.names: list[tuple[str, ...]] = []
        self.signs = 0


class NameMemory:
    """What an agent has named.

    Attributes:
        settled: verdicts on names, in the case they were seen in, that time does not change.
        connections: the same for hosts and ports.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self.settled: dict[str, Verdict] = {}
        self.connections: dict[tuple[str, int], Verdict] = {}
        self._budgets = Budgets()
        self._counted: array[int] = array("Q")
        self._count = 0
        self._cases: dict[str, str] = {}
        self._held: dict[str, tuple[float, Verdict]] = {}
        self._rows: OrderedDict[str, _Row] = OrderedDict()
        self._signs = 0

    @property
    def size(self) -> int:
        """Bytes that are kept, about."""
        settled = 200 * (len(self.settled) + len(self.connections) + len(self._held))
        rows = 300 * len(self._rows) + 4 * self._signs + 700 * len(self._cases)
        return 8 * len(self._counted) + settled + rows + self._budgets.size

    def settle(self, name: str, verdict: Verdict) -> Verdict:
        """Keep a verdict that stands whatever else is named."""
        if len(self.settled) >= _VERDICTS:
            self.settled.clear()
        self.settled[name] = verdict
        return verdict

    def settle_connection(self, place: tuple[str, int], verdict: Verdict) -> None:
        """Keep a verdict on host and port that stands whatever else is named."""
        if len(self.connections) >= _VERDICTS:
            self.connections.clear()
        self.connections[place] = verdict

    def unsettle(self) -> None:
        """Forget verdicts, as they are made by other rules from now on."""
        self.settled.clear()
        self.connections.clear()
        self._held.clear()

    def hold(self, name: str, verdict: Verdict, now: float) -> Verdict:
        """Keep a refusal for a moment: who asks again at once gets it again."""
        if len(self._held) >= _HELD:
            self._held.clear()
        self._held[name] = now, verdict
        return verdict

    def held(self, name: str, now: float) -> Verdict | None:
        """Return a refusal of a moment ago."""
        at, verdict = self._held.get(name, _NEVER)
        return verdict if now - at < _MOMENT else None

    def met(self, folded: str) -> bool:
        """Say whether a lower-case name was counted before."""
        table = self._counted
        if not table:
            return False
        key = hash(folded) & _WORD
        at = key & len(table) - 1
        return table[at] == key or table[at ^ 1] == key

    def take(self, folded: str, domain: str, now: float) -> bool:
        """Count a new name against its domain's budget; False if that does not suffice."""
        payload = folded[: -len(domain) - 1]
        return not payload or self._budgets.take(domain, payload, ordinary(), now)

    def _count_in(self, key: int) -> None:
        table = self._counted
        if self._count * 2 >= len(table) and len(table) < _NAMES:
            self._counted, self._count = array("Q", bytes(8 * (4 * len(table) or _FIRST))), 0
            for old in table:
                if old:
                    self._place(old)
        self._place(key)

    def _place(self, key: int) -> None:
        table = self._counted
        at = key & len(table) - 1
        if table[at]:  # of three that would share two places, the oldest is forgotten
            table[at ^ 1] = table[at]
        table[at] = key
        self._count += 1

    # -- pieces ------------------------------------------------------------------------------

    def across(
        self, name: str, domain: str, scanner: Scanner, key: bytes, now: float
    ) -> list[RawFinding]:
        """Return secrets that a name completes with those before it below its domain.

        Args:
            name: a new one, in the case it was seen in, without trailing dot.
            domain: its registrable domain.
            scanner: for this thread alone.
            key: key of the digests.
            now: a time in seconds that never goes back.
        """
        row = self._rows.get(domain)
        if row is None or now - row.at > FORGET or domain in shared_domains():
            return []
        names = _varying([*row.names, _labels(name, domain)])
        text = ".".join(chain.from_iterable(names)).lower()
        return scan_sequence(scanner, names, key) if tells(text) else []

    def keep(self, name: str, domain: str, now: float) -> None:
        """Take note that a new name was allowed. Arguments are those of `across`."""
        self._count_in(hash(name.lower()) & _WORD)
        labels = _labels(name, domain)
        row = self._rows.get(domain)
        if row is None:
            row = self._rows[domain] = _Row()
            if len(self._rows) > _ROWS:
                _, gone = self._rows.popitem(last=False)
                self._signs -= gone.signs
        else:
            self._rows.move_to_end(domain)
            if now - row.at > FORGET:
                self._signs -= row.signs
                row.names.clear()
                row.signs = 0
        row.at = now
        row.names.append(labels)
        size = sum(map(len, labels))
        while row.names and (len(row.names) > _PIECES or row.signs + size > _SIGNS):
            size -= sum(map(len, row.names.pop(0)))
        row.signs += size
        self._signs += size

    def cased(self, name: str, domain: str) -> bytes:
        """Return what the case of letters has spelt below a domain, if that is readable text.

        Resolvers of good faith draw the case of letters (draft-vixie-dnsext-dns0x20): that reads as
        noise.

        Args:
            name: not all of it lower case.
            domain: its registrable domain.
        """
        bits = (self._cases.pop(domain, "") + bits_of_case(name))[-_BITS:]
        self._cases[domain] = bits
        if len(self._cases) > _ROWS:
            del self._cases[next(iter(self._cases))]
        for offset in range(8):
            tops = bits[offset::8]
            top = tops[-1:]
            run = len(tops) - len(tops.rstrip(top))
            if run >= _READABLE:
                return _ascii(bits, offset + 8 * (len(tops) - run), top)
        return b""


def _labels(name: str, domain: str) -> tuple[str, ...]:
    return tuple(name[: -len(domain) - 1].split("."))


def _ascii(bits: str, at: int, top: str) -> bytes:
    """Return two readings of bits: every eighth from `at` is the first or the last of a byte."""
    if top == "1":
        bits = bits.translate(_INVERTED)
    tops = range(at, len(bits), 8)
    first = bytes(int(bits[k : k + 8], 2) for k in tops if k + 8 <= len(bits))
    last = bytes(int(bits[k - 7 : k + 1][::-1], 2) for k in tops if k >= 7)
    return first + b"\n" + last


def _varying(names: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Leave out labels that all names end with, and those that all begin with."""
    shortest = min(map(len, names))
    last = 0
    while last < shortest and len({one[len(one) - 1 - last] for one in names}) == 1:
        last += 1
    first = 0
    while first < shortest - last and len({one[first] for one in names}) == 1:
        first += 1
    return [one[first : len(one) - last] for one in names]
