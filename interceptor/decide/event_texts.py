"""Texts of the events of a stream, put together over events by where they stand in them.

A language model's answer, and whatever imitates one, arrives in pieces of a few letters: the same
member of one JSON object after another. What a receiver joins is joined here as well, whatever the
vendor calls it; beside that, every event is read for itself.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

TAIL: Final = 2048
"""Bytes of earlier text that the text of an event is read with."""
_PLACES: Final = 64
_PIECE: Final = 64
"""Bytes of an event that may be a piece of a word."""
_VALUES: Final = 4096
_DEPTH: Final = 32
_SHORT: Final = 16
_REPEATED: Final = 256
"""Between these sizes lie names and numbers that every event repeats; they say nothing new."""
_NAME: Final = 24
"""Characters of a member's name that is more than a name."""


class EventTexts:
    """Reads one stream."""

    __slots__ = ("_between", "_count", "_last", "_tails")

    def __init__(self, between: bytes = b"\n") -> None:
        """Begin; `between` stands between two events that are no JSON."""
        self._between = between
        self._tails: dict[str, bytes] = {}
        self._last: dict[str, str] = {}
        self._count = 0

    def read(self, data: bytes) -> list[bytes]:
        """Give the texts of the next event, each with the end of what stood there before.

        Args:
            data: what the event carries: JSON, or any text.
        """
        out: list[bytes] = []
        self._count = 0
        if data[:1] in (b"{", b"[", b'"'):
            try:
                value = msgspec.json.decode(data)
            except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
                self._plain(data, out)
            else:
                self._walk(value, "", 0, out)
        elif data:
            self._plain(data, out)
        return out

    def _plain(self, data: bytes, out: list[bytes]) -> None:
        """Text that is no JSON: joined by lines, and short ones without anything in between."""
        self._join("", data + self._between, out)
        if self._between and len(data) <= _PIECE:
            self._join("-", data, out)

    def _walk(self, value: Any, place: str, depth: int, out: list[bytes]) -> None:
        self._count += 1
        if self._count > _VALUES or depth > _DEPTH:
            return
        if isinstance(value, str):
            last = self._last
            if value and last.get(place) != value:
                if _SHORT < len(value) <= _REPEATED and (place in last or len(last) < _PLACES):
                    last[place] = value
                self._join(place, value.encode("utf-8", "replace"), out)
        elif isinstance(value, dict):
            index = value.get("index")  # one of several answers in one stream
            if isinstance(index, int):
                place = f"{place}#{index % _PLACES}"
            for name, inner in value.items():
                if len(name) > _NAME:
                    out.append(name.encode("utf-8", "replace"))
                self._walk(inner, f"{place}.{name[:_NAME]}", depth + 1, out)
        elif isinstance(value, list):
            for number, inner in enumerate(value):
                self._walk(inner, f"{place}[{number % _PLACES}]", depth + 1, out)

    def _join(self, place: str, text: bytes, out: list[bytes]) -> None:
        """Give a text with what stood at its place before."""
        tails = self._tails
        joined = tails.get(place, b"") + text
        if place not in tails and len(tails) >= _PLACES:
            tails.pop(next(iter(tails)))
        tails[place] = joined[-TAIL:]
        out.append(joined)
