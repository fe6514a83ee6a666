"""The table: what was tried, what the outside saw of it beside a jail and in it, the verdict."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from netns.escapes.play import Result

if TYPE_CHECKING:
    from rich.console import Console

_WORST: Final = (
    "escaped",
    "broken",
    "no control",
    "unseen",
    "known limit",
    "held",
    "not applicable",
)
"""Verdicts, the one that counts first."""
FAILED: Final = frozenset({"escaped", "broken", "no control", "unseen"})
_HEADINGS: Final = (
    "#",
    "attempt",
    "oracle without the jail",
    "oracle with the jail",
    "the program saw",
    "event",
    "jails",
    "verdict",
)
_STYLES: Final = {"held": "green", "not applicable": "yellow", "known limit": "bold yellow"}


class Line(msgspec.Struct, kw_only=True):
    """One line of the table: an attempt in all jails in which it was made."""

    row: int
    id: str
    title: str
    without: str
    """What the oracle saw beside the jail."""
    control_user: str
    within: str
    """What the oracle saw of the jail."""
    saw: str
    """What the program saw in the jail."""
    event: str
    modes: dict[str, str]
    """Jail -> verdict."""
    verdict: str
    reason: str = ""
    """Why it is not applicable."""


def lines(results: Iterable[Result]) -> list[Line]:
    """Join the results of one attempt; in the order of the threat model."""
    joined: dict[str, list[Result]] = {}
    for result in results:
        joined.setdefault(result.attempt.id, []).append(result)
    found = []
    for group in joined.values():
        attempt = group[0].attempt
        modes: dict[str, str] = {}
        for result in group:  # an attempt may be made in several jails of one kind
            verdicts = (result.verdict, modes.get(result.mode, "not applicable"))
            modes[result.mode] = min(verdicts, key=_WORST.index)
        verdict = min(modes.values(), key=_WORST.index)
        # Where one jail held and another could not be asked, the one that held is shown.
        shown = next(result for result in group if result.verdict == verdict)
        event = next((result.event for result in group if result.event), "")
        found.append(
            Line(
                row=attempt.row,
                id=attempt.id,
                title=attempt.title,
                without=shown.control.oracle,
                control_user=shown.control_user,
                within=shown.jailed.oracle,
                saw=_short(shown.jailed.saw),
                event=event,
                modes=modes,
                verdict=verdict,
                reason=_short(shown.reason) if verdict == "not applicable" else "",
            )
        )
    return sorted(found, key=lambda line: line.row)


def passed(table: Sequence[Line]) -> bool:
    """Whether every attempt that applies was held and every control of theirs worked."""
    return bool(table) and not any(line.verdict in FAILED for line in table)


def summary(table: Sequence[Line]) -> str:
    """One sentence."""
    held = sum(line.verdict == "held" for line in table)
    beside = sum(line.verdict == "not applicable" for line in table)
    failed = [line for line in table if line.verdict in FAILED]
    text = f"{held} of {len(table)} attempts were made, reached the outside without the jail, "
    text += "and nothing of them arrived with it."
    if beside:
        text += f" {beside} are not applicable here."
    limits = [line.id for line in table if line.verdict == "known limit"]
    if limits:
        text += f" Known limits, which do get out: {', '.join(limits)}."
    if failed:
        text += f" {len(failed)} FAILED: {', '.join(line.id for line in failed)}."
    return text


def backend(results: Sequence[Result]) -> str:
    """What held it: kernel, and the programs around the agent."""
    try:
        done = subprocess.run(
            ["bwrap", "--version"], capture_output=True, text=True, timeout=5, check=False
        )
        version = done.stdout.strip() or "bubblewrap"
    except (OSError, subprocess.SubprocessError):
        version = "bubblewrap"
    kernel = f"Linux {platform.release()} {platform.machine()}"
    guard = "packet guard" if any(result.guarded for result in results) else "no packet guard"
    modes = ", ".join(dict.fromkeys(result.mode for result in results))
    return f"{kernel}; {version}, seccomp, network namespace, {guard}; jails: {modes}"


def show(
    console: Console, table: Sequence[Line], about: str, chosen: Sequence[Line] | None = None
) -> None:
    """Print the table for people: all of it, or the `chosen` lines."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=box.SIMPLE_HEAD)
    for heading in ("#", "Attempt", "Reached without", "With", "The program saw", "Verdict"):
        shown.add_column(heading, overflow="fold")
    for line in table if chosen is None else chosen:
        style = _STYLES.get(line.verdict, "bold red")
        verdict = line.verdict
        if line.verdict in FAILED:
            verdict += f" ({', '.join(m for m, v in line.modes.items() if v == line.verdict)})"
        shown.add_row(
            str(line.row),
            Text(line.title),
            Text(line.reason or line.without),
            Text(line.within),
            Text(f"{line.saw}; {line.event}" if line.event else line.saw),
            Text(verdict, style),
        )
    if shown.rows:
        console.print(shown)
    console.print(Text(summary(table), "bold green" if passed(table) else "bold red"))
    console.print(Text(about))


def markdown(table: Sequence[Line]) -> str:
    """The table as docs/escape-matrix.md has it."""
    out = [
        f"| {' | '.join(_HEADINGS)} |",
        "|---" * len(_HEADINGS) + "|",
    ]
    for line in table:
        without = line.without if line.control_user == "user" else f"{line.without} (as root)"
        cells = (
            str(line.row),
            line.title,
            f"none: {line.reason}" if line.reason else without,
            line.within,
            line.saw,
            f"`{line.event}`" if line.event else "",
            ", ".join(line.modes),
            line.verdict,
        )
        out.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(out)


def _short(text: str) -> str:
    """One line, without what would tell of this run alone."""
    flat = " ".join(text.split()).replace(os.sep + str(os.getpid()), "/PID")
    return flat if len(flat) <= 70 else flat[:69] + "…"
