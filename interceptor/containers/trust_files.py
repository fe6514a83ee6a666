"""Files of the host's that a container is given read-only: who it must trust, and its resolver.

The directory is mounted before there is an authority, and filled in place when there is one, before
the container's first instruction: a bind mount of a file shows what is written into that file, and
not what replaces it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

BASE: Final = "/run/egressguard-containers"
"""Not below `/run/egressguard`, which nobody but root may enter: rootless engines mount these."""
INSIDE: Final = "/run/egressguard"
"""Where `netns.trust` has its files; written out, as the hook has no time to import that."""
SYSTEM_BUNDLE: Final = "/etc/ssl/certs/ca-certificates.crt"
"""Where Debian, Ubuntu, Alpine and Arch have theirs."""
RESOLVER: Final = "198.18.0.1"

_AUTHORITY: Final = "authority.pem"
_BUNDLE: Final = "ca-bundle.pem"
_RESOLV_CONF: Final = "resolv.conf"


class Folder:
    """The files of one container."""

    def __init__(self, name: str, base: str = BASE) -> None:
        """`name`: the guest's."""
        self.path = Path(base, name)

    def make(self) -> None:
        """Make it, with the host's own roots until there is an authority.

        Raises:
            OSError: it cannot be made, or is not root's.
        """
        base = self.path.parent
        base.mkdir(mode=0o755, exist_ok=True)
        status = base.lstat()
        if status.st_uid != os.geteuid() or status.st_mode & 0o022 or not base.is_dir():
            raise PermissionError(f"{base}: not a directory that only root can write")
        self.remove()
        self.path.mkdir(mode=0o755)
        self.path.chmod(0o755)
        for name, content in (
            (_AUTHORITY, b""),
            (_BUNDLE, roots()),
            (_RESOLV_CONF, f"nameserver {RESOLVER}\n".encode()),
        ):
            file = self.path / name
            file.write_bytes(content)
            file.chmod(0o644)

    def fill(self, certificate: str) -> None:
        """Write the authority's certificate (PEM) into the files that are there.

        Raises:
            OSError: it cannot be written.
        """
        pem = certificate.encode("ascii").strip() + b"\n"
        before = (self.path / _BUNDLE).read_bytes()
        for name, content in ((_AUTHORITY, pem), (_BUNDLE, pem + before)):
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            with open(os.open(self.path / name, flags, 0o644), "wb") as file:
                file.write(content)

    def remove(self) -> None:
        """Remove it, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.path)

    def mounts(self) -> Mapping[str, str]:
        """Place in the container -> path of the host's, all to be mounted read-only."""
        return {
            INSIDE: str(self.path),
            SYSTEM_BUNDLE: str(self.path / _BUNDLE),
            "/etc/resolv.conf": str(self.path / _RESOLV_CONF),
        }


def roots() -> bytes:
    """Root certificates that programs of this host trust."""
    from netns import trust

    for path in trust.BUNDLES:
        with contextlib.suppress(OSError):
            return Path(path).read_bytes()
    return b""
