"""A home whose changes are thrown away: overlayfs on the home, in the jail's mount namespace alone.

bubblewrap knows `--overlay` since 0.11 only, so the mount is made before it runs, on the home
itself, and everything that binds the home afterwards shows it. The upper layer lies in a tmpfs that
nothing but the overlay refers to; it goes with the jail. What must stay real in it, such as the
working directory, is bound back on top.

An inode of an overlay is not that of the layer below, so no socket file of the host can be
connected to through it, whenever it was bound (unix(7); tests/system/netns).
"""

# ruff: noqa: PTH102
# (runs in a forked child: few imports)
from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from netns import namespaces
from netns.namespaces import MountFlag

_STAGE: Final = "/tmp"  # noqa: S108 - covered for a moment, in this mount namespace alone


class OverlayError(OSError):
    """The home cannot be shown through an overlay. The message names the fix."""


@dataclass(frozen=True, slots=True)
class Overlay:
    """What `cover` makes."""

    home: str
    """Resolved path of the directory whose changes are thrown away."""
    real: tuple[str, ...] = ()
    """Directories and files in it that stay as they are on the host."""


def cover(plan: Overlay, *, rootless: bool) -> None:
    """Mount the overlay, in a mount namespace of the caller's own; needs CAP_SYS_ADMIN there.

    Args:
        plan: what to cover.
        rootless: in a user namespace, whose overlays keep their marks in user.* attributes.

    Raises:
        OverlayError: this kernel, or the home's file system, does not allow it.
    """
    try:
        _cover(plan, rootless=rootless)
    except OSError as error:
        cause = "this kernel or file system has no overlay here"
        if rootless and error.errno == errno.EINVAL:
            # What is mounted below it may hide something, so a user namespace may not look under
            # it (mount_namespaces(7), "locked").
            cause = "without root it takes a home below which nothing else is mounted"
        raise OverlayError(
            f"--home overlay: {error}; {cause}: use --home ro or --home private"
        ) from error


def tried() -> str:
    """Make one, in throw-away namespaces that the caller has entered. Raises OSError."""
    namespaces.mount(None, "/", flags=MountFlag.PRIVATE | MountFlag.REC)
    namespaces.mount("tmpfs", _STAGE, "tmpfs", MountFlag.NOSUID | MountFlag.NODEV, "mode=755")
    place = f"{_STAGE}/home"
    os.mkdir(place)
    cover(Overlay(place), rootless=os.geteuid() != 0)
    os.mkdir(f"{place}/made")
    return "works"


def _cover(plan: Overlay, *, rootless: bool) -> None:
    below = os.open(plan.home, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    real = [(path, os.open(path, os.O_PATH | os.O_CLOEXEC)) for path in plan.real]
    about = os.fstat(below)
    namespaces.mount("tmpfs", _STAGE, "tmpfs", MountFlag.NOSUID | MountFlag.NODEV, "mode=755")
    upper, work = f"{_STAGE}/upper", f"{_STAGE}/work"
    for folder in (upper, work):
        os.mkdir(folder, 0o700)
    with contextlib.suppress(OSError):  # a group that the user namespace does not know
        os.chown(upper, about.st_uid, about.st_gid)
    os.chmod(upper, about.st_mode & 0o7777)  # noqa: PTH101
    # By descriptor: the home may lie below the stage itself.
    home = f"/proc/self/fd/{below}"
    options = f"lowerdir={home},upperdir={upper},workdir={work}"
    if rootless:
        options += ",userxattr"
    namespaces.mount("overlay", home, "overlay", MountFlag.NOSUID | MountFlag.NODEV, options)
    namespaces.umount(_STAGE)
    _bind_back(real)
    os.close(below)


def _bind_back(real: Iterable[tuple[str, int]]) -> None:
    for path, descriptor in real:
        flags = MountFlag.BIND | MountFlag.REC
        namespaces.mount(f"/proc/self/fd/{descriptor}", path, None, flags)
        os.close(descriptor)
