"""The host's file system in the lab: the machine's, with its own /etc, /home, /run, /tmp, /var/log.

Called by PID 1 of the lab inside a mount namespace of its own; everything is tmpfs and vanishes
with it. What the machine keeps under a directory that is mounted over and that the lab still needs
(the checkout, the Python environment) is bound back into its place.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from netns.namespaces import MountFlag, mount
from tests.lab import world

OVERMOUNTED = ("/run", "/tmp", "/home", "/var/log")
_QUIET = MountFlag.NOSUID | MountFlag.NODEV
BUNDLE = "/etc/ssl/certs/ca-certificates.crt"


def furnish(root_pem: bytes, keep: Iterable[str]) -> None:
    """Mount everything. `keep` names directories to bind back."""
    mount(None, "/", flags=MountFlag.PRIVATE | MountFlag.REC)
    mount("proc", "/proc", "proc", _QUIET | MountFlag.NOEXEC)
    stage = Path("/run")
    mount("tmpfs", str(stage), "tmpfs", _QUIET, "mode=755,size=2g")
    _etc(stage / "etc", root_pem)
    places = [Path(directory) for directory in keep]
    kept = [(place, os.open(place, os.O_PATH)) for place in places if _hidden(place)]
    for target in OVERMOUNTED[1:]:
        mode = "1777" if target == "/tmp" else "755"
        mount("tmpfs", target, "tmpfs", _QUIET, f"mode={mode},size=4g")
    for place, descriptor in kept:
        place.mkdir(parents=True, exist_ok=True)
        mount(f"/proc/self/fd/{descriptor}", str(place), None, MountFlag.BIND | MountFlag.REC)
        os.close(descriptor)
    for directory in (world.DEV_HOME, world.DEV_WORK):
        Path(directory).mkdir(mode=0o700)
        os.chown(directory, world.DEV_UID, world.DEV_UID)
    Path(world.STATE).mkdir(mode=0o755)
    (Path("/run") / "lock").mkdir(mode=0o1777)
    (Path("/run") / "user" / str(world.DEV_UID)).mkdir(parents=True)
    os.chown(f"/run/user/{world.DEV_UID}", world.DEV_UID, world.DEV_UID)


def _hidden(place: Path) -> bool:
    """True when a mount of the lab would cover `place`."""
    return any(place.is_relative_to(target) for target in OVERMOUNTED)


def _etc(copy: Path, root_pem: bytes) -> None:
    """Copy /etc, change what must be the lab's own, and bind the copy over it."""
    shutil.copytree("/etc", copy, symlinks=True, copy_function=_copy)
    _write(copy / "resolv.conf", f"nameserver {world.RESOLVER_V4}\noptions timeout:2\n")
    _write(
        copy / "hosts",
        "127.0.0.1 localhost\n127.0.1.1 lab-host\n::1 localhost ip6-localhost ip6-loopback\n",
    )
    _write(copy / "hostname", "lab-host\n")
    _write(
        copy / "nsswitch.conf",
        "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\n"
        "protocols: files\nservices: files\n",
    )
    uid, home = world.DEV_UID, world.DEV_HOME
    _accounts(copy / "passwd", f"dev:x:{uid}:{uid}:Developer:{home}:/bin/bash\n")
    _accounts(copy / "group", f"dev:x:{uid}:\n")
    certificates = copy / "ssl" / "certs"
    if certificates.is_symlink():
        certificates.unlink()
    shutil.rmtree(certificates, ignore_errors=True)
    certificates.mkdir(parents=True)
    (certificates / "ca-certificates.crt").write_bytes(root_pem)
    (certificates / "lab-root.pem").write_bytes(root_pem)
    hashed = subprocess.run(
        ["openssl", "x509", "-noout", "-hash"], input=root_pem, capture_output=True, check=True
    )
    (certificates / f"{hashed.stdout.decode().strip()}.0").symlink_to("lab-root.pem")
    shutil.rmtree(copy / "profile.d", ignore_errors=True)
    (copy / "gitconfig").unlink(missing_ok=True)
    mount(str(copy), "/etc", None, MountFlag.BIND)


def _copy(source: str, target: str) -> None:
    """Copy a regular file with its mode and owner."""
    status = os.stat(source)  # noqa: PTH116
    shutil.copyfile(source, target)
    os.chown(target, status.st_uid, status.st_gid)
    Path(target).chmod(status.st_mode & 0o7777)


def _write(path: Path, text: str) -> None:
    """Replace a file, a symlink too (resolv.conf often leads into /run)."""
    path.unlink(missing_ok=True)
    path.write_text(text, "utf-8")
    path.chmod(0o644)


def _accounts(path: Path, own: str) -> None:
    """The machine's system accounts and the lab's ordinary user, nobody else."""
    lines = [
        line
        for line in path.read_text("utf-8").splitlines()
        if line.count(":") >= 2 and (int(line.split(":")[2] or 0) < 1000 or ":65534:" in line)
    ]
    _write(path, "\n".join(lines) + "\n" + own)
