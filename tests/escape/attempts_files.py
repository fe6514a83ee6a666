"""Attempts to leave something that runs later, outside: row 34, for homes that are not 'rw'."""

from __future__ import annotations

from collections.abc import Iterator

from netns.escapes.attempt import Attempt

_PLACES = (
    ("rc", "the shell's start-up file", "~/.bashrc"),
    ("autostart", "an autostart entry", "~/.config/autostart/egx.desktop"),
    ("user-unit", "a unit of systemd --user", "~/.config/systemd/user/egx.service"),
    ("path-folder", "a program in a folder of PATH", "~/bin/git"),
    ("mcp", "a tool server for the next agent", "~/.mcp.json"),
)


def in_the_home() -> Iterator[Attempt]:
    """Attempts that `--home private` and `--home ro` must hold."""
    for name, title, path in _PLACES:
        home = path.replace("~", "/home/dev")
        yield Attempt(
            id=name,
            row=33 if name in ("autostart", "user-unit") else 34,
            title=f"{title} (with --home private, ro)",
            program="files.write",
            args={"path": home, "make": True},
        )
