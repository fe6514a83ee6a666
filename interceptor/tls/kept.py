"""An authority that outlives its process, for the explicit proxy: clients trust it between runs.

Two files: `ca.key`, which nobody but its owner may read, and `ca.crt`. Whoever has the key can read
what clients of the proxy send, so a key that others may read is refused instead of used.
"""

from __future__ import annotations

import datetime as dt
import os
import stat
from pathlib import Path
from typing import Final

from cryptography import x509

from interceptor.tls.authority import RENEWAL, Authority, Root, lasting

KEY: Final = "ca.key"
CERTIFICATE: Final = "ca.crt"


class KeptError(RuntimeError):
    """The authority cannot be used; names the file, the cause and the fix."""


def open_kept(folder: Path, now: dt.datetime) -> Authority:
    """Open the authority of a directory, or make one where it has none.

    Args:
        folder: made if missing.
        now: an aware time.

    Raises:
        KeptError: a file is missing, unreadable, readable by others, or the certificate has ended.
    """
    key_path, certificate_path = folder / KEY, folder / CERTIFICATE
    try:
        if not key_path.exists() and not certificate_path.exists():
            folder.mkdir(mode=0o755, parents=True, exist_ok=True)
            made, root = lasting("proxy", now)
            _write(key_path, root.key, 0o600)
            _write(certificate_path, root.certificate, 0o644)
            return made
        root = Root(_private(key_path), certificate_path.read_bytes())
        _check(certificate_path, x509.load_pem_x509_certificate(root.certificate), now)
        return Authority("proxy", now, root=root)
    except OSError as error:
        raise KeptError(f"{error.filename}: {error.strerror}") from error
    except (ValueError, TypeError) as error:  # TypeError: a key with a passphrase
        raise KeptError(f"{folder}: {KEY} and {CERTIFICATE} are no pair: {error}") from error


def _check(path: Path, certificate: x509.Certificate, now: dt.datetime) -> None:
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not begin <= now < end - RENEWAL:
        raise KeptError(
            f"{path}: valid from {begin:%Y-%m-%d} to {end:%Y-%m-%d}; remove it and {KEY} to have "
            "new ones made"
        )
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        constraints = x509.BasicConstraints(ca=False, path_length=None)
    if not constraints.ca:
        raise KeptError(f"{path}: not the certificate of an authority")


def _write(path: Path, data: bytes, mode: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, mode)
    try:
        os.fchmod(descriptor, mode)
        os.write(descriptor, data)
    finally:
        os.close(descriptor)


def _private(path: Path) -> bytes:
    """Content of a file that is ours, or root's and given to our group, and nobody else's.

    Kubernetes mounts secrets as root's files that a group may read, behind symbolic links.

    Raises:
        KeptError: others may read or change it.
    """
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_uid not in (0, os.geteuid()):
            raise KeptError(f"{path}: not a file of this user's")
        if status.st_mode & 0o027:
            raise KeptError(f"{path}: others may read or change it; chmod 600 {path}")
        return file.read()
