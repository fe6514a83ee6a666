"""Values put together: by slot, by kind of place and altogether, for a site and for all of them.

A stream is what was sent in one place, without what stood between. Those of the slots of a site are
kept; all others are put together from a journal of the newest values when there is a reason.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Sequence
from itertools import accumulate, islice
from typing import Final, NamedTuple

import msgspec

from interceptor.decide.order import is_bare, is_index
from interceptor.decide.sites import Pieces
from interceptor.decide.values import Value, undone
from interceptor.scan.marks import LONGEST

TAIL: Final = 384
"""Bytes of a stream that are kept: the longest credential in hexadecimal."""
CUT: Final = b"\x1f"
"""Stands between the values of a stream that is kept."""
SIDE: Final = LONGEST - 1
"""Bytes on both sides of a boundary over which a mark may lie."""

_JOURNAL: Final = 1024
_SMALL: Final = 8
_DROPS: Final = 6  # values that may lie between two pieces of a stream that is looked at
_STEPS: Final = 8  # values after each of which a secret may end; more are looked at as a whole
_DIGITS: Final = b"0123456789"
_ALL: Final = b"\0"
_URL: Final = b"\0url"
_HEAD: Final = b"\0head"
_BODY: Final = b"\0body"
_UNDONE: Final = b"\0undone;"

ORDINARY: Final = frozenset(
    b"accept accept-charset accept-encoding accept-language authorization baggage cache-control "
    b"content-encoding content-type date dnt expect forwarded from idempotency-key "
    b"if-match if-modified-since if-none-match if-range if-unmodified-since keep-alive newrelic "
    b"origin pragma priority prefer proxy-authorization range referer sec-ch-ua sec-ch-ua-mobile "
    b"sec-ch-ua-platform sec-fetch-dest sec-fetch-mode sec-fetch-site sec-fetch-user sec-gpc "
    b"sec-websocket-extensions sec-websocket-key sec-websocket-protocol sec-websocket-version "
    b"sentry-trace te traceparent tracestate trailer upgrade upgrade-insecure-requests user-agent "
    b"x-amz-content-sha256 x-amz-date x-amz-security-token x-correlation-id x-datadog-trace-id "
    b"x-datadog-parent-id x-forwarded-for x-request-id x-requested-with".split()
)
"""Header fields whose values differ from request to request, or client to client, in any traffic:
each is followed for itself alone, so that they do not come between the pieces of a secret."""

Key = tuple[str, bytes]
"""Names a stream: site, or "" for all of them; slot, or kind of place."""


Entry = tuple[str, bytes, bytes, bytes, bytes, float, bool]
"""(site, slot, value, kind of place, what the value says in an encoding, time, whether it counts
for the site alone). The kind is empty if the value is followed in its slot alone."""


Bound = tuple[Key, int, bytes]
"""Where an old end and a new value meet: (stream, index of the value, the old end with cuts)."""


class Text(NamedTuple):
    """Something to look at closely."""

    parts: tuple[bytes, ...]
    """Values, in the order in which they are put together."""
    known: bytes
    """Those that were sent before."""
    new: tuple[bytes, ...]
    """Those that were not."""
    slot: bytes
    """Slot of the last of these."""
    encoded: bool
    """Whether it may be in an encoding."""

    @property
    def text(self) -> bytes:
        """The values put together."""
        return b"".join(self.parts)

    @property
    def ends(self) -> frozenset[int]:
        """Offsets in `text` where values end."""
        return frozenset(accumulate(map(len, self.parts)))


class Suspect(msgspec.Struct, frozen=True, gc=False):
    """A stream in which a mark stands."""

    text: bytes
    """Its end, with cuts."""
    left: int
    """For so many more bytes it is looked at."""
    encoded: bool
    at: float


class Journal:
    """The newest values that were sent, to wherever."""

    def __init__(self, forget: float) -> None:
        """Begin with nothing; values are forgotten after `forget` seconds."""
        self._entries: deque[Entry] = deque(maxlen=_JOURNAL)
        self._forget = forget

    @property
    def size(self) -> int:
        """Bytes that are kept, about."""
        return sum(len(entry[2]) + 200 for entry in self._entries)

    def note(self, entries: Sequence[Entry]) -> None:
        """Remember values."""
        self._entries += entries

    def end(self, key: Key, most: int, now: float, entries: int = _JOURNAL) -> bytes:
        """Return the last bytes of a stream with its cuts, `most` or a few more.

        Args:
            key: which one.
            most: how many bytes.
            now: the time.
            entries: how many of the newest values may be gone through for it.
        """
        owner, stream = key
        oldest = now - self._forget
        size = 0
        found: list[bytes] = []
        for entry in islice(reversed(self._entries), entries):
            site, _, _, _, _, at, local = entry
            if size >= most or at <= oldest:
                break
            if site == owner if owner else not local:
                value = _value_in(stream, entry)
                if value:
                    found.append(value)
                    size += len(value)
        return CUT.join(found[::-1])


class Sorted:
    """New values of a unit, and the streams that they belong to.

    Attributes:
        values: those of the unit, and what some of them say in an encoding.
        slots: (slot, index of the value) for streams of the site's own slots.
        entries: for the journal; `None` where a value is followed in the slots of the site alone.
        small: indexes of values over which a mark may be cut together with others of their kind.
    """

    __slots__ = ("entries", "numbered", "slots", "small", "values")

    def __init__(self, pieces: Pieces, small: Container[bytes], now: float) -> None:
        """Sort what is new; `small` are the slots in which there were small values before."""
        site = pieces.site.name
        order = pieces.fresh
        if pieces.head < pieces.body:
            # What a first request has in its header section is mostly the same in all that follow:
            # let it come before that which will go on.
            head, body = pieces.head, pieces.body
            order = [*order[head:body], *order[:head], *order[body:]]
        fresh = len(order)
        if pieces.again:
            order = order + pieces.again
        self.values = values = list(order)
        self.slots = slots = [(pair[0], index) for index, pair in enumerate(order)]
        self.entries: list[Entry | None] = []
        self.small: list[int] = []
        self.numbered: list[Value] = []
        """Those that may say their place in a row, and all others then; mostly none."""
        entries = self.entries
        numbered = False
        for index, pair in enumerate(order):
            slot, value = pair
            said = undone(value)
            if said:  # each piece may be encoded for itself
                slots.append((_UNDONE + slot, len(values)))
                values.append((slot, said))
            if (len(value) <= _SMALL or slot in small) and not value.isdigit():
                self.small.append(index)
                if said:
                    self.small.append(len(values) - 1)
            numbered = numbered or value[0] in _DIGITS or slot[-1] in _DIGITS
            if index < fresh:
                first = slot[0]
                if slot in ORDINARY or (len(value) < 5 and is_index(pair)):
                    kind = b""
                else:
                    kind = _BODY if first == 46 else _URL if first in b"/?" else _HEAD
                local = pair in pieces.local
                entries.append((site, slot, value, kind, said, now, local))
            # A piece that comes twice may be meant twice, or be sent twice: once so, once so.
            elif pair in pieces.elsewhere:
                entries.append((site, slot, value, b"", said, now, False))
            else:
                entries.append(None)
        if numbered and (fresh != 1 or len(order) > 1 or not is_bare(order[0])):
            self.numbered = pieces.fresh + pieces.again

    def adds_to(self, streams: Container[Key], site: str) -> bool:
        """Say whether a unit for `site` may add to one of some streams."""
        for entry in self.entries:
            if entry is not None and entry[3]:
                kind = entry[3]
                if (site, _ALL) in streams or (site, kind) in streams:
                    return True
                if not entry[6] and (("", _ALL) in streams or ("", kind) in streams):
                    return True
        if len(self.values) > len(self.entries) and (
            (site, _UNDONE) in streams or ("", _UNDONE) in streams
        ):
            return True
        return any((site, slot) in streams or ("", slot) in streams for slot, _ in self.slots)

    def streams(self, site: str) -> dict[Key, list[int]]:
        """Return each stream that new values belong to, with the indexes of these.

        The narrow ones come first: there is least between pieces.
        """
        found: dict[Key, list[int]] = {}
        wide: list[tuple[bytes, int]] = []
        for slot, index in self.slots:
            found.setdefault((site, slot), []).append(index)
            entry = self.entries[index] if index < len(self.entries) else None
            if entry is not None:
                if not entry[6]:
                    found.setdefault(("", slot), []).append(index)
                if entry[3]:
                    wide += ((entry[3], index), (_ALL, index))
            elif index >= len(self.entries):
                found.setdefault(("", slot), []).append(index)
                wide.append((_UNDONE, index))
        wide.sort(key=_is_all)
        for stream, index in wide:
            found.setdefault((site, stream), []).append(index)
            entry = self.entries[index] if index < len(self.entries) else None
            if entry is None or not entry[6]:
                found.setdefault(("", stream), []).append(index)
        return found


def _is_all(one: tuple[bytes, int]) -> bool:
    return one[0] == _ALL


def steps(
    before: bytes, values: Sequence[Value], marks: Sequence[bool | None], suspect: Suspect | None
) -> tuple[tuple[int, bool], list[Text]]:
    """Follow a stream through a unit.

    Args:
        before: its end, with cuts.
        values: what is added.
        marks: for each of them whether the mark it brings is encoded; None: it brings none.
        suspect: the stream, if it was one already.

    Returns:
        ((for how many more bytes it is to be looked at, whether for encodings), what to look at).
    """
    left, encoded = (suspect.left, suspect.encoded) if suspect is not None else (0, False)
    texts: list[Text] = []
    old = before.split(CUT) if before else []
    parts = [*old, *[value for _, value in values]]
    for count, ((slot, value), mark) in enumerate(zip(values, marks, strict=True), 1):
        if mark is not None:
            left, encoded = TAIL, encoded or mark
        if left <= 0:
            continue
        if (before or count > 1) and (count == len(values) or count <= _STEPS):
            new = tuple(parts[len(old) : len(old) + count])
            texts.append(Text((*old, *new), b"".join(old), new, slot, encoded))
        left -= len(value)
    if texts and len(values) == 1:
        # Something else may have come between, as when a refused piece is tried again.
        texts += [
            texts[0]._replace(parts=(*old[:-drop], value), known=b"".join(old[:-drop]))
            for drop in range(1, min(_DROPS, len(old) - 1) + 1)
        ]
    return (left, encoded), texts


def _value_in(stream: bytes, entry: Entry) -> bytes:
    """Return what an entry adds to a stream."""
    _, slot, value, kind, said, _, _ = entry
    if stream[0]:
        return value if slot == stream else b""
    if stream == _ALL:
        return value if kind else b""
    if stream == kind:
        return value
    return said if stream in (_UNDONE, _UNDONE + slot) else b""
