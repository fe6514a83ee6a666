"""Trust for browsers: a private NSS database, made by NSS's own tool and shown in the jail only."""
# ruff: noqa: PTH112
# (paths stay text, as the kernel and bwrap take them)

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

from netns.mounts import Data, Mount, Tmpfs

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "firefox")


class Prepared(NamedTuple):
    """Mounts for browsers, and what could not be done."""

    mounts: list[Mount]
    notes: list[str]


def prepare(certificate_pem: bytes, path: str, home: str) -> Prepared:
    """Return a database that trusts the authority, over ~/.pki/nssdb.

    Nothing is done without a browser in `path`. The user's own database is not opened: what it
    holds is not seen in the jail. It takes a process, hence some 50 ms.
    """
    if not any(shutil.which(browser, path=path) for browser in _BROWSERS):
        return Prepared([], [])
    certutil = shutil.which("certutil", path=path)
    if certutil is None:
        return Prepared([], ["browsers do not trust the jail: apt-get install libnss3-tools"])
    folder = os.path.realpath(f"{home}/.pki/nssdb")
    if not home or not os.path.isdir(folder):
        return Prepared([], ["browsers do not trust the jail: mkdir -p ~/.pki/nssdb, once"])
    # Memory, not disk; gone before the jail starts. certutil takes only directories.
    with tempfile.TemporaryDirectory(dir="/dev/shm") as made:
        add = ("-A", "-n", "egressguard", "-t", "C,,", "-a")
        for arguments in (("-N", "--empty-password"), add):
            try:
                subprocess.run(
                    [certutil, "-d", f"sql:{made}", *arguments],
                    input=certificate_pem,
                    check=True,
                    capture_output=True,
                    timeout=10,
                )
            except (OSError, subprocess.SubprocessError) as error:
                return Prepared([], [f"browsers do not trust the jail: certutil: {error}"])
        files: list[Mount] = [
            Data(f"{folder}/{file.name}", file.read_bytes(), 0o666, writable=True)
            for file in sorted(Path(made).iterdir())
        ]
    return Prepared([Tmpfs(folder, 0o1777), *files], [])
