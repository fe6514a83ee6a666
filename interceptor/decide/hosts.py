"""Compiled host patterns: a dictionary lookup per label, whatever the length of the list."""

from __future__ import annotations

from collections.abc import Sequence

from interceptor.policy.patterns import parse_pattern

_Entry = tuple[int, int | None]  # index in the list as written, port or None for every port


class HostSet:
    """A list of host patterns.

    Args:
        patterns: as written in the policy.
        label: name of the list in messages, such as `hosts.deny`.

    Raises:
        ValueError: a pattern is malformed (the policy loader has checked them before).
    """

    def __init__(self, patterns: Sequence[str], label: str) -> None:
        self._label = label
        self._exact: dict[str, list[_Entry]] = {}
        self._below: dict[str, list[_Entry]] = {}
        for index, text in enumerate(patterns):
            pattern = parse_pattern(text)
            table = self._below if pattern.subdomains else self._exact
            table.setdefault(pattern.host, []).append((index, pattern.port))

    def __bool__(self) -> bool:
        return bool(self._exact or self._below)

    def find(self, host: str, port: int) -> tuple[str, bool] | None:
        """Return the first entry that fits, as (`hosts.deny[2]`, names the port), else None.

        `host` is a lower-case name without trailing dot, or canonical address text.
        """
        best = _first(self._exact.get(host), port)
        if self._below:
            for suffix in _suffixes(host):
                entry = _first(self._below.get(suffix), port)
                if entry is not None and (best is None or entry < best):
                    best = entry
        if best is None:
            return None
        return f"{self._label}[{best[0]}]", best[1]


def _first(entries: list[_Entry] | None, port: int) -> tuple[int, bool] | None:
    for index, wanted in entries or ():
        if wanted is None or wanted == port:
            return index, wanted is not None
    return None


def _suffixes(host: str) -> list[str]:
    """Return every parent of `host`, and the empty text that `*` is filed under."""
    suffixes = [""]
    if ":" not in host:
        at = host.find(".")
        while at >= 0:
            suffixes.append(host[at + 1 :])
            at = host.find(".", at + 1)
    return suffixes
