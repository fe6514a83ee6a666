"""The domain that somebody registered: what of a name belongs to one owner.

The public suffix list (https://publicsuffix.org/list/) as `scripts/public-suffixes` wrote it, its
private part included: below `cloudfront.net` every name has an owner of its own. A name is looked
up label by label from the right; what is kept is one text and two arrays of numbers, 0.25 MB.
"""

from __future__ import annotations

import functools
from array import array
from bisect import bisect_left
from importlib import resources
from itertools import accumulate
from typing import Final
from zlib import crc32

_SUFFIX: Final = 1
_EACH_BELOW: Final = 2
_EXCEPTION: Final = 4
_KEPT: Final = 2048


class Suffixes:
    """The list, ready to be asked."""

    def __init__(self, data: bytes) -> None:
        """Read the lines of `public_suffixes.dat`: in the order of the CRC-32 of their names."""
        start = data.index(b"\n") + 1
        nodes = data[start:].splitlines()
        self._text = data
        self._owned: set[str] = set()  # domains of two labels, lately asked for
        self._sums = array("I", [crc32(node[1:]) for node in nodes])
        self._ends = array("I", accumulate((len(node) + 1 for node in nodes), initial=start))

    def registrable(self, name: str) -> str:
        """Return the registrable domain of a lower-case name without trailing dot.

        One label more than the public suffix; a name that is itself a suffix is returned whole.
        """
        at = name.rfind(".")
        if at < 0:
            return name
        two = name[name.rfind(".", 0, at) + 1 :]
        if two in self._owned:
            return two
        flags = self._find(name[at + 1 :])
        owner = 0  # where the domain of the longest suffix so far begins: the label before it
        before = name.rfind(".", 0, at)
        owner = before + 1
        each = flags & _EACH_BELOW
        while flags >= 0:
            # The node is name[at + 1:]; now the one that has a label more.
            start = before + 1
            flags = self._find(name[start:])
            if flags >= 0 and flags & _EXCEPTION:
                return name[start:]
            if each or (flags >= 0 and flags & _SUFFIX):
                if before < 0:
                    return name
                owner = name.rfind(".", 0, before) + 1
            if flags < 0 and start + len(two) == len(name) and owner == start:
                if len(self._owned) >= _KEPT:
                    self._owned.clear()
                self._owned.add(two)
            if before < 0:
                break
            each = flags & _EACH_BELOW if flags >= 0 else 0
            before = name.rfind(".", 0, before)
        return name[owner:]

    def _find(self, name: str) -> int:
        """Return the flags of a node, -1: there is none."""
        raw = name.encode("ascii")
        key = crc32(raw)
        sums = self._sums
        index = bisect_left(sums, key)
        while index < len(sums) and sums[index] == key:
            start = self._ends[index]
            if self._text[start + 1 : self._ends[index + 1] - 1] == raw:
                return self._text[start] - 48
            index += 1
        return -1


@functools.cache
def public_suffixes() -> Suffixes:
    """Return the list that ships; read when it is first asked for."""
    return Suffixes(
        resources.files("interceptor.rules").joinpath("public_suffixes.dat").read_bytes()
    )
