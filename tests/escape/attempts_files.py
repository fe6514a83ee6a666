"""Attempts to leave something that runs later, outside: row 34, for what is not 'rw'."""

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

_WORK = (
    ("hook", "a hook of git", "post-checkout"),
    ("hook-renamed", "another hook in the place of one", "pre-commit"),
)


def in_the_work() -> Iterator[Attempt]:
    """Attempts that `--workdir ro` must hold."""
    for name, title, file in _WORK:
        yield Attempt(
            id=name,
            row=34,
            title=f"{title} (with --workdir ro)",
            program="files.replace" if "renamed" in name else "files.write",
            args={"path": f"/home/dev/work/.git/hooks/{file}"},
        )


def in_the_home() -> Iterator[Attempt]:
    """Attempts that `--home private`, `--home ro` and `--home overlay` must hold."""
    for name, title, path in _PLACES:
        home = path.replace("~", "/home/dev")
        yield Attempt(
            id=name,
            row=33 if name in ("autostart", "user-unit") else 34,
            title=f"{title} (with --home private, ro, overlay)",
            program="files.write",
            args={"path": home, "make": True},
        )
