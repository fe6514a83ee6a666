"""What a guest is told about its network, at `http://egressguard.internal/`: above all, the trust.

A guest cannot be given files as a jail can. It asks for them, by a name that leads to no machine:
the policy of a guest has the site as a named service (`with_site`), so that each request is judged
and recorded like any other, and the connection that follows ends in this process. What is served is
public: the certificate of the guest's own authority, and how to install it.

    /ca.pem               the certificate, PEM
    /install.sh           installs it in the system store: Debian, Fedora, Alpine, Arch, SUSE
    /cloud-init/...       a NoCloud seed that does so at the first boot (`ds=nocloud;s=URL`)
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec

from interceptor.policy.schema import Policy

NAME: Final = "egressguard.internal"
URL: Final = f"http://{NAME}/"
SEED: Final = f"{URL}cloud-init/"
"""For cloud-init: `ds=nocloud;s=` and this, as the serial number of the machine (SMBIOS)."""
ADDRESS: Final = "192.0.0.8"
"""The IPv4 dummy address, which no host has and no router carries (RFC 7600 section 4.8)."""
PORT: Final = 80

_LARGEST: Final = 65_536
_TEXT: Final = "text/plain; charset=utf-8"
_INSTALL: Final = """\
#!/bin/sh
# Trust the authority of this machine's gateway: http://egressguard.internal/
set -eu
while read -r folder update; do
    [ -d "$folder" ] || continue
    cat > "$folder/egressguard.crt" <<'CERTIFICATE'
@CERTIFICATE@
CERTIFICATE
    exec $update
done <<'PLACES'
/usr/local/share/ca-certificates update-ca-certificates
/etc/pki/ca-trust/source/anchors update-ca-trust extract
/etc/ca-certificates/trust-source/anchors update-ca-trust extract
/etc/pki/trust/anchors update-ca-certificates
PLACES
echo "no certificate store of a known kind: put http://egressguard.internal/ca.pem into yours" >&2
exit 1
"""


def with_site(policy: Policy) -> Policy:
    """Return the policy of a guest: it may reach the site, and so nothing else than before."""
    services = {**policy.services, NAME: f"{ADDRESS}:{PORT}"}
    return msgspec.structs.replace(policy, services=services)


def pages(certificate: bytes, name: str) -> Mapping[str, tuple[str, bytes]]:
    """What is served: content type and content by path.

    Args:
        certificate: of the guest's authority, PEM.
        name: the guest's.
    """
    pem = certificate.decode("ascii").strip()
    indented = "\n".join(f"      {line}" for line in pem.splitlines())
    user_data = f"#cloud-config\nca_certs:\n  trusted:\n    - |\n{indented}\n"
    about = (
        f"This machine's network has no path out but egressguard, which knows it as {name}.\n"
        f"Connections over TLS need its certificate: {URL}ca.pem\n"
        f"To install it, as root: wget -qO- {URL}install.sh | sh\n"
    )
    texts = {
        "/": about,
        "/install.sh": _INSTALL.replace("@CERTIFICATE@", pem),
        "/cloud-init/meta-data": f"instance-id: egressguard-{name}\nlocal-hostname: {name}\n",
        "/cloud-init/user-data": user_data,
        "/cloud-init/vendor-data": "",
    }
    found = {path: (_TEXT, text.encode()) for path, text in texts.items()}
    return found | {"/ca.pem": ("application/x-pem-file", certificate)}


def answer(head: bytes, served: Mapping[str, tuple[str, bytes]]) -> bytes:
    """Return the response to a request's head, which our own interceptor has written."""
    method, _, rest = head.partition(b" ")
    path = rest.partition(b" ")[0].decode("ascii", "replace").partition("?")[0]
    status, kind, content = "200 OK", _TEXT, b""
    if method not in (b"GET", b"HEAD"):
        status = "405 Method Not Allowed"
    elif path not in served:
        status, content = "404 Not Found", b"nothing of that name\n"
    else:
        kind, content = served[path]
    fields = f"Content-Type: {kind}\r\nContent-Length: {len(content)}\r\nConnection: close\r\n"
    whole = f"HTTP/1.1 {status}\r\n{fields}\r\n".encode()
    return whole if method == b"HEAD" else whole + content


class Site(asyncio.Protocol):
    """One connection to the site: one request, one answer."""

    def __init__(self, served: Mapping[str, tuple[str, bytes]]) -> None:
        """Serve what `pages` gave."""
        self._served = served
        self._transport: asyncio.WriteTransport | None = None
        self._head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It stands."""
        self._transport = transport  # type: ignore[assignment] # uvloop's are no subclasses

    def data_received(self, data: bytes) -> None:
        """Part of a request has come."""
        transport = self._transport
        if transport is None:
            return
        self._head += data
        head, end, _ = self._head.partition(b"\r\n\r\n")
        if end:
            self._transport = None
            transport.write(answer(head, self._served))
            transport.close()
        elif len(self._head) > _LARGEST:
            self._transport = None
            transport.abort()


def opener(
    certificate: bytes, name: str, loop: asyncio.AbstractEventLoop
) -> Callable[[], Awaitable[socket.socket]]:
    """Return what begins a connection to the site and gives the socket of its other end."""
    served = pages(certificate, name)

    async def begin() -> socket.socket:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)  # noqa: FBT003
        theirs.setblocking(False)  # noqa: FBT003
        await loop.create_unix_connection(lambda: Site(served), sock=theirs)
        return ours

    return begin
