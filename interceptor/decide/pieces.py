"""What is new in a unit: the values that were not sent before.

Most of a request is what the last one held, too. Tokens that were met are passed over at the cost
of one look-up each, and what is left is read into values.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice, pairwise
from typing import Final, TypeVar

from interceptor.decide.sites import SMALL, Pieces, Site
from interceptor.decide.values import (
    Value,
    body_tokens,
    cut,
    is_text,
    pair_values,
    plain,
    segment_value,
)
from interceptor.model import Target

_SEEN: Final = 256 * 1024  # bytes of tokens that are remembered
_TOKEN: Final = 1024  # bytes of a token that is remembered
_VALUES: Final = 64  # new values of one unit that are taken
_TOKEN_COST: Final = 150
_WHOLE: Final = 64

_FRAMING: Final = frozenset((b"host", b"content-length", b"transfer-encoding", b"connection"))
"""Header fields that this product judges or makes for itself."""
_NOTHING: Final[frozenset[bytes]] = frozenset()

_T = TypeVar("_T")


class Reader:
    """Reads units, and knows what was in those before.

    Attributes:
        size: bytes of tokens that are kept, about.
        sites: by host, and by the name of the site.
        agent: stands for all sites together.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self.size = 0
        self.sites: dict[str, Site] = {}
        self.agent = Site("")
        self._seen: dict[bytes, None] = {}
        self._whole: dict[bytes, None] = {}

    def request(
        self, target: Target, fields: Sequence[tuple[bytes, bytes]], body: bytes
    ) -> Pieces | None:
        """Return what is new in a request; None: nothing."""
        site = self.sites.get(target.host) or self._new_site(target.host)
        pieces = Pieces(site)
        repeats = _NOTHING
        if not site.slots.isdisjoint(self.agent.varying):
            repeats = self._repeats(site)
        if target.path != site.url or repeats:
            self._read_url(target.path, pieces, repeats)
        seen = self._seen
        unseen = [field for field in fields if field[1] not in seen]
        pieces.head = pieces.body = len(pieces.fresh)
        if unseen:
            self._read_fields(unseen, pieces)
            pieces.body = len(pieces.fresh)
        if body:
            kind = b""
            for name, value in fields:
                if name == b"content-type":
                    kind = value
                    break
            self._read_body(kind, body, pieces, repeats)
        return pieces if pieces.fresh or pieces.again else None

    def note(self, host: str, slot: str, value: bytes) -> Pieces | None:
        """Return what is new in a message, or another unit of one value; None: nothing."""
        site = self.sites.get(host) or self._new_site(host)
        pieces = Pieces(site)
        pieces.place = slot
        if value[:1] in (b"{", b"[") or not is_text(value):
            self._read_body(b"", value, pieces, self._repeats(site))
        else:
            self._take((slot.encode(), cut(value)), value, pieces)
        return pieces if pieces.fresh or pieces.again else None

    def pass_over(self, value: bytes) -> None:
        """Take a value for no piece from now on: it holds a whole secret, and is judged so."""
        whole = self._whole
        whole[value] = None
        if len(whole) > _WHOLE:
            del whole[next(iter(whole))]

    def remember(self, pieces: Pieces) -> None:
        """Remember the tokens of a unit that leaves."""
        site = pieces.site
        if pieces.segments:
            site.url = pieces.url
            site.pairs = frozenset([*pairwise(pieces.segments), *pieces.pairs])
        if pieces.items:
            site.items = frozenset(pieces.items)
        for slot, value in pieces.fresh:
            if slot in self.agent.small and len(value) > SMALL:
                # What was last there is no small value now.
                self.agent.note(slot, b"")
                if slot in site.small:
                    site.note(slot, b"")
                    site.mixed.add(slot)
        if pieces.short:
            for slot, value, _ in pieces.short:
                site.note(slot, value)
                self.agent.note(slot, value)
            site.short = pieces.short[:_VALUES]
            site.slots = frozenset([slot for slot, _, _ in site.short])
        seen = self._seen
        for token in pieces.tokens:
            if token not in seen:
                seen[token] = None
                self.size += _TOKEN_COST + len(token)
        if self.size > _SEEN:
            self._forget_tokens(len(seen) // 4)

    def forget(self) -> None:
        """Take everything for new, as if it had not been sent."""
        self._seen.clear()
        self._whole.clear()
        self.size = 0
        for site in self.sites.values():
            site.url = ""
            site.pairs = frozenset()
            site.items = _NOTHING

    def drop(self, site: Site) -> None:
        """Forget a site."""
        for host in [host for host, other in self.sites.items() if other is site]:
            del self.sites[host]

    def _forget_tokens(self, count: int) -> None:
        oldest = list(islice(self._seen, count))
        for token in oldest:
            del self._seen[token]
        self.size -= sum(map(len, oldest)) + _TOKEN_COST * len(oldest)

    def _new_site(self, host: str) -> Site:
        name = _site_of(host)
        site = self.sites.get(name)
        if site is None:
            site = self.sites[name] = Site(name)
        self.sites[host] = site
        return site

    def _repeats(self, site: Site) -> frozenset[bytes]:
        """Tokens of the last unit that may come again and be another piece."""
        everywhere = self.agent.varying
        return frozenset(
            [token for slot, value, token in site.short if site.changes(slot, value, everywhere)]
        )

    def _read_url(self, url: str, pieces: Pieces, repeats: frozenset[bytes]) -> None:
        path, _, query = url.encode("utf-8", "surrogateescape").partition(b"?")
        tokens = path.split(b"/")
        pieces.url = url
        pieces.segments = tokens
        seen = self._seen
        last = pieces.site.pairs
        new = [
            (at, pair[1])
            for at, pair in enumerate(pairwise(tokens), 1)
            if pair[1] not in seen and (pair not in last or pair[1] in repeats)
        ]
        for at, token in new if len(new) <= _VALUES else _some(new):
            self._take(segment_value(tokens, at), token, pieces)
        if query:
            pairs = query.split(b"&")
            pieces.pairs = pairs
            for pair in pairs if len(pairs) <= _VALUES else _some(pairs):
                if pair not in seen and (pair not in last or pair in repeats):
                    for value in pair_values(b"?", pair):
                        self._take(value, pair, pieces)

    def _read_fields(self, unseen: list[tuple[bytes, bytes]], pieces: Pieces) -> None:
        for name, value in unseen if len(unseen) <= _VALUES else _some(unseen):
            if name == b"cookie":
                for token in value.split(b"; "):
                    if token not in self._seen:
                        for pair in pair_values(b"cookie;", token):
                            self._take(pair, token, pieces)
            elif name not in _FRAMING:
                self._take((name, plain(value)), value, pieces)

    def _read_body(
        self, kind: bytes, body: bytes, pieces: Pieces, repeats: frozenset[bytes]
    ) -> None:
        tokens, read = body_tokens(kind, body)
        pieces.items = tokens
        seen = self._seen
        last = pieces.site.items
        new = [t for t in tokens if t not in seen and (t not in last or t in repeats)]
        for token in new if len(new) <= _VALUES else _some(new):
            values = read(token)
            if len(values) == 1:
                self._take(values[0], token, pieces)
                continue
            pieces.tokens.append(token)
            for pair in values if len(values) <= _VALUES else _some(values):
                if pair[1] not in seen:
                    self._take(pair, pair[1], pieces)

    def _take(self, pair: Value, token: bytes, pieces: Pieces) -> None:
        """Take note of a value that may be new; its token was not met before, or is small."""
        slot, value = pair
        if not value or value in self._whole:
            return
        if len(value) > SMALL:
            if len(token) > _TOKEN:
                token = value
                if token in self._seen:
                    return
            pieces.tokens.append(token)
            pieces.fresh.append(pair)
            return
        pieces.short.append((slot, value, token))
        site = pieces.site
        if site.small.get(slot) != value:
            pieces.fresh.append(pair)
            if self.agent.small.get(slot) == value and slot not in self.agent.varying:
                pieces.local.append(pair)
        elif site.changes(slot, value, self.agent.varying):
            pieces.again.append(pair)
            if self.agent.small.get(slot) != value:
                pieces.elsewhere.append(pair)


def _site_of(host: str) -> str:
    """Return the part of a host name under which one owner may have many: its last labels."""
    if ":" in host or host[-1:].isdigit():
        return host
    labels = host.rsplit(".", 3)
    if len(labels) < 3:
        return host
    short = len(labels[-2]) <= 3  # `co.uk` and the like
    return ".".join(labels[-3:] if short else labels[-2:])


def _some(new: Sequence[_T]) -> Sequence[_T]:
    """Of many, the first and the last."""
    return [*new[: _VALUES // 2], *new[-_VALUES // 2 :]]
