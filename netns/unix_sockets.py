"""Unix sockets of the host that stay reachable by path, and how they are found.

A read-only mount does not stop connect(2) on a socket file. Private /run, /tmp, /var/tmp and
/dev/shm hide most; the rest is looked up in the kernel's tables and hidden one by one.
"""

# ruff: noqa: PTH115, PTH116, PTH120, PTH208
# (paths stay text, as the kernel and bwrap take them)
from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

ENGINES: tuple[str, ...] = (
    "/var/lib/lxd/unix.socket",
    "/var/snap/lxd/common/lxd/unix.socket",
    "/var/snap/docker/common/run/docker.sock",
    "/var/lib/incus/unix.socket",
    "/var/lib/docker/docker.sock",
    "/var/lib/libvirt/libvirt-sock",
    "~/.docker/run/docker.sock",
    "~/.docker/desktop/docker.sock",
    "~/.colima/default/docker.sock",
    "~/.rd/docker.sock",
    "~/.orbstack/run/docker.sock",
    "~/.lima/default/sock/docker.sock",
    "~/.gnupg/S.gpg-agent",
    "~/.gnupg/S.gpg-agent.extra",
    "~/.gnupg/S.gpg-agent.ssh",
    "~/.gnupg/S.gpg-agent.browser",
    "~/.gnupg/S.keyboxd",
    "~/.gnupg/S.scdaemon",
    "~/.1password/agent.sock",
    "~/.bitwarden-ssh-agent.sock",
)
"""Sockets that are masked when they exist, also while nobody listens yet. `~` is the home."""

_MOST = 256  # entries of a directory that are looked at


def bound_paths(table: str) -> Iterator[tuple[str, str]]:
    """Yield path and inode of each bound pathname socket in the text of /proc/net/unix.

    Abstract names begin with @ and are held by the network namespace. Format: proc(5).
    """
    for line in table.splitlines()[1:]:
        fields = line.split(None, 7)
        if len(fields) == 8 and not fields[7].startswith("@"):
            yield fields[7], fields[6]


def reachable(home: str, proc: str = "/proc") -> list[str]:
    """Return the resolved paths of the host's socket files, sorted.

    `home` is the agent's, or empty. All network
    namespaces this process may look into are read: a container's socket in a shared directory is
    listed in the container's namespace only. A socket bound later is not seen; see
    docs/threat-model.md.
    """
    known = [path.replace("~", home, 1) for path in ENGINES if home or not path.startswith("~")]
    relative: dict[str, str] = {}
    for table in _tables(proc):
        for path, inode in bound_paths(table):
            if path.startswith("/"):
                known.append(path)
            else:
                relative[inode] = path
    if relative:
        known += _resolved_relative(relative, proc)
    found = set()
    for path in set(known):
        try:
            if stat.S_ISSOCK(os.stat(path).st_mode):
                found.add(os.path.realpath(path))
        except (OSError, ValueError):
            continue
    return sorted(found)


def folders_of_sockets(sockets: Iterable[str]) -> list[str]:
    """Return directories of these sockets that hold nothing else, sorted.

    Such a directory is private in a jail as a whole: a server that is started again unlinks its
    socket, and with it whatever covers that, and binds another one in the same place.
    """
    return sorted(folder for folder in {os.path.dirname(path) for path in sockets} if _only(folder))


def _only(folder: str) -> bool:
    """Say whether a directory holds sockets, empty files, locks and process numbers alone."""
    try:
        with os.scandir(folder) as entries:
            for count, entry in enumerate(entries):
                about = entry.stat(follow_symlinks=False)
                plain = stat.S_ISREG(about.st_mode) and (
                    about.st_size == 0 or entry.name.endswith((".pid", ".lock"))
                )
                if count > _MOST or not (plain or stat.S_ISSOCK(about.st_mode)):
                    return False
    except OSError:
        return False
    return True


def _tables(proc: str) -> Iterator[str]:
    """Yield /proc/PID/net/unix once for each network namespace."""
    seen: set[str] = set()
    pids = sorted((name for name in os.listdir(proc) if name.isdecimal()), key=int)
    for pid in ("self", *pids):
        try:
            namespace = os.readlink(f"{proc}/{pid}/ns/net")
            if namespace not in seen:
                seen.add(namespace)
                yield Path(f"{proc}/{pid}/net/unix").read_text("utf-8", "surrogateescape")
        except OSError:
            continue  # ended, or not ours to read


def _resolved_relative(names: dict[str, str], proc: str) -> list[str]:
    """Return candidates for sockets bound by a relative path: under their holders' directories."""
    found = []
    for pid in os.listdir(proc):
        if not pid.isdecimal():
            continue
        try:
            for fd in os.listdir(f"{proc}/{pid}/fd"):
                link = os.readlink(f"{proc}/{pid}/fd/{fd}")
                if link.startswith("socket:[") and (name := names.get(link[8:-1])):
                    found.append(f"{os.readlink(f'{proc}/{pid}/cwd')}/{name}")
        except OSError:
            continue
    return found
