"""What the demo shows: a table that grows on a terminal, or lines, and the closing words."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table

    from tests.demo.stage import Result

_SPARE_LINES = 8
"""Lines of the terminal that the moving table leaves free for its heading and frame."""


class Summary:
    """What the demo has shown; counts what the closing line says."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.work: list[Result] = []
        self.leaks: list[Result] = []
        self.seen = 0
        """Characters of a planted key that anybody has seen during the leaks."""
        self.written = 0
        """Characters of a planted key that stand in the evidence."""
        self.left: list[str] = ["unknown"]
        """What of the jail is left on the host."""
        self.seconds = 0.0

    @property
    def passed(self) -> bool:
        """Every leak arrives without egressguard and is stopped by it; everything else works."""
        return (
            bool(self.leaks)
            and all(row.reached and row.stopped for row in self.leaks)
            and all(row.done for row in self.work)
            and not self.seen
            and not self.written
            and not self.left
        )

    def lines(self) -> list[str]:
        """The closing lines."""
        count = len(self.leaks)
        stopped = sum(row.stopped for row in self.leaks)
        reached = sum(row.reached for row in self.leaks)
        done = sum(row.done for row in self.work)
        left = ", ".join(self.left) or "nothing"
        work = f"{done} of {len(self.work)}"
        oracle = f"oracle saw {self.seen} bytes of the key"
        return [
            f"{stopped} of {count} leaks stopped; {oracle}; honest work: {work}",
            f"without egressguard: {reached} of {count} reached it",
            f"in the evidence: {self.written} bytes of the key",
            f"left behind on the host: {left}",
        ]


class Show:
    """Says what happens, as it happens.

    Args:
        out: for rows; None when standard output is kept for JSON.
        err: for progress.
    """

    def __init__(self, out: TextIO | None, err: TextIO) -> None:
        self._out = out
        self._err = err

    def step(self, text: str) -> None:
        """What is done next."""
        self._say(f"{text} ...", self._out or self._err)

    def control(self, row: Result) -> None:
        """A leak was tried without egressguard."""

    def worked(self, row: Result) -> None:
        """Honest work was done in the jail."""
        if self._out:
            self._say(f"{'worked' if row.done else 'FAILED':9}{row.title}: {row.saw}", self._out)

    def leaked(self, row: Result) -> None:
        """A leak was tried in the jail."""
        if self._out:
            word = "stopped" if row.stopped else "LEAKED"
            cells = (f"without: {_without(row)}", f"in the jail: {row.saw}", row.stopper)
            line = f"{word:9}{row.title} | {' | '.join(cells)} | oracle: {_oracle(row)}"
            self._say(line, self._out)

    def close(self, summary: Summary) -> None:
        """The end."""
        for line in summary.lines():
            self._say(line, self._out or self._err)

    def stop(self) -> None:
        """Leave the terminal as it was, also after an error."""

    @staticmethod
    def _say(line: str, where: TextIO) -> None:
        where.write(line + "\n")
        where.flush()


class LiveShow(Show):
    """The same as a table that grows on a terminal."""

    def __init__(self, out: TextIO) -> None:
        super().__init__(out, out)
        self._work: list[Result] = []
        self._leaks: list[Result] = []
        self._known: dict[str, Result] = {}
        self._live: Live | None = None
        self._console: Console | None = None

    def step(self, text: str) -> None:
        """What is done next, above the table."""
        if self._console is None:
            super().step(text)
        else:
            self._console.print(f"{text} ...", style="dim")

    def control(self, row: Result) -> None:
        """A row appears when its control is done."""
        self._known[row.id] = row
        self._draw()

    def worked(self, row: Result) -> None:
        """A row of the first table."""
        self._work.append(row)
        self._draw()

    def leaked(self, row: Result) -> None:
        """A row is completed."""
        self._leaks.append(row)
        self._known[row.id] = row
        self._draw()

    def stop(self) -> None:
        """Take the moving part away."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def close(self, summary: Summary) -> None:
        """Both tables whole, and the closing lines."""
        from rich.text import Text

        self.stop()
        console = self._start()
        console.print(_work_table(self._work))
        console.print(_leak_table(list(self._known.values()), len(self._leaks)))
        first, *rest = summary.lines()
        console.print(Text(first, "bold green" if summary.passed else "bold red"))
        for line in rest:
            console.print(Text(line))

    def _start(self) -> Console:
        from rich.console import Console

        if self._console is None:
            self._console = Console(file=self._out)
        return self._console

    def _draw(self) -> None:
        from rich.live import Live

        console = self._start()
        if self._live is None:
            self._live = Live(console=console, transient=True, auto_refresh=False)
            self._live.start()
        rows = list(self._known.values())
        # What does not fit would be cut at the end; the row that has just changed must show.
        room = max(3, console.height - _SPARE_LINES)
        last = max(len(self._leaks) + 1, room) if self._work else len(rows)
        first = max(0, last - room)
        table = _leak_table(rows[first:last], len(self._leaks) - first, whole=False)
        self._live.update(table, refresh=True)


def _work_table(rows: list[Result]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("honest work", "in the jail"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        good = Text(f"worked: {row.saw}", "green")
        table.add_row(row.title, good if row.done else Text(f"FAILED: {row.saw}", "bold red"))
    return table


def _leak_table(rows: list[Result], finished: int, *, whole: bool = True) -> Table:
    """Table of leaks; only the first `finished` rows have been tried in the jail.

    Unless `whole`, every row is one line, and what does not fit is cut.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("the key, sent ...", "without", "in the jail", "stopped by", "oracle"):
        table.add_column(heading, overflow="fold" if whole else "ellipsis", no_wrap=not whole)
    for number, row in enumerate(rows):
        control = Text(_without(row), "yellow" if row.reached else "bold red")
        if number >= finished:
            table.add_row(Text(row.title), control, "", "", "")
            continue
        saw = Text(row.saw, "green" if row.stopped else "bold red")
        seen = Text(_oracle(row), "bold red" if row.oracle else "green")
        table.add_row(Text(row.title), control, saw, Text(row.stopper), seen)
    return table


def _without(row: Result) -> str:
    return "reached" if row.reached else f"NOT REACHED ({row.without})"


def _oracle(row: Result) -> str:
    return f"{row.oracle} BYTES" if row.oracle else "nothing"
