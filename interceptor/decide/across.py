"""Values that were put together: where marks stand in them, and which secrets lie across them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Container, Iterator, Sequence
from itertools import accumulate
from typing import Final

import msgspec

from interceptor.decide.findings import FIELDS, REQUESTS
from interceptor.decide.streams import CUT, Text
from interceptor.scan.engine import RawFinding, Scanner
from interceptor.scan.fragments import prefixes
from interceptor.scan.marks import Mark
from interceptor.scan.mirror import core

_PIECE: Final = 8  # bytes of the shortest secret
_TELLING: Final = 5  # bytes of a prefix that does not stand in random text by chance
_TOKEN: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~+/=:%"
"""Bytes of credentials that have a format."""
_ANY: Final = "."  # pattern of known secrets, which are found as they are
_JOINTS: Final = (b"-", b"_")
_TURNED: Final = ("", "reversed", "rot13", "reversed>rot13")


class Across:
    """Finds secrets that are whole in none of the values they were put together from."""

    def __init__(
        self, scanner: Scanner, key: bytes, decoded_bytes: int, whole: Callable[[bytes], None]
    ) -> None:
        """Look with a scanner.

        Args:
            scanner: for this thread alone.
            key: key of the digests.
            decoded_bytes: budget of decoders, for one text.
            whole: is told of values that hold a whole secret, which is judged where it stands.
        """
        self._scanner = scanner
        self._key = key
        self._decoded_bytes = decoded_bytes
        self._whole = whole
        self._telling: dict[str, bool] = {}

    def find(self, text: Text) -> Iterator[RawFinding]:
        """Yield what lies across values of `text`, its encoding as `SplitMemory.look` says."""
        together = text.text
        found = self._scan(together, encoded=text.encoded)
        if not found:
            return
        apart = _marks(self._scan(text.known, encoded=text.encoded))
        for value in text.new:
            alone = self._scan(value, encoded=True) if len(value) >= _PIECE else ()
            if alone:
                self._whole(value)
                apart |= _marks(alone)
        within = _marks(self._scan(b"".join(text.new), encoded=text.encoded))
        ends = text.ends
        for raw in found:
            mark = raw.rule, raw.digest
            if mark not in apart and self._plausible(raw, together, ends):
                how = FIELDS if not text.known or mark in within else REQUESTS
                chain = f"{how}>{raw.encoding}" if raw.encoding else how
                yield msgspec.structs.replace(raw, encoding=chain)

    def _plausible(self, raw: RawFinding, text: bytes, ends: frozenset[int]) -> bool:
        """Tell a secret from a short prefix that something else happened to follow.

        In pieces, a secret begins and ends where values do, or words in them. Random text decodes
        to no secret, and holds no telling prefix; backwards it may.
        """
        if raw.encoding not in _TURNED:
            return True
        rule = self._scanner.rules[raw.rule]
        if rule.pattern == _ANY:
            return True
        telling = self._telling.get(rule.id)
        if telling is None:
            begins = prefixes(core(rule.pattern))
            telling = bool(begins) and min(map(len, begins)) >= _TELLING
            self._telling[rule.id] = telling
        if telling and not raw.encoding:
            return True
        begins_well = raw.start in ends or not text[: raw.start][-1:].isalnum()
        after = text[raw.end : raw.end + 1]
        return begins_well and (raw.end in ends or not (after.isalnum() or after in _JOINTS))

    def _scan(self, text: bytes, *, encoded: bool) -> Sequence[RawFinding]:
        if encoded:
            scan = self._scanner.scan(text, "head", self._key, self._decoded_bytes, joined=True)
            return scan.findings
        return self._scanner.scan_joined(text, self._key)


def beginnings(end: bytes) -> frozenset[int]:
    """Return where values begin in the end of a stream; not the first, which may be cut off."""
    return frozenset(accumulate(map(len, end.split(CUT))))


def placed(
    hits: Sequence[tuple[Mark, int]], probes: Sequence[bytes]
) -> Iterator[tuple[int, Mark, int]]:
    """Yield (index of a probe, mark, where it begins in that) for hits in all, line by line."""
    ends = list(accumulate(len(probe) + 1 for probe in probes))
    for mark, end in hits:
        index = bisect_right(ends, end - 1)
        yield index, mark, end - mark.size - (ends[index - 1] if index else 0)


def goes_on(mark: Mark, text: bytes, start: int, begins: Container[int] = ()) -> bool:
    """Say whether what begins with a mark may be a secret that goes on behind the end of `text`.

    Args:
        mark: stands in `text`.
        text: a value, or what lies over the ends of some.
        start: where the mark begins.
        begins: where values begin, besides the first.
    """
    if mark.known:
        return True
    if text[start:].translate(None, _TOKEN):
        return False
    inside = start and start not in begins and text[start - 1 : start].isalnum()
    return not (mark.short and inside)


def _marks(found: Sequence[RawFinding]) -> set[tuple[int, str]]:
    return {(raw.rule, raw.digest) for raw in found}
