"""What mends a machine on which a captive namespace cannot be made: causes and commands as data."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from typing import Final

SYSTEM_PATH: Final = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin"
"""Where programs that run with rights are looked for. The caller's PATH is not trusted."""

RUN_AS_ROOT: Final = "run it with sudo, or with --rootless where user namespaces are allowed"
INSTALL_NFT: Final = "sudo apt-get install nftables"
LOAD_NFT: Final = "sudo modprobe -a nf_tables nft_redir nft_reject_inet nft_ct nf_conntrack"

_BY_STEP: Final = {
    "nft": INSTALL_NFT,
    "rules": LOAD_NFT,
    "imports": "reinstall egressguard: its pyroute2 is missing or damaged",
    "sysctls": "make /proc/sys writable for this command (containers often mount it read-only)",
    "time limit": "look at the machine's load, then try again",
}

_USER_NAMESPACE_LIMITS: Final = (
    ("kernel/apparmor_restrict_unprivileged_userns", "1", "0"),  # Ubuntu 23.10 and later
    ("kernel/unprivileged_userns_clone", "0", "1"),  # Debian's kernels
    ("user/max_user_namespaces", "0", "10000"),  # namespaces(7)
    ("user/max_net_namespaces", "0", "10000"),
)


def find_program(name: str) -> str:
    """Path of the program `name` in `SYSTEM_PATH`.

    Raises:
        FileNotFoundError: it is not installed.

    """
    found = shutil.which(name, path=SYSTEM_PATH)
    if found is None:
        raise FileNotFoundError(errno.ENOENT, f"no program {name} in {SYSTEM_PATH}")
    return found


def user_namespace_limits(root: Path = Path("/proc/sys")) -> list[tuple[str, str]]:
    """Settings of this machine that keep ordinary users from making user namespaces.

    Args:
        root: where sysctl(8) values are read.

    Returns:
        For each, `name=value` and the command that lifts it. Empty: nothing stands in the way.

    """
    found = []
    for path, limiting, lifting in _USER_NAMESPACE_LIMITS:
        try:
            value = (root / path).read_text("ascii").strip()
        except OSError:
            continue  # this kernel does not have the setting
        if value == limiting:
            name = path.replace("/", ".")
            found.append((f"{name}={value}", f"sudo sysctl -w {name}={lifting}"))
    return found


def remedy(step: str, number: int, *, rootless: bool, root: Path = Path("/proc/sys")) -> str:
    """What to do about a step that failed.

    Args:
        step: as in `netns.captive.CaptiveError.step`.
        number: errno of the failure; 0 when there was none.
        rootless: whether a user namespace was wanted.
        root: where sysctl(8) values are read.

    Returns:
        One clause, usually a command.

    """
    if step in _BY_STEP:
        return _BY_STEP[step]
    if number in {errno.EPERM, errno.EACCES, errno.ENOSPC}:
        limits = user_namespace_limits(root) if rootless or number == errno.ENOSPC else []
        if limits:
            return "; ".join(f"{command} ({setting})" for setting, command in limits)
        if rootless:
            return "run it with sudo: a container's or security module's policy forbids this"
        return RUN_AS_ROOT
    return "`egressguard doctor` says what this kernel lacks"
