"""Secrets that are cut over values, in one request or over requests in time.

Each unit that an agent sends holds values that vary. Put together in the order in which they were
sent, by place, by site and over all sites, the pieces of a secret stand side by side again. Where a
mark of one appears (`interceptor.scan.marks`), in a value or over the ends of two, the streams that
hold it are looked at with every piece that comes, and the secret is found with its last. What was
sent before has left; the last piece does not. Memory is bounded, and time is an argument.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from interceptor.decide.across import Across, beginnings, goes_on, placed
from interceptor.decide.order import Orders
from interceptor.decide.pieces import Reader
from interceptor.decide.sites import Pieces, Site
from interceptor.decide.streams import (
    CUT,
    ORDINARY,
    SIDE,
    TAIL,
    Bound,
    Journal,
    Key,
    Sorted,
    Suspect,
    Text,
    steps,
)
from interceptor.model import Target
from interceptor.scan.engine import DECODED_BYTES, RawFinding, Scanner
from interceptor.scan.marks import Mark

__all__ = ["FORGET", "STREAMS", "Pieces", "SplitMemory"]

STREAMS: Final = 768
"""Slots of sites whose streams are kept."""
FORGET: Final = 3600.0
"""Seconds after which a site to which nothing more was sent is forgotten."""

_SITES: Final = 512
_SUSPECTS: Final = 256
_FEW: Final = 8  # small values of a unit; many of them are no pieces
_NEWEST: Final = 32  # values between which the pieces of a mark are looked for
_STREAM_COST: Final = 300  # what a stream takes besides its text


class SplitMemory:
    """What one agent has sent in pieces.

    Nothing is stored before `keep`: what was refused has not left.
    """

    def __init__(self, scanner: Scanner, key: bytes, decoded_bytes: int = DECODED_BYTES) -> None:
        """Begin with nothing.

        Args:
            scanner: for this thread alone.
            key: key of the digests.
            decoded_bytes: budget of decoders, for one text.
        """
        self._key = key
        self._decoded_bytes = decoded_bytes
        self._reader = Reader()
        self._orders = Orders(FORGET)
        self._journal = Journal(FORGET)
        self._suspects: dict[Key, Suspect] = {}
        self._streams = 0
        self.scanner = scanner

    @property
    def scanner(self) -> Scanner:
        """What finds secrets; another one may be set, for this thread alone.

        What it finds in pieces are those that are sent from then on.
        """
        return self._scanner

    @scanner.setter
    def scanner(self, scanner: Scanner) -> None:
        self._scanner = scanner
        whole = self._reader.pass_over
        self._across = Across(scanner, self._key, self._decoded_bytes, whole)
        self._reader.forget()

    @property
    def size(self) -> int:
        """Bytes that are kept, at most, about."""
        streams = (self._streams + len(self._suspects)) * (TAIL + _STREAM_COST)
        return streams + self._journal.size + self._orders.size + self._reader.size

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
        site = pieces.site
        if now - site.at > FORGET and site.tails:
            self._drop_tails(site)
        unit = pieces.unit = Sorted(pieces, self._reader.agent.small, now)
        values, tails = unit.values, site.tails
        probes = [value for _, value in values]
        bounds: list[Bound] = []
        for slot, index in unit.slots:
            tail = tails.get(slot)
            if tail is not None:
                tail = tail[-2 * SIDE :]
                bounds.append(((site.name, slot), index, tail))
                probes.append(tail.replace(CUT, b"") + values[index][1][:SIDE])
        if 0 < len(unit.small) <= _FEW:
            self._probe_wide(site.name, unit, probes, bounds, now)
        rows: list[Text] = []
        if unit.numbered or 0 < pieces.head < len(pieces.fresh):
            rows = self._rows(pieces, unit, now)
            probes += [row.text for row in rows]
        hits = self._scanner.marks.find(b"\n".join(probes))
        if not hits and not (self._suspects and unit.adds_to(self._suspects, site.name)):
            return []
        return self._look_closely(pieces, unit, bounds, rows, probes, hits, now)

    def keep(self, pieces: Pieces, now: float) -> None:
        """Remember a unit that leaves. Call it right after `look`, with the same arguments."""
        unit = pieces.unit
        if unit is None:
            self.look(pieces, now)
            unit = pieces.unit = Sorted(pieces, self._reader.agent.small, now)
        site = pieces.site
        tails = site.tails
        for slot, index in unit.slots:
            value = unit.values[index][1]
            tail = tails.get(slot)
            if tail is None:
                self._streams += 1
                tails[slot] = value
            else:
                tails[slot] = (tail + CUT + value)[-TAIL:]
        site.at = now
        self._journal.note([entry for entry in unit.entries if entry is not None])
        if pieces.suspects is not None:
            self._suspects = pieces.suspects
        if unit.numbered:
            self._orders.keep(site.name, unit.numbered, now)
        self._reader.remember(pieces)
        if self._streams > STREAMS or len(self._reader.sites) > _SITES:
            self._make_room()

    # -- looking -----------------------------------------------------------------------------

    def _rows(self, pieces: Pieces, unit: Sorted, now: float) -> list[Text]:
        """Return texts of which the unit itself says the order."""
        rows: list[Text] = []
        if unit.numbered:
            grown = self._orders.grown(pieces.site.name, unit.numbered, now)
            rows += [Text(*row, encoded=False) for row in grown]
        if 0 < pieces.head < len(pieces.fresh):  # in the order in which the request has them
            local = pieces.local
            followed = [p for p in pieces.fresh if p[0] not in ORDINARY and p not in local]
            if followed:
                new = tuple(value for _, value in followed)
                rows.append(Text(new, b"", new, followed[-1][0], encoded=False))
        return rows

    def _probe_wide(
        self,
        site: str,
        unit: Sorted,
        probes: list[bytes],
        bounds: list[Bound],
        now: float,
    ) -> None:
        """Probe the wider streams where small values come after others."""
        for key, indexes in unit.streams(site).items():
            if key[0] and key[1][0] != 0:
                continue
            if not any(index in unit.small for index in indexes):
                continue
            before = self._journal.end(key, SIDE, now, _NEWEST)
            for index in indexes:
                value = unit.values[index][1]
                if before and index in unit.small:
                    tail = before[-2 * SIDE :]
                    bounds.append((key, index, tail))
                    probes.append(tail.replace(CUT, b"") + value[:SIDE])
                before = before + CUT + value if before else value

    def _look_closely(
        self,
        pieces: Pieces,
        unit: Sorted,
        bounds: list[Bound],
        rows: list[Text],
        probes: list[bytes],
        hits: list[tuple[Mark, int]],
        now: float,
    ) -> list[tuple[str, RawFinding]]:
        """Look at the streams in which marks stand, or stood before."""
        values = unit.values
        marked: dict[int, bool] = {}
        far: dict[int, bool] = {}
        over: dict[tuple[Key, int], bool] = {}
        texts: list[Text] = []
        for at, mark, start in placed(hits, probes):
            probe = probes[at]
            other = at - len(values)
            if other < 0:
                if goes_on(mark, probe, start):
                    marked[at] = mark.encoded or marked.get(at, False)
                    # Who reads about a format sends its prefix alone, and then other things. With a
                    # short one, only what ends where a value does will be found behind it.
                    sure = mark.known or mark.encoded or mark.short
                    if sure or start + mark.size < len(probe):
                        far[at] = mark.encoded or far.get(at, False)
            elif other < len(bounds):
                key, index, tail = bounds[other]
                meet = len(probe) - len(values[index][1][:SIDE])
                lies_over = start < meet < start + mark.size
                if lies_over and goes_on(mark, probe, start, beginnings(tail)):
                    place = key, index
                    over[place] = mark.encoded or over.get(place, False)
            else:
                texts.append(rows[other - len(bounds)]._replace(encoded=mark.encoded))
        suspects = dict(self._suspects)
        for key, indexes in unit.streams(pieces.site.name).items():
            suspect = self._suspects.get(key)
            if suspect is not None and now - suspect.at > FORGET:
                suspect = None
            own = marked if key[0] and key[1][0] else far
            marks = [own.get(index, over.get((key, index))) for index in indexes]
            if suspect is None and not any(mark is not None for mark in marks):
                continue
            before = self._end(key, pieces.site, suspect, now)
            added = [values[index] for index in indexes]
            (left, encoded), more = steps(before, added, marks, suspect)
            texts += more
            suspects.pop(key, None)
            if left > 0:
                text = CUT.join([*([before] if before else []), *[value for _, value in added]])
                suspects[key] = Suspect(text[-TAIL:], left, encoded, now)
        while len(suspects) > _SUSPECTS:
            del suspects[next(iter(suspects))]
        pieces.suspects = suspects
        findings: dict[int, tuple[str, RawFinding]] = {}
        for one in dict.fromkeys(texts):
            for raw in self._across.find(one):
                findings.setdefault(raw.rule, (pieces.place or _place(one.slot), raw))
        return list(findings.values())

    def _end(self, key: Key, site: Site, suspect: Suspect | None, now: float) -> bytes:
        """Return the end of a stream as it was before the unit."""
        if suspect is not None:
            return suspect.text
        if key[0] and key[1] in site.tails:
            return site.tails[key[1]]
        return self._journal.end(key, TAIL, now)

    # -- bounds ------------------------------------------------------------------------------

    def _drop_tails(self, site: Site) -> None:
        self._streams -= len(site.tails)
        site.tails.clear()

    def _make_room(self) -> None:
        """Forget sites that were quiet for longest, and the oldest streams of a large one."""
        reader = self._reader
        sites = {site.name: site for site in sorted(reader.sites.values(), key=_age)}
        newest = next(reversed(sites.values()))
        for site in sites.values():
            if self._streams <= STREAMS // 2 and len(reader.sites) <= _SITES // 2:
                return
            if site is newest:
                for slot in list(site.tails)[: self._streams - STREAMS // 2]:
                    del site.tails[slot]
                    self._streams -= 1
            else:
                self._drop_tails(site)
                reader.drop(site)


def _age(site: Site) -> float:
    return site.at


def _place(slot: bytes) -> str:
    """Name the place of a slot as findings do."""
    if slot[:1] in (b"/", b"?"):
        return "url"
    if slot[:1] == b".":
        return "body"
    return f"header:{slot.partition(b';')[0].decode('latin-1')}"
