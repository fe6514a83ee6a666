"""Who the agent runs as: the person who asked, never silently root."""

# ruff: noqa: PTH112, PTH119
# (paths stay text, as the kernel and bwrap take them)
from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass

POWERFUL_GROUPS: Mapping[str, str] = {
    "docker": "its socket is root on the host",
    "podman": "its socket starts containers outside the jail",
    "lxd": "its socket is root on the host",
    "incus": "its socket starts containers outside the jail",
    "incus-admin": "its socket is root on the host",
    "libvirt": "its socket starts machines with a network of their own",
    "disk": "raw disks hold everything that mounts hide",
    "kmem": "kernel memory",
}
"""Groups the agent does not take along, with the reason. The sockets are masked as well."""


class IdentityError(ValueError):
    """Nobody to run the agent as. The message names the fix; the command exits with `exit_code`."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Identity:
    """A user as the kernel and as programs know it."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    """Supplementary groups, ascending, without `POWERFUL_GROUPS`."""
    name: str
    home: str
    """Existing home directory, resolved; empty when the agent gets a private one."""
    shell: str


def resolve(user: str | None, environ: Mapping[str, str], euid: int, egid: int) -> Identity:
    """Return whom the agent runs as.

    `user` is `--user`: a name, a UID or UID:GID. Without it root takes SUDO_UID and SUDO_GID
    (sudo(8)) and anybody else stays who they are. A process that is not root cannot become
    another user. Raises IdentityError.
    """
    if user is not None:
        identity = _named(user)
        if euid not in (0, identity.uid):
            raise IdentityError(f"--user {user}: only root can become another user; use sudo")
        return identity
    if euid != 0:
        return _numbered(euid, egid)
    sudo_uid, sudo_gid = environ.get("SUDO_UID", ""), environ.get("SUDO_GID", "")
    if not (sudo_uid.isdecimal() and sudo_gid.isdecimal()) or int(sudo_uid) == 0:
        raise IdentityError(
            "started by root itself, so it is unknown who the agent should run as: "
            "add --user NAME (or UID:GID), or start it with sudo as that user"
        )
    return _numbered(_in_range(sudo_uid, "SUDO_UID"), _in_range(sudo_gid, "SUDO_GID"))


def _named(user: str) -> Identity:
    """Return the identity for a --user value."""
    uid_text, colon, gid_text = user.partition(":")
    if not uid_text.isdecimal():
        if colon:
            raise IdentityError(f"--user {user}: a group goes with a numeric user, as in 1000:1000")
        try:
            entry = pwd.getpwnam(user)
        except (KeyError, ValueError):
            raise IdentityError(f"--user {user}: no such user; see getent passwd") from None
        return _of_entry(entry, entry.pw_gid)
    uid = _in_range(uid_text, "--user")
    if colon:
        if not gid_text.isdecimal():
            raise IdentityError(f"--user {user}: {gid_text!r} is not a group number")
        return _numbered(uid, _in_range(gid_text, "--user"))
    try:
        return _of_entry(entry := pwd.getpwuid(uid), entry.pw_gid)
    except KeyError:
        raise IdentityError(
            f"--user {user}: that number has no passwd entry, so give its group: --user {uid}:{uid}"
        ) from None


def _in_range(text: str, what: str) -> int:
    """Return a user or group number; 2^32-1 means "no change" to setresuid(2)."""
    number = int(text)
    if number >= 2**32 - 1:
        raise IdentityError(f"{what}: {text} is not a user or group number")
    return number


def _numbered(uid: int, gid: int) -> Identity:
    try:
        return _of_entry(pwd.getpwuid(uid), gid)
    except KeyError:
        return Identity(uid, gid, (gid,), str(uid), "", "/bin/sh")


def _of_entry(entry: pwd.struct_passwd, gid: int) -> Identity:
    # Root's own supplementary groups are power and nothing else.
    member_of = {gid} if entry.pw_uid == 0 else set(os.getgrouplist(entry.pw_name, gid))
    groups = tuple(sorted(each for each in member_of if each == gid or not _powerful(each)))
    home = os.path.realpath(entry.pw_dir) if entry.pw_dir.startswith("/") else ""
    if home == "/" or not os.path.isdir(home):
        home = ""
    return Identity(entry.pw_uid, gid, groups, entry.pw_name, home, _login_shell(entry.pw_shell))


def _powerful(gid: int) -> bool:
    try:
        return grp.getgrgid(gid).gr_name in POWERFUL_GROUPS
    except KeyError:
        return False


def _login_shell(shell: str) -> str:
    """Return a shell programs can start: service accounts have nologin or false there."""
    usable = shell.startswith("/") and os.path.basename(shell) not in {"nologin", "false", "sync"}
    return shell if usable and os.access(shell, os.X_OK) else "/bin/sh"
