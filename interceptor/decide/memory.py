"""Secrets that are cut over values, in one request or over requests in time.

Each unit that an agent sends holds values that vary. Put together in the order in which they were
sent, by place, by site and over all sites, the pieces of a secret stand side by side again, and the
scanner finds it when its last piece comes. What was sent before has left; the last piece does not.

Streams of such text are kept, as little of each as a secret can take, and all of them within
`MEMORY`. Time is an argument.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from interceptor.decide.encoded import may_hide
from interceptor.decide.findings import FIELDS, REQUESTS
from interceptor.decide.order import Orders, is_index
from interceptor.decide.pieces import Pieces, Reader
from interceptor.decide.values import Value, undone
from interceptor.model import Target
from interceptor.scan.engine import DECODED_BYTES, RawFinding, Scanner
from interceptor.scan.fragments import prefixes

__all__ = ["FORGET", "MEMORY", "Pieces", "SplitMemory"]

MEMORY: Final = 1 << 20
"""Bytes that are kept of one jail, about."""
FORGET: Final = 3600.0
"""Seconds after which a stream that got nothing more is forgotten."""
TAIL: Final = 384
"""Bytes of a stream that are kept: the longest credential in hexadecimal."""

_STEPS: Final = 8  # values after each of which a secret may end; more are looked at as a whole
_PIECE: Final = 8  # bytes of the shortest secret
_TELLING: Final = 6  # bytes of a prefix that does not stand in ordinary values
_STREAM_COST: Final = 350  # what a stream takes besides its text

_ALL: Final = b"\0"
_URL: Final = b"\0url"
_HEAD: Final = b"\0head"
_BODY: Final = b"\0body"
_UNDONE: Final = b"\0undone;"

_ORDINARY: Final = frozenset(
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

_Key = tuple[str, bytes]
"""(site, or "" for all of them; slot or kind of place)."""


class _Stream(msgspec.Struct, gc=False):
    """The end of what was sent in one place."""

    tail: bytes
    at: float


class _Text(msgspec.Struct, frozen=True, gc=False):
    """Something to look at."""

    text: bytes
    before: bytes
    """What was sent before."""
    values: Sequence[Value]
    """What is new."""
    wide: bool = False
    """Many things come together here, by chance too."""


class SplitMemory:
    """What one agent has sent in pieces.

    Nothing is stored before `keep`: what was refused has not left.
    """

    def __init__(self, scanner: Scanner, key: bytes, decoded_bytes: int = DECODED_BYTES) -> None:
        """Begin with nothing.

        Args:
            scanner: for this thread alone; may be replaced by one with other rules.
            key: key of the digests.
            decoded_bytes: budget of decoders, for one text.
        """
        self.scanner = scanner
        self._key = key
        self._decoded_bytes = decoded_bytes
        self._reader = Reader()
        self._orders = Orders(FORGET)
        self._streams: dict[_Key, _Stream] = {}
        self._telling: dict[str, bool] = {}
        self._size = 0

    @property
    def size(self) -> int:
        """Bytes that are kept, about."""
        return self._size + self._orders.size + self._reader.size

    def pieces(
        self, target: Target, fields: Sequence[tuple[bytes, bytes]], body: bytes
    ) -> Pieces | None:
        """Return what is new in a request; None: nothing, as mostly.

        Args:
            target: where it goes.
            fields: (lower-case name, value) of its header section.
            body: content without codings, or b"" where it is not there as a whole.
        """
        return self._reader.request(target, fields, body)

    def note(self, host: str, slot: str, value: bytes) -> Pieces | None:
        """Return what is new in a unit that is no request: a message, or the labels of a name.

        Args:
            host: where it goes.
            slot: the place, as findings will name it: `ws_message`, `name`.
            value: of JSON and binary messages, the values in it count; of long ones, the ends.
        """
        return self._reader.note(host, slot, value)

    def look(self, pieces: Pieces, now: float) -> list[tuple[str, RawFinding]]:
        """Return (place, finding) for each secret that this unit completes.

        A place is that of the last piece. The encoding begins with `fields` if all of the pieces
        are in this unit, else with `requests`. Secrets that stand whole in one value are not among
        the findings.

        Args:
            pieces: what is new.
            now: a time in seconds that never goes back.
        """
        texts: list[_Text] = []
        pieces.grown = self._grown(pieces, now, texts)
        rows = self._orders.grown(pieces.site.name, pieces.fresh + pieces.again, now)
        texts += [_Text(*row) for row in rows]
        if not texts:
            return []
        different = dict.fromkeys([text.text for text in texts])
        hidden = {text for text in different if may_hide(text)}
        if not hidden and not self.scanner.scan_joined(b"\n".join(different), self._key):
            return []
        found: dict[int, tuple[str, RawFinding]] = {}
        for text in texts:
            for raw in self._across(text, full=text.text in hidden):
                found.setdefault(raw.rule, (pieces.place or _place(text.values[-1][0]), raw))
        return list(found.values())

    def keep(self, pieces: Pieces, now: float) -> None:
        """Remember a unit that leaves. Call it right after `look`, with the same arguments."""
        grown = pieces.grown
        if grown is None:
            grown = self._grown(pieces, now, [])
        streams = self._streams
        for key, text in grown.items():
            stream = streams.get(key)
            tail = text[-TAIL:]
            if stream is None:
                streams[key] = _Stream(tail, now)
                self._size += _STREAM_COST + len(tail)
            else:
                self._size += len(tail) - len(stream.tail)
                stream.tail = tail
                stream.at = now
        self._orders.keep(pieces.site.name, pieces.fresh + pieces.again, now)
        self._reader.remember(pieces)
        if self.size > MEMORY:
            self._shrink()

    def _shrink(self) -> None:
        """Forget a quarter, what was quiet for longest first."""
        self._reader.shrink()
        self._orders.shrink()
        for key in sorted(self._streams, key=self._age)[: -(-len(self._streams) // 4)]:
            self._size -= _STREAM_COST + len(self._streams.pop(key).tail)

    def _age(self, key: _Key) -> float:
        return self._streams[key].at

    def _grown(self, pieces: Pieces, now: float, texts: list[_Text]) -> dict[_Key, bytes]:
        """Return streams as they will be; append to `texts` what is to be looked at."""
        grown: dict[_Key, bytes] = {}
        name = pieces.site.name
        for slot, values in _by_stream(pieces).items():
            self._grow((name, slot), values, now, grown, texts)
            self._grow(("", slot), values, now, grown, texts)
        # A piece that comes twice may be meant twice, or be sent twice: once so, once so.
        for pair in pieces.again:
            self._grow((name, pair[0]), [pair], now, grown, texts)
        for pair in pieces.elsewhere:
            self._grow(("", pair[0]), [pair], now, grown, texts)
        fresh = pieces.fresh
        if 0 < pieces.head < len(fresh):  # in the order in which the request has them
            texts.append(_Text(b"".join([value for _, value in fresh]), b"", fresh, wide=True))
        return grown

    def _grow(
        self,
        key: _Key,
        values: list[Value],
        now: float,
        grown: dict[_Key, bytes],
        texts: list[_Text],
    ) -> None:
        before = grown.get(key)
        if before is None:
            stream = self._streams.get(key)
            before = b"" if stream is None or stream.at <= now - FORGET else stream.tail
        count = len(values)
        if count == 1:
            grown[key] = text = before + values[0][1]
            if not before:
                return
        else:
            grown[key] = text = before + b"".join([value for _, value in values])
        owner, slot = key
        texts.append(_Text(text, before, values, not owner or slot[0] == 0))
        if slot == _ALL and owner and 1 < count <= _STEPS:
            # A secret may end before the last value does.
            for some in range(2 - bool(before), count):
                text = before + b"".join([value for _, value in values[:some]])
                texts.append(_Text(text, before, values[:some], wide=True))

    def _across(self, text: _Text, *, full: bool) -> Iterator[RawFinding]:
        """Yield findings that are whole in none of what a text was put together from."""
        found = self._scan(text.text, full=full)
        if not found:
            return
        apart = {(raw.rule, raw.digest) for raw in self._scan(text.before, full=full)}
        for _, value in text.values:
            alone = self._scan(value, full=True) if len(value) >= _PIECE else ()
            if alone:
                # It is judged where it stands. It need not be met in every text again.
                self._reader.pass_over(value)
                apart.update((raw.rule, raw.digest) for raw in alone)
        here = b"".join([value for _, value in text.values])
        within = {(raw.rule, raw.digest) for raw in self._scan(here, full=full)}
        for raw in found:
            mark = raw.rule, raw.digest
            if mark not in apart and (not text.wide or self._plausible(raw, len(text.text))):
                how = FIELDS if mark in within else REQUESTS
                chain = f"{how}>{raw.encoding}" if raw.encoding else how
                yield msgspec.structs.replace(raw, encoding=chain)

    def _plausible(self, raw: RawFinding, end: int) -> bool:
        """Tell a secret from a short prefix that something else happened to follow.

        A piece that was sent last ends where the secret does. That need not hold for rules with a
        telling prefix: they may leave the end of a secret to whatever it is.
        """
        if raw.encoding or raw.end == end:
            return True
        rule = self.scanner.rules[raw.rule]
        telling = self._telling.get(rule.id)
        if telling is None:
            begins = prefixes(rule.pattern)
            known = rule.id.startswith(("known:", "canary:"))
            telling = known or (bool(begins) and min(map(len, begins)) >= _TELLING)
            self._telling[rule.id] = telling
        return telling

    def _scan(self, text: bytes, *, full: bool) -> Sequence[RawFinding]:
        if full:
            scan = self.scanner.scan(text, "head", self._key, self._decoded_bytes, joined=True)
            return scan.findings
        return self.scanner.scan_joined(text, self._key)


def _by_stream(pieces: Pieces) -> dict[bytes, list[Value]]:
    """Sort new values by the streams that they belong to."""
    streams: dict[bytes, list[Value]] = {}
    fresh = pieces.fresh
    if pieces.head < pieces.body:
        # What a first request has in its header section is mostly the same in all that follow: let
        # it come before that which will go on.
        fresh = fresh[pieces.head : pieces.body] + fresh[: pieces.head] + fresh[pieces.body :]
    every: list[Value] = []
    for pair in fresh:
        slot, value = pair
        streams.setdefault(slot, []).append(pair)
        if slot in _ORDINARY or is_index(pair):
            continue
        every.append(pair)
        first = slot[0]
        kind = _URL if first in b"/?" else _BODY if first == 0x2E else _HEAD
        streams.setdefault(kind, []).append(pair)
    for slot, value in fresh + pieces.again:
        said = undone(value)
        if said:  # each piece may be encoded for itself
            streams.setdefault(_UNDONE + slot, []).append((slot, said))
            streams.setdefault(_UNDONE, []).append((slot, said))
    if every:
        streams[_ALL] = every
    return streams


def _place(slot: bytes) -> str:
    """Name the place of a slot as findings do."""
    if slot[:1] in (b"/", b"?"):
        return "url"
    if slot[:1] == b".":
        return "body"
    return f"header:{slot.partition(b';')[0].decode('latin-1')}"
