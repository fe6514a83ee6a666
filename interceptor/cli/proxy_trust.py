"""What makes programs use the proxy and trust its authority: files, and variables naming them."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from netns import trust, trust_formats

_PROXIES: Final = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")


@dataclass(frozen=True, slots=True)
class Installed:
    """Files for programs that are to use the proxy."""

    folder: Path
    certificate: Path
    bundle: Path
    script: Path

    def variables(self, address: str, port: int, *, named: bool) -> dict[str, str]:
        """Variables of such a program; `named`: a name and a token are to be filled in."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(address, address)  # noqa: S104
        host = f"[{host}]" if ":" in host and not host.startswith("[") else host
        url = f"http://{'NAME:TOKEN@' if named else ''}{host}:{port}"
        found = dict.fromkeys(_PROXIES, url) | dict.fromkeys(map(str.lower, _PROXIES), url)
        paths = {trust.AUTHORITY: str(self.certificate), trust.BUNDLE: str(self.bundle)}
        return found | {name: paths.get(text, text) for name, text in trust.variables().items()}

    def lines(self, address: str, port: int, *, named: bool) -> list[str]:
        """The same for a shell; they are in `script` from then on."""
        wanted = self.variables(address, port, named=named)
        lines = [f"export {name}={shlex.quote(text)}" for name, text in wanted.items()]
        self.script.write_text("\n".join([*lines, ""]), "utf-8")
        return lines


@contextlib.contextmanager
def installed(certificate: bytes, kept: Path | None) -> Iterator[Installed]:
    """Write the certificate, and the host's roots with it, where programs can read them.

    Beside a kept authority; otherwise in a directory that goes when this is left.
    """
    own = kept is None or not os.access(kept, os.W_OK)
    folder = Path(tempfile.mkdtemp(prefix="egressguard-proxy-")) if own else kept
    assert folder is not None  # noqa: S101
    try:
        if own:
            folder.chmod(0o755)
        found = Installed(folder, folder / "ca.crt", folder / "ca-bundle.pem", folder / "env.sh")
        if own:
            found.certificate.write_bytes(certificate)
        found.bundle.write_bytes(trust_formats.merged(_roots(), certificate))
        yield found
    finally:
        if own:
            shutil.rmtree(folder, ignore_errors=True)


def _roots() -> bytes:
    """Root certificates that programs of this host trust."""
    for path in trust.BUNDLES:
        with contextlib.suppress(OSError):
            return Path(path).read_bytes()
    return b""
