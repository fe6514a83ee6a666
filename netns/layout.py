"""The jail's file system: what is shown, what is private, what is masked, in order.

Later mounts lie on earlier ones, so the order is the meaning: the host read-only, private places
on it, then what the agent may write, then trust, and the masks last: nothing is bound over them.
"""

# ruff: noqa: PTH110, PTH112, PTH114, PTH116, PTH120
# (paths stay text, as the kernel and bwrap take them)
from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from netns import late_sockets
from netns.identity import Identity
from netns.late_sockets import inside
from netns.mounts import Bind, Data, Dev, Directory, Mount, Proc, Sealed, Tmpfs
from netns.overlay import Overlay
from netns.unix_sockets import folders_of_sockets, reachable

NAMESERVER = "198.18.0.1"
RESOLVER = f"nameserver {NAMESERVER}\noptions timeout:3 attempts:2\n"

PRIVATE_HOME = "/run/egressguard/home"
"""Home of an agent whose user has none."""

_PRIVATE = ("/tmp", "/run", "/var/tmp", "/dev", "/proc")  # noqa: S108

_FILLED = ("/tmp", "/run", "/var/tmp")  # noqa: S108
"""Private places in which other things may be shown."""

_MASKED = (
    "/var/spool/cron",
    "/var/spool/at",
    "/var/spool/atjobs",
    "/var/spool/anacron",
    "/var/lib/egressguard",
    "/var/log/egressguard",
    "/var/cache/egressguard",
    "/sys/class/net",
    "/sys/kernel/debug",
    "/sys/kernel/tracing",
    "/sys/kernel/security",
    "/sys/firmware",
    "/sys/fs/bpf",
    "/proc/acpi",
    "/proc/scsi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/key-users",
    "/proc/kmsg",
    "/proc/timer_list",
    "/proc/sched_debug",
    "/proc/kpagecount",
    "/proc/kpageflags",
    "/proc/kallsyms",
    "/proc/modules",
)

_NEVER_WRITABLE = ("/proc", "/sys", "/dev", "/run", "/etc", "/usr", "/bin", "/sbin", "/lib")
"""A working directory in these is shown, and stays read-only."""

_KERNEL_SETTINGS = ("/proc/sys", "/proc/irq", "/proc/bus", "/proc/fs", "/proc/sysrq-trigger")

_NSSWITCH_HOSTS = "hosts: files dns"


class LayoutError(ValueError):
    """The jail's file system cannot be made as asked. The message names the fix."""


@dataclass(frozen=True, slots=True)
class View:
    """What the plan depends on."""

    identity: Identity
    cwd: str
    """Working directory, absolute."""
    hostname: str
    home_access: str = "rw"
    """`rw`, `ro`, `overlay`: as it is, changes gone at the end; or `private`: an empty one."""
    cwd_access: str = "rw"
    """`rw` where the agent's user may write it anyway, or `ro`."""
    writable: tuple[str, ...] = ()
    """More directories or files the agent may write."""
    readable: tuple[str, ...] = ()
    """Directories or files below private places (such as /tmp) that the agent may read."""
    masks: tuple[str, ...] = ()
    """Directories and files that the agent must not see: evidence, policy, registry."""
    protected: tuple[str, ...] = ()
    """Directories that the agent must not change: what the next start would run."""
    trust: tuple[Mount, ...] = ()
    console: str = ""
    """Path of the agent's terminal on the host, such as /dev/pts/3, or empty."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The plan."""

    mounts: tuple[Mount, ...]
    home: str
    """Home directory inside the jail."""
    cwd: str
    """Working directory inside the jail, symbolic links resolved."""
    folders: tuple[str, ...]
    """Directories that the gate makes as the agent's user, mode 0700."""
    masked_sockets: tuple[str, ...]
    notes: tuple[str, ...]
    """What a person should know, such as a working directory that stays read-only."""
    overlay: Overlay | None = None
    """To be mounted first."""
    visible: late_sockets.View | None = None
    """What the jail shows of the host."""


def plan(view: View) -> Layout:
    """Return the mounts of a jail. Raises LayoutError."""
    identity = view.identity
    notes: list[str] = []
    home = identity.home or PRIVATE_HOME
    runtime = f"/run/user/{identity.uid}"
    folders = [runtime] if identity.home else [runtime, PRIVATE_HOME]

    mounts: list[Mount] = [Bind("/", "/"), Dev("/dev"), Tmpfs("/dev/shm", 0o1777), Proc("/proc")]  # noqa: S108
    # bwrap skips these when it finds the directory not writable, but root owns files in them.
    mounts += [Bind(path, path) for path in _KERNEL_SETTINGS if os.path.exists(path)]
    if view.console:
        mounts.append(Bind(view.console, "/dev/console", device=True))
    mounts += [Tmpfs("/tmp", 0o1777), Tmpfs("/run")]  # noqa: S108
    # /var/run and /var/lock are links into /run nearly everywhere; where not, they are private too.
    for place in ("/var/tmp", "/var/run"):  # noqa: S108
        if os.path.isdir(place) and not os.path.islink(place):
            mounts.append(Tmpfs(place, 0o1777))
    # The gate makes the directories below these as the agent's user: bwrap cannot chown.
    mounts += [Directory("/run/lock", 0o1777), Directory("/run/user", 0o1777)]
    mounts.append(Directory("/run/egressguard", 0o1777))

    cwd = os.path.realpath(view.cwd)
    if not os.path.isdir(cwd):
        raise LayoutError(f"{view.cwd}: the working directory does not exist")
    masks = [path for mask in (*_MASKED, *view.masks) for path in _both(mask)]
    protected = [os.path.realpath(path) for path in view.protected]
    read_only = view.cwd_access == "ro"
    kept = (*masks, *protected, *((cwd,) if read_only else ()))
    roots: list[str] = []
    if identity.home:
        mounts += _home(identity.home, view.home_access)
        if view.home_access == "rw":
            roots.append(identity.home)
            mounts += _pinned(identity.home, kept)
    for path in view.readable:
        mounts.append(_shown(path, writable=False))
    if any(inside(cwd, place) for place in protected):
        notes.append(f"{cwd} stays read-only: egressguard itself runs from there")
    elif read_only and not any(inside(cwd, place) for place in _PRIVATE):
        if inside(cwd, home):  # the rest is read-only already
            mounts.append(Bind(cwd, cwd))
    elif cwd == home and view.home_access == "overlay":
        notes.append(f"{cwd}: what the agent changes there is thrown away at the end")
    elif not read_only and _writable_cwd(cwd, identity):
        mounts.append(Bind(cwd, cwd, writable=True))
        roots.append(cwd)
        mounts += _pinned(cwd, kept)
    elif any(inside(cwd, place) for place in _PRIVATE) and cwd not in _PRIVATE:
        if not inside(cwd, "/tmp") and not inside(cwd, "/var/tmp"):  # noqa: S108
            raise LayoutError(f"{cwd}: the jail has its own; choose another working directory")
        mounts.append(Bind(cwd, cwd))
        if not read_only:
            notes.append(f"{cwd} stays read-only: it is not the agent's")
    elif not (view.home_access == "rw" and inside(cwd, home)):
        notes.append(f"{cwd} stays read-only: it is a system directory or not the agent's")
    for path in view.writable:
        mounts.append(shown := _shown(path, writable=True))
        roots.append(shown.target)
        mounts += _pinned(shown.target, kept)
    for path in protected:
        if any(inside(path, root) for root in roots):
            mounts.append(Bind(path, path))

    mounts += view.trust
    mounts += _names(view.hostname)

    for mask in masks:
        if inside(cwd, mask):
            raise LayoutError(f"{cwd}: the working directory lies in {mask}, which the jail hides")
    exposed = (cwd, *view.writable, *view.readable, home)
    sockets = [path for path in reachable(identity.home) if _seen(path, exposed)]
    replaced = (home,) if view.home_access in ("private", "overlay") else ()
    # Private, and not empty for good: the agent's own programs may want their sockets there.
    own = [folder for folder in folders_of_sockets(sockets) if not _holds(folder, exposed, roots)]
    mounts += [Tmpfs(folder, 0o1777) for folder in own]
    hidden = [path for path in sockets if os.path.dirname(path) not in own]
    mounts += _masked([*dict.fromkeys(masks), *hidden])
    return Layout(
        tuple(_with_parents(mounts)),
        home,
        cwd,
        tuple(folders),
        masked_sockets=tuple(sockets),
        notes=tuple(notes),
        overlay=_overlay(view, roots, cwd) if view.home_access == "overlay" else None,
        visible=late_sockets.View.now(
            (*_PRIVATE, "/var/run", *masks, *own, *replaced),
            (os.path.realpath(path) for path in exposed if path != home or not replaced),
            sockets,
        ),
    )


def _overlay(view: View, roots: Iterable[str], cwd: str) -> Overlay | None:
    """Return the overlay of a home that there is; what else may be written in it stays real."""
    home = view.identity.home
    shown = [*roots, *(os.path.realpath(path) for path in view.readable)]
    if view.cwd_access == "ro":
        shown.append(cwd)
    real = sorted({path for path in shown if inside(path, home) and path != home})
    return Overlay(home, tuple(real)) if home else None


def _pinned(root: str, kept: Iterable[str]) -> list[Mount]:
    """Make the directories between a writable `root` and what is kept in it immovable.

    A mount covers a place, not a name: an agent that may rename a directory above it would put
    another one there for the next start to find. What is a mount point itself cannot be renamed
    (rename(2), EBUSY).
    """
    above = {
        str(folder)
        for path in kept
        for folder in Path(path).parents
        if str(folder) != root and inside(str(folder), root)
    }
    return [Bind(path, path, writable=True) for path in sorted(above) if os.path.isdir(path)]


def _seen(path: str, exposed: tuple[str, ...]) -> bool:
    """Say whether the jail shows `path`: not private, or below something shown in there."""
    if not any(inside(path, place) for place in (*_PRIVATE, "/var/run")):
        return True
    return any(inside(path, folder) for folder in exposed)


def _holds(folder: str, exposed: Iterable[str], roots: Iterable[str]) -> bool:
    """Say whether something that the jail has to show is this directory, or lies in it."""
    return any(inside(os.path.realpath(path), folder) for path in (*exposed, *roots))


def _with_parents(mounts: Iterable[Mount]) -> Iterator[Mount]:
    """Make the directories above what lies in private places: bwrap makes them for root alone."""
    made: set[str] = set()
    shown: list[str] = []
    for mount in mounts:
        parts = mount.target.split("/")[1:-1]
        above = ["/" + "/".join(parts[: count + 1]) for count in range(len(parts))]
        for folder in above:
            private = any(inside(folder, place) for place in _FILLED)
            if private and folder not in _FILLED and folder not in made:
                if not any(inside(folder, place) for place in shown):
                    yield Directory(folder)
                made.add(folder)
        made.add(mount.target)
        if isinstance(mount, Bind) and mount.target != "/":
            shown.append(mount.target)
        yield mount


def _home(home: str, access: str) -> list[Mount]:
    if access == "private":
        return [Tmpfs(home, 0o1777)]
    return [Bind(home, home, writable=access != "ro")]


def _shown(path: str, *, writable: bool) -> Bind:
    real = os.path.realpath(path)
    if not os.path.exists(real):
        raise LayoutError(f"{path}: cannot be shown in the jail: it does not exist")
    if real == "/" or real in _PRIVATE:
        raise LayoutError(f"{path}: cannot be shown in the jail: it would undo what the jail hides")
    return Bind(real, real, writable=writable)


def _writable_cwd(cwd: str, identity: Identity) -> bool:
    """Say whether the working directory becomes writable.

    Never one that holds protected places (/, /var, /home), never one of the system's, and only the
    agent's own or one its user may write anyway.
    """
    if any(inside(cwd, place) for place in _NEVER_WRITABLE):
        return False
    protected = (*_PRIVATE, *_MASKED, *_NEVER_WRITABLE, "/home/x", "/root", "/srv/x", "/opt/x")
    if cwd != identity.home and any(inside(place, cwd) for place in protected):
        return False
    about = os.stat(cwd)
    if about.st_uid == identity.uid:
        return True
    group_may = about.st_mode & 0o020 and about.st_gid in (identity.gid, *identity.groups)
    return bool(group_may or about.st_mode & 0o002)


def _names(hostname: str) -> list[Mount]:
    """Return the files that decide how names are resolved: they lead to the DNS shim only."""
    resolver = os.path.realpath("/etc/resolv.conf")
    if not os.path.lexists("/etc/resolv.conf"):
        raise LayoutError("/etc/resolv.conf does not exist, so it cannot be replaced: touch it")
    if not inside(resolver, "/run") and not os.path.exists(resolver):
        raise LayoutError(f"/etc/resolv.conf leads to {resolver}, which does not exist: touch it")
    hosts = f"127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n127.0.1.1 {hostname}\n"
    found: list[Mount] = [Data(resolver, RESOLVER.encode())]
    for path, content in (("/etc/hosts", hosts), ("/etc/nsswitch.conf", _nsswitch())):
        real = os.path.realpath(path)
        if os.path.exists(real):
            found.append(Data(real, content.encode()))
    return found


def _nsswitch() -> str:
    """Return the host's nsswitch.conf(5) without the modules that resolve names elsewhere."""
    try:
        with open("/etc/nsswitch.conf", encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
    except OSError:
        lines = []
    kept = [line for line in lines if line.partition(":")[0].strip() not in {"hosts", "networks"}]
    return "\n".join([*kept, _NSSWITCH_HOSTS, "networks: files", ""])


def _both(path: str) -> tuple[str, ...]:
    """Return the place a mask has to cover; links are followed, mounts do the same."""
    return (os.path.realpath(path),) if os.path.exists(path) else ()


def _masked(paths: Iterable[str]) -> list[Mount]:
    """Cover directories with an empty read-only one, everything else with /dev/null."""
    out: list[Mount] = []
    covered: list[str] = []
    for path in sorted(paths):  # a directory comes before what lies in it
        if any(inside(path, folder) for folder in covered):
            continue  # not there any more, so it could not be covered either
        if os.path.isdir(path):
            out += [Tmpfs(path), Sealed(path)]
            covered.append(path)
        else:
            out.append(Bind("/dev/null", path))
    return out
