"""What a run asked for, what was refused and why: counted while it runs, shown when it ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import msgspec

from interceptor.evidence.schema import Completion, Decision, Event, Started, Stopped, decode

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

HOSTS = 256
"""Destinations that are counted by name; later ones share one row."""
REFUSALS = 256
"""Different refusals that are counted apart; later ones share one row."""
OTHERS = "(others)"
SHOWN = 20
"""Rows of each table that are shown."""
NARROW = 60
"""Columns of a terminal below which lines are shown instead of tables."""


WEAKER = {
    "cooperative": (
        "Weaker guarantee: these agents were told to use a proxy. What they send without it is "
        "neither seen nor held; a jail, a gateway or a NetworkPolicy leaves them no other way."
    ),
    "pod": (
        "Weaker guarantee: rules inside the pod hold the agent. Whoever gets CAP_NET_ADMIN or root "
        "there can undo them; a NetworkPolicy around the pod is the stronger form."
    ),
}
"""What every report says where less than a captive namespace holds an agent."""


class Destination(msgspec.Struct):
    """Counts of one host."""

    asked: int = 0
    refused: int = 0
    sent: int = 0
    received: int = 0
    seconds: float = 0.0
    """Sum over the exchanges that ended."""


class Refusal(msgspec.Struct, frozen=True):
    """What was refused, and why; equal ones are counted together."""

    host: str
    what: str
    """Method and path of the first such, or the kind of the unit."""
    reason: str
    rule: str


class Summary(msgspec.Struct):
    """Counts in bounded memory, whatever the agent does; computable from evidence lines alone."""

    decisions: int = 0
    refused: int = 0
    lost: int = 0
    sent: int = 0
    received: int = 0
    seconds: float = 0.0
    """Duration of the run, when its end was seen."""
    unreadable: int = 0
    """Lines that were no events."""
    guarantee: str = ""
    """Of `started`."""
    hosts: dict[str, Destination] = msgspec.field(default_factory=dict)
    reasons: dict[str, int] = msgspec.field(default_factory=dict)
    refusals: dict[str, tuple[Refusal, int]] = msgspec.field(default_factory=dict)

    def add(self, event: Event) -> None:
        """Count one event."""
        if isinstance(event, Decision):
            self._add_decision(event)
        elif isinstance(event, Completion):
            row = self._destination(event.host)
            row.sent += event.sent
            row.received += event.received
            row.seconds += event.seconds
            self.sent += event.sent
            self.received += event.received
            if event.reason:
                self.reasons[event.reason] = self.reasons.get(event.reason, 0) + 1
        elif isinstance(event, Started):
            self.guarantee = event.guarantee or ""
        elif isinstance(event, Stopped):
            self.seconds = event.seconds
            self.lost = max(self.lost, event.lost)

    @classmethod
    def from_lines(cls, lines: Iterable[bytes]) -> Summary:
        """Count the lines of an evidence file; lines that are no events are counted as such."""
        summary = cls()
        for line in lines:
            if not line.strip():
                continue
            try:
                summary.add(decode(line))
            except ValueError:
                summary.unreadable += 1
        return summary

    def to_bytes(self) -> bytes:
        """Compact form for the control socket; at most some 100 KB."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> Summary:
        """Read `to_bytes()` of another process.

        Raises:
            ValueError: the bytes are no summary.
        """
        try:
            return msgspec.msgpack.decode(data, type=cls)
        except msgspec.MsgspecError as error:
            raise ValueError(f"not a summary: {error}") from None

    def _add_decision(self, event: Decision) -> None:
        self.decisions += 1
        self.reasons[event.reason] = self.reasons.get(event.reason, 0) + 1
        row = self._destination(event.host)
        row.asked += 1
        if event.action == "allow":
            return
        self.refused += 1
        row.refused += 1
        what = f"{event.method} {event.path}" if event.method else event.kind
        # One row for a host, reason and rule: a thousand paths are one story.
        key = "\0".join((event.host, event.method, event.reason, event.rule))
        known = self.refusals.get(key)
        if known is None and len(self.refusals) >= REFUSALS:
            key = OTHERS
            known = self.refusals.get(key, (Refusal(OTHERS, "", "", ""), 0))
        if known is None:
            known = (Refusal(event.host, what, event.reason, event.rule), 0)
        self.refusals[key] = (known[0], known[1] + 1)

    def _destination(self, host: str) -> Destination:
        row = self.hosts.get(host)
        if row is None:
            if len(self.hosts) >= HOSTS:
                host = OTHERS
            row = self.hosts.setdefault(host, Destination())
        return row

    def show(
        self,
        console: Console,
        hints: Mapping[str, str] | None = None,
        evidence: str = "",
    ) -> None:
        """Print what was asked for and refused; nothing when nothing happened.

        Args:
            console: where to, usually stderr.
            hints: a sentence for each reason code.
            evidence: path of the evidence file, named below the tables.
        """
        if not (self.decisions or self.lost or self.unreadable or self.guarantee):
            return
        from rich.text import Text  # texts of the agent's are never read as markup

        if console.width < NARROW:
            for line in self._lines(hints or {}):
                console.print(Text(line))
        else:
            if self.hosts:
                console.print(self._destinations_table())
            if self.refusals:
                console.print(self._refusals_table(hints or {}))
        console.print(Text(self._closing_line()))
        if self.guarantee in WEAKER:
            console.print(Text(WEAKER[self.guarantee], style="yellow"))
        if evidence:
            console.print(Text(f"Evidence: {evidence}"), soft_wrap=True)

    def _ranked_hosts(self) -> list[tuple[str, Destination]]:
        return sorted(self.hosts.items(), key=lambda item: (-item[1].refused, -item[1].asked))

    def _ranked_refusals(self) -> list[tuple[Refusal, int]]:
        return sorted(self.refusals.values(), key=lambda item: -item[1])

    def _lines(self, hints: Mapping[str, str]) -> Iterator[str]:
        """The tables as lines, for terminals too narrow for columns."""
        for host, row in self._ranked_hosts()[:SHOWN]:
            yield f"{host or '(no name)'}: {_count(row.asked, 'decision')}, {row.refused} refused"
        for refusal, times in self._ranked_refusals()[:SHOWN]:
            rule = f" ({refusal.rule})" if refusal.rule else ""
            hint = hints.get(refusal.reason, "")
            yield f"refused {times}x: {refusal.host} {refusal.what}: {refusal.reason}{rule} {hint}"

    def _destinations_table(self) -> RenderableType:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("asked for", overflow="fold")
        for heading in ("decisions", "refused", "sent", "received"):
            table.add_column(heading, justify="right", no_wrap=True)
        ranked = self._ranked_hosts()
        for host, row in ranked[:SHOWN]:
            table.add_row(
                Text(host or "(no name)"),
                str(row.asked),
                Text(str(row.refused), style="red" if row.refused else "dim"),
                _size(row.sent),
                _size(row.received),
            )
        if len(ranked) > SHOWN:
            table.add_row(Text(f"and {len(ranked) - SHOWN} more", style="dim"))
        return table

    def _refusals_table(self, hints: Mapping[str, str]) -> RenderableType:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("refused", overflow="fold")
        table.add_column("times", justify="right", no_wrap=True)
        table.add_column("why", overflow="fold")
        ranked = self._ranked_refusals()
        told: set[str] = set()
        for refusal, times in ranked[:SHOWN]:
            why = Text(refusal.reason, style="red")
            if refusal.rule:
                why.append(f" ({refusal.rule})", style="default")
            hint = hints.get(refusal.reason, "")
            if hint and refusal.reason not in told:
                told.add(refusal.reason)
                why.append(f"\n{hint}", style="dim")
            table.add_row(Text(f"{refusal.host} {refusal.what}".strip()), str(times), why)
        if len(ranked) > SHOWN:
            table.add_row(Text(f"and {len(ranked) - SHOWN} more kinds", style="dim"))
        return table

    def _closing_line(self) -> str:
        line = (
            f"{_count(self.decisions, 'decision')}, {self.refused} refused; "
            f"{_size(self.sent)} sent, {_size(self.received)} received"
        )
        if self.seconds:
            line += f" in {self.seconds:.1f} s"
        if self.lost:
            line += f"; {self.lost} not recorded and therefore refused"
        if self.unreadable:
            line += f"; {_count(self.unreadable, 'line')} unreadable"
        return line + "."


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _size(number: int) -> str:
    """Bytes for people: `0`, `999 B`, `1.5 kB`, `12 MB`."""
    if number < 1000:
        return f"{number} B" if number else "0"
    value = float(number)
    for unit in ("kB", "MB", "GB", "TB"):
        value /= 1000
        if value < 999.5:
            return f"{value:.1f} {unit}" if value < 9.95 else f"{value:.0f} {unit}"
    return f"{value / 1000:.1f} PB"
